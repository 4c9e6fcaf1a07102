"""WebDataset tars: KEY.jpg (png, ...) beside KEY.cls in *.tar, *.tar.gz, *.tgz. Nothing is unpacked to disk.

They lie in a folder, or behind an address. A plain tar is indexed and read where it lies; pictures of a compressed
one are kept encoded in memory, unless they are to be streamed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from striate.data.samples import LeftOut, Samples
from striate.data.sources.classes import encode, listed_names, names_in
from striate.data.sources.listing import SPLIT_NAMES, class_name, listing, shown, some, split_of
from striate.data.sources.members import Members
from striate.data.sources.remote import RemoteFile
from striate.data.sources.tar_index import LARGEST_CLASS, Shard, read_shard
from striate.errors import InputError
from striate.words import counted

ENDINGS = (".tar", ".tar.gz", ".tgz")
KEPT = 4 << 30  # bytes of pictures of compressed shards that may stay in memory


@dataclass(frozen=True)
class _Found:
    """One shard: the name that it is shown by, the split that its name or folder says, what is in it."""

    file: Path | RemoteFile
    title: str
    split: str


def recognises(path: Path) -> bool:
    """Whether it is a tar by its name, or a folder that holds one (or has them in train, val, test folders)."""
    if path.is_dir():
        return bool(_shards(path))
    return path.name.lower().endswith(ENDINGS)


def read(path: Path, *, stream: bool = False) -> Samples:
    """The table of all tars of a folder, or of one tar. Raises InputError where no sample is in them.

    A shard's split is the beginning of its name (train-000.tar) or its folder's name, where every
    shard has one. A KEY.cls is a class's name, or its number (then `classes.txt` beside gives names).
    `stream`: the pictures of compressed shards are not kept in memory.
    """
    shards = _shards(path) if path.is_dir() else [(path, "")]
    found = _with_splits(str(path), [_Found(file, _name(path, file), split) for file, split in shards])
    names_of_numbers = listed_names(path if path.is_dir() else path.parent)
    indexed = ((one, read_shard(one.file, one.title, keep=not stream)) for one in found)
    return _table(str(path), indexed, len(found), names_of_numbers)


def read_address(address: str) -> Samples:
    """The same of the tars behind an address, whose pictures are never kept in memory. Raises InputError."""
    from striate.data.sources import remote
    from striate.data.sources.kept_index import index_of

    files, text = remote.find(address, ENDINGS)
    titles = [file.name for file, _ in files]
    if len(set(titles)) < len(titles):  # the same names in several folders
        titles = ["/".join(file.path.split("/")[-2:]) for file, _ in files]
    named = zip(files, titles, strict=True)
    found = _with_splits(
        address, [_Found(file, shown(title), split or split_of(file.name)) for (file, split), title in named]
    )
    mended = 0

    def indexed() -> Iterator[tuple[_Found, Shard]]:
        nonlocal mended
        for one in found:
            assert isinstance(one.file, RemoteFile)
            shard, how = index_of(one.file, one.title)
            mended += how == "mended"
            yield one, shard

    names_of_numbers = None if text is None else names_in(text, f"{shown(address)}: its classes.txt")
    samples = _table(address, indexed(), len(found), names_of_numbers)
    if not mended:
        return samples
    return replace(samples, how=f"{samples.how}; {counted(mended, 'kept index', 'kept indexes')} was broken, made anew")


def _with_splits(source: str, found: list[_Found]) -> list[_Found]:
    """The shards with their splits, or with none where all are of one. Raises InputError where some have none."""
    splits = {one.split for one in found}
    if len(splits) > 1 and "" in splits:
        raise InputError(
            f"{shown(source)}: some shards are called train, val or test, others not ("
            f"{some([one.title for one in found if not one.split])}); "
            "give each shard the name of its split, or none of them"
        )
    return found if len(splits) > 1 else [replace(one, split="") for one in found]


def _table(
    source: str, indexed: Iterable[tuple[_Found, Shard]], shards: int, names_of_numbers: tuple[str, ...] | None
) -> Samples:
    files: list[Path | RemoteFile] = []
    compressed: list[bool] = []
    names: list[str] = []
    labels: list[str] = []
    splits: list[str] = []
    left_out: list[LeftOut] = []
    places: list[tuple[int, int, int]] = []
    kept: dict[int, bytes] = {}
    known: dict[bytes | None, str | _Wrong] = {}
    in_memory = 0
    for number, (found, shard) in enumerate(indexed):
        files.append(found.file)
        compressed.append(shard.compressed)
        left_out.extend(shard.left_out)
        for key, members in shard.pictures.items():
            member, offset, size, data = members[0]
            name = f"{found.title}/{member}"
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
                        f"{shown(source)}: more than {KEPT >> 30} GiB of pictures in compressed tars, which cannot be "
                        "read where they lie; unpack them to plain .tar (gunzip), or train on them with --stream"
                    )
            places.append((number, offset, size))
            names.append(name)
            labels.append(label)
            splits.append(found.split)
        left_out.extend(
            LeftOut(f"{found.title}/{key}.cls", "no picture of this key")
            for key in shard.classes
            if key not in shard.pictures
        )
    if not names:
        why = f" ({left_out[0].name}: {left_out[0].reason})" if left_out else ""
        raise InputError(f"{shown(source)}: no sample in the tars; a sample is KEY.jpg (png, ...) beside KEY.cls{why}")
    if names_of_numbers is None and all(re.fullmatch(r"\d{1,9}", label) for label in labels):
        labels = [str(int(label)) for label in labels]
    targets, class_names = encode(labels)
    how = (
        f"WebDataset tars: {counted(shards, 'shard')}, {counted(len(class_names), 'class', 'classes')}, "
        f"{counted(len(names), 'picture')}"
    )
    if left_out:
        how += f"; {counted(len(left_out), 'member')} left out"
    return Samples(
        source=source,
        how=how,
        pictures=Members(files, np.array(places), kept, np.array(compressed)),
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
    found = [(folder / name, split_of(name)) for name in top.others if name.lower().endswith(ENDINGS)]
    if not found:
        for inner in top.folders:
            if inner.casefold() in SPLIT_NAMES:
                inside = listing(folder / inner)
                tars = [name for name in inside.others if name.lower().endswith(ENDINGS)]
                found.extend((folder / inner / name, SPLIT_NAMES[inner.casefold()]) for name in tars)
    return found


def _name(path: Path, file: Path) -> str:
    return shown(file.relative_to(path).as_posix() if file != path else file.name)
