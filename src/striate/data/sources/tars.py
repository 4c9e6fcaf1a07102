"""WebDataset tars: KEY.jpg (png, ...) beside KEY.cls in *.tar, *.tar.gz, *.tgz. Nothing is unpacked to disk.

A plain tar is indexed and read where it lies; pictures of a compressed one are kept encoded in
memory. The header is parsed here: the standard library's reader takes 60 microseconds a member,
and stops at the first damage. POSIX.1-1988 (ustar), POSIX.1-2001 (pax), GNU long names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zlib import adler32

import numpy as np

from striate.data.samples import LeftOut, Samples
from striate.data.sources.classes import encode, listed_names
from striate.data.sources.gzipped import CutShort, Stream
from striate.data.sources.listing import SPLIT_NAMES, class_name, counted, is_junk, is_picture, listing, shown, some
from striate.errors import InputError

ENDINGS = (".tar", ".tar.gz", ".tgz")
KEPT = 4 << 30  # bytes of pictures of compressed shards that may stay in memory
LARGEST_PICTURE = 1 << 30
LARGEST_CLASS = 1024  # bytes of a KEY.cls
LARGEST_NAME = 1 << 16  # bytes of an extended header
BLOCK = 512
PADDING = 1 << 16
NO_END = "ends without an end mark: perhaps it was cut short"
CHECKSUM = re.compile(rb"[ \0]*([0-7]+)[ \0]*")


@dataclass(frozen=True)
class _Member:
    """One member of a tar: where its bytes are, or (`data`) the bytes themselves."""

    name: str
    kind: bytes
    offset: int
    size: int


@dataclass
class _Shard:
    """What one tar holds."""

    pictures: dict[str, list[tuple[str, int, int, bytes | None]]] = field(default_factory=dict)  # key -> members
    classes: dict[str, bytes] = field(default_factory=dict)  # key -> text of KEY.cls
    left_out: list[LeftOut] = field(default_factory=list)
    damage: str = ""


class Members:
    """`Pictures` inside tars: bytes in memory, or (shard, offset, size) in a file that is opened for each."""

    def __init__(self, shards: list[Path], places: list[tuple[int, int, int]], kept: dict[int, bytes]) -> None:
        self.shards = shards
        self.places = places
        self.kept = kept

    def load(self, index: int) -> bytes:
        """The encoded bytes of picture `index`. Raises InputError (the reason alone)."""
        if index in self.kept:
            return self.kept[index]
        shard, offset, size = self.places[index]
        try:
            with self.shards[shard].open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise InputError(f"its archive cannot be read ({error.strerror})") from error
        if len(data) < size:
            raise InputError("its archive ends before it does")
        return data


def recognises(path: Path) -> bool:
    """Whether it is a tar by its name, or a folder that holds one (or has them in train, val, test folders)."""
    if path.is_dir():
        return bool(_shards(path))
    return path.name.lower().endswith(ENDINGS)


def read(path: Path) -> Samples:
    """The table of all tars of a folder, or of one tar. Raises InputError where no sample is in them.

    A shard's split is the beginning of its name (train-000.tar) or its folder's name, where every
    shard has one. A KEY.cls is a class's name, or its number (then `classes.txt` beside gives names).
    """
    shards = _shards(path) if path.is_dir() else [(path, "")]
    named = [split for _, split in shards]
    if len(set(named)) > 1 and "" in named:
        raise InputError(
            f"{shown(str(path))}: some shards are called train, val or test, others not ("
            f"{some([_name(path, shard) for shard, split in shards if not split])}); "
            "give each shard the name of its split, or none of them"
        )
    if len(set(named)) < 2:
        shards = [(shard, "") for shard, _ in shards]
    names_of_numbers = listed_names(path if path.is_dir() else path.parent)
    names: list[str] = []
    labels: list[str] = []
    splits: list[str] = []
    left_out: list[LeftOut] = []
    places: list[tuple[int, int, int]] = []
    kept: dict[int, bytes] = {}
    known: dict[bytes | None, str | _Wrong] = {}
    in_memory = 0
    for number, (file, split) in enumerate(shards):
        title = _name(path, file)
        shard = _read_shard(file, title)
        left_out.extend(shard.left_out)
        for key, members in shard.pictures.items():
            member, offset, size, data = members[0]
            name = f"{title}/{member}"
            text = shard.classes.get(key)
            if text not in known:  # few classes, many samples
                known[text] = _label(text, names_of_numbers)
            label = known[text]
            reason = shard.damage
            if len(members) > 1:
                reason = reason or f"{len(members)} pictures of one key"
            elif isinstance(label, _Wrong):
                reason = reason or label.reason
            if reason:
                left_out.append(LeftOut(name, reason))
                continue
            assert isinstance(label, str)
            if data is not None:
                kept[len(names)] = data
                in_memory += len(data)
                if in_memory > KEPT:
                    raise InputError(
                        f"{shown(str(path))}: more than {KEPT >> 30} GiB of pictures in compressed tars, which "
                        "cannot be read where they lie; unpack them to plain .tar (gunzip)"
                    )
            places.append((number, offset, size))
            names.append(name)
            labels.append(label)
            splits.append(split)
        left_out.extend(
            LeftOut(f"{title}/{key}.cls", "no picture of this key")
            for key in shard.classes
            if key not in shard.pictures
        )
    if not names:
        why = f" ({left_out[0].name}: {left_out[0].reason})" if left_out else ""
        raise InputError(
            f"{shown(str(path))}: no sample in the tars; a sample is KEY.jpg (png, ...) beside KEY.cls{why}"
        )
    if names_of_numbers is None and all(re.fullmatch(r"\d{1,9}", label) for label in labels):
        labels = [str(int(label)) for label in labels]
    targets, class_names = encode(labels)
    how = (
        f"WebDataset tars: {counted(len(shards), 'shard')}, {counted(len(class_names), 'class', 'classes')}, "
        f"{counted(len(names), 'picture')}"
    )
    if left_out:
        how += f"; {counted(len(left_out), 'member')} left out"
    return Samples(
        source=str(path),
        how=how,
        pictures=Members([file for file, _ in shards], places, kept),
        index=np.arange(len(names), dtype=np.int64),
        names=tuple(names),
        targets=targets,
        class_names=class_names,
        splits=np.array(splits, dtype=np.str_),
        left_out=tuple(left_out),
    )


@dataclass(frozen=True)
class _Wrong:
    reason: str


def _label(text: bytes | None, names: tuple[str, ...] | None) -> str | _Wrong:
    if text is None:
        return _Wrong("no KEY.cls beside it")
    if len(text) > LARGEST_CLASS:
        return _Wrong("its KEY.cls is no class")
    try:
        label = class_name(text.decode("utf-8-sig").strip())
    except UnicodeDecodeError:
        return _Wrong("its KEY.cls is no text")
    if not label or "\0" in label:
        return _Wrong("its KEY.cls is empty")
    if names is not None and re.fullmatch(r"-?\d{1,9}", label):
        if not 0 <= int(label) < len(names):
            return _Wrong(f"its class is {label}, but classes.txt names {len(names)}")
        return names[int(label)]
    return label


def _shards(folder: Path) -> list[tuple[Path, str]]:
    """(file, split or "") of the tars in a folder, else of those in its split folders."""
    top = listing(folder)
    found = [(folder / name, _split(name)) for name in top.others if name.lower().endswith(ENDINGS)]
    if not found:
        for inner in top.folders:
            if inner.casefold() in SPLIT_NAMES:
                inside = listing(folder / inner)
                tars = [name for name in inside.others if name.lower().endswith(ENDINGS)]
                found.extend((folder / inner / name, SPLIT_NAMES[inner.casefold()]) for name in tars)
    return found


def _split(name: str) -> str:
    """The split that a shard's name begins with: train-000.tar, val_3.tgz."""
    first = re.match(r"[a-z]+", name.lower())
    return SPLIT_NAMES.get(first[0], "") if first else ""


def _name(path: Path, file: Path) -> str:
    return shown(file.relative_to(path).as_posix() if file != path else file.name)


def _read_shard(file: Path, title: str) -> _Shard:
    shard = _Shard()
    try:
        with Stream(file) as stream:
            keep = stream.compressed
            for member in _members(stream, shard, title):
                key, _, suffix = member.name.rpartition(".")
                is_class = suffix.lower() == "cls"
                if not (is_class or is_picture(member.name)) or member.kind == b"5":
                    continue
                if is_junk(member.name.rpartition("/")[2]):
                    continue
                if member.kind not in (b"0", b"\0", b"7"):
                    shard.left_out.append(LeftOut(f"{title}/{shown(member.name)}", "a link or device, not a file"))
                    continue
                if is_class:
                    text = bytes(stream.read(min(member.size, LARGEST_CLASS + 1)))
                    if len(text) >= min(member.size, LARGEST_CLASS + 1):
                        shard.classes[key] = text
                    continue
                if member.size > LARGEST_PICTURE:
                    reason = f"{member.size:,} bytes, over the limit of {LARGEST_PICTURE:,}"
                    shard.left_out.append(LeftOut(f"{title}/{shown(member.name)}", reason))
                    continue
                data = bytes(stream.read(member.size)) if keep else None
                there = member.offset + len(data) if data is not None else stream.most
                if there < member.offset + member.size:
                    shard.left_out.append(LeftOut(f"{title}/{shown(member.name)}", "the archive ends before it does"))
                    continue
                shard.pictures.setdefault(key, []).append((shown(member.name), member.offset, member.size, data))
    except CutShort as error:  # what was read before is whole
        shard.left_out.append(LeftOut(title, str(error)))
    except InputError as error:
        # the checksum of a gzip stream stands at its end and is for all of it: nothing can be trusted
        shard.damage = f"its archive is {error}" if str(error).startswith("damaged") else f"its archive {error}"
        shard.left_out.append(LeftOut(title, str(error)))
    return shard


def _members(stream: Stream, shard: _Shard, title: str) -> Iterator[_Member]:
    """The members of a tar in their order. The caller may read from the stream, not beyond the member.

    Where a header is damaged the next sound one is looked for, and the gap is named in `shard`.
    """
    long_name, long_size = "", -1
    lost = -1  # where the damage began
    zeros = 0
    while True:
        at = stream.position
        header = stream.read(BLOCK)
        if len(header) < BLOCK:
            if lost >= 0:
                shard.left_out.append(LeftOut(title, f"damaged from byte {lost:,} on: what follows is lost"))
            elif not zeros:
                shard.left_out.append(LeftOut(title, NO_END))
            return
        if header.count(0) == BLOCK:
            zeros += 1
            if zeros == 2 and lost < 0:  # the end mark
                while stream.compressed and stream.read(PADDING):
                    pass  # to the checksum at the very end, which must be right
                return
            continue
        zeros = 0
        parsed = _header(bytes(header))
        if parsed is None:
            lost = at if lost < 0 else lost
            continue
        if lost >= 0:
            shard.left_out.append(LeftOut(title, f"damaged from byte {lost:,} to {at:,}: what was there is lost"))
            lost, long_name, long_size = -1, "", -1
        name, kind, size = parsed
        start, padded = stream.position, -(-size // BLOCK) * BLOCK
        if kind in (b"L", b"x") and size <= LARGEST_NAME:
            extended = bytes(stream.read(size))
            if kind == b"L":
                long_name = os.fsdecode(extended.rstrip(b"\0"))
            else:
                long_name, long_size = _pax(extended, long_name, long_size)
        elif kind not in (b"L", b"x", b"g", b"K"):
            if long_size >= 0:
                size, padded = long_size, -(-long_size // BLOCK) * BLOCK
            yield _Member(long_name or name, kind, start, size)
            long_name, long_size = "", -1
        if not stream.skip(start + padded - stream.position):
            shard.left_out.append(LeftOut(title, NO_END))
            return


def _header(block: bytes) -> tuple[str, bytes, int] | None:
    """(name, kind, size) of a header block of 512 bytes, or None where it is none."""
    stored = CHECKSUM.fullmatch(block[148:156])
    # the sum of all bytes with those of the checksum itself taken as eight spaces
    # (adler32 from zero has the sum modulo 65521 in its lower half, 30 times as fast as sum)
    if stored is None:
        return None
    expected = int(stored[1], 8) + sum(block[148:156]) - 8 * 32
    if adler32(block, 0) & 0xFFFF != expected % 65521:
        return None
    field_ = block[124:136]
    if field_[0] == 0x80:  # base 256, for what eleven octal digits cannot hold
        size = int.from_bytes(field_[1:], "big")
    else:
        digits = field_.strip(b" \0")
        if not re.fullmatch(rb"[0-7]*", digits):
            return None
        size = int(digits or b"0", 8)
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return os.fsdecode(name), block[156:157], size if block[156:157] not in b"123456" else 0


def _pax(records: bytes, name: str, size: int) -> tuple[str, int]:
    """`path` and `size` of an extended header: "LENGTH key=value\\n" again and again."""
    while records:
        length, space, _ = records.partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length[:9]) <= len(records):
            break
        key, equals, value = records[len(length) + 1 : int(length)].rstrip(b"\n").partition(b"=")
        if equals and key == b"path":
            name = os.fsdecode(value)
        elif equals and key == b"size" and re.fullmatch(rb"\d{1,18}", value):
            size = int(value)
        records = records[int(length) :]
    return name, size
