"""What one tar holds: its pictures and classes by their keys, found by the headers alone.

The header is parsed here: the standard library's reader takes 60 microseconds a member, and stops at
the first damage. POSIX.1-1988 (ustar), POSIX.1-2001 (pax), GNU long names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import adler32

from striate.data.samples import LeftOut
from striate.data.sources.gzipped import CutShort, Stream
from striate.data.sources.listing import is_junk, is_picture, shown
from striate.errors import InputError

if TYPE_CHECKING:
    from striate.data.sources.remote import RemoteFile

LARGEST_PICTURE = 1 << 30
LARGEST_CLASS = 1024  # bytes of a KEY.cls
LARGEST_NAME = 1 << 16  # bytes of an extended header
BLOCK = 512
PADDING = 1 << 16
NO_END = "ends without an end mark: perhaps it was cut short"
CHECKSUM = re.compile(rb"[ \0]*([0-7]+)[ \0]*")


@dataclass(frozen=True)
class Member:
    """One member of a tar: where its bytes are."""

    name: str
    kind: bytes
    offset: int
    size: int


@dataclass
class Shard:
    """What one tar holds."""

    # key -> members: name, offset (in what is unpacked), size, and the bytes where they are kept
    pictures: dict[str, list[tuple[str, int, int, bytes | None]]] = field(default_factory=dict)
    classes: dict[str, bytes] = field(default_factory=dict)  # key -> text of KEY.cls
    left_out: list[LeftOut] = field(default_factory=list)
    damage: str = ""
    compressed: bool = False


def read_shard(file: Path | RemoteFile, title: str, *, keep: bool = True) -> Shard:
    """Index one tar. `keep`: the bytes of the pictures of a compressed one, which cannot be read where they lie.

    Damage is named in the shard, never raised.
    """
    shard = Shard()
    try:
        with Stream(file) as stream:
            shard.compressed = stream.compressed
            for member in members_of(stream, shard, title):
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
                data = None
                if stream.compressed and keep:
                    data = bytes(stream.read(member.size))
                    whole = len(data) == member.size
                elif stream.compressed:
                    whole = stream.skip(member.size)
                else:
                    whole = member.offset + member.size <= stream.most
                if not whole:
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


def members_of(stream: Stream, shard: Shard, title: str) -> Iterator[Member]:
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
            yield Member(long_name or name, kind, start, size)
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
