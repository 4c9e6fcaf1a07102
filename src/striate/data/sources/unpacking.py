"""A zip or a tar -> plain files below one folder, and nothing anywhere else.

Refused, whole: links and devices, names that lead out (absolute, `..`), two members where one would overwrite the other
(also on a disk that takes `A` for `a`), passwords, and bombs. What a header says of its file's size is checked before
the file is written, together with the bytes that were written before, and no more than that is ever read. Of modes,
owners and dates nothing is taken over.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from striate.data.sources.gzipped import BLOCK, SPARE, TIMES, Stream
from striate.data.sources.listing import DEEPEST, is_junk, shown
from striate.data.sources.tar_index import Shard, members_of
from striate.errors import InputError

REGULAR = (b"0", b"\0", b"7")
LINKS = (b"1", b"2")
FOLDER = b"5"
LONGEST_NAME = 255  # bytes of a folder's or a file's name, as most disks have it
ENCRYPTED = 0x1 | 0x40  # of a zip member's flags
# Of the ways in which zips are packed those whose memory is small whatever the file says.
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
# What the standard library raises for a zip that is damaged, or was made to look like one.
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)


@dataclass(frozen=True, kw_only=True)
class Most:
    """What an archive may unpack to, beside SPARE bytes and TIMES its own size."""

    files: int = 2_000_000
    file_bytes: int = 64 << 30
    bytes: int = 1 << 40


MOST = Most()


@dataclass(frozen=True)
class Contents:
    """What was unpacked."""

    files: int
    bytes: int


def unpack(archive: Path, folder: Path, most: Most = MOST) -> Contents:
    """Write the files of `archive` below `folder`, which is made. Junk (`.DS_Store`, `__MACOSX`) stays out.

    Raises InputError (the reason alone) for what is refused, after which the folder holds what came before; OSError
    where the disk refuses.
    """
    folder.mkdir()
    taken = _Taken(folder, archive.stat().st_size, most)
    if archive.name.lower().endswith(".zip"):
        _unpack_zip(archive, taken)
    else:
        _unpack_tar(archive, taken)
    return Contents(files=len(taken.files), bytes=taken.bytes)


def parts_of(name: str) -> tuple[str, ...]:
    """The folders of a member's name and its last part; () for the archive's own folder. Raises InputError where the
    name leads out, or no disk could take it."""
    if "\0" in name:
        raise InputError(f"holds a name that no file can have ({shown(name)!r})")
    flat = name.replace("\\", "/")  # as some programs on Windows write it
    if flat.startswith("/") or re.match(r"[A-Za-z]:", flat):
        raise InputError(f"holds the absolute name {shown(name)}, which leads out of it")
    parts = tuple(part for part in flat.split("/") if part not in ("", "."))
    if ".." in parts:
        raise InputError(f"holds the name {shown(name)}, which leads out of it")
    if len(parts) > DEEPEST or any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        raise InputError(f"holds a name that is too long or too deep ({shown(name)[:60]}...)")
    return parts


class _Taken:
    """What has been written so far, and what may still come."""

    def __init__(self, folder: Path, size: int, most: Most) -> None:
        self.folder, self.limits = folder, most
        self.most = min(most.bytes, SPARE + TIMES * size)
        self.bytes = 0
        self.files: dict[str, str] = {}  # by their names as a disk may see them, equal in case and composition
        self.folders: set[str] = set()

    def expect(self, files: int, size: int) -> None:
        """Refuse what is too much by its own words. Raises InputError."""
        if files > self.limits.files:
            raise InputError(f"holds {files:,} files, over the limit of {self.limits.files:,}")
        if size > self.most:
            raise self._bomb()
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise InputError(
                f"unpacks to {size:,} bytes, and the disk of the cache folder has {free:,} free; "
                "name another folder in STRIATE_CACHE"
            )

    def write(self, name: str, size: int, read: Callable[[int], bytes | bytearray]) -> None:
        """The next file: `size` bytes by its header, that `read(count)` gives. Raises InputError."""
        parts = parts_of(name)
        if not parts or any(is_junk(part) for part in parts):
            return
        if size > self.limits.file_bytes:
            raise InputError(f"{shown(name)} is {size:,} bytes, over the limit of {self.limits.file_bytes:,}")
        self.expect(len(self.files) + 1, self.bytes + size)
        self._claim(parts, name)
        place = self.folder.joinpath(*parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        # Only a new file: whatever a disk takes for the same name is not written to.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(place, flags, 0o666), "wb") as file:
            left = size
            while left:
                data = read(min(left, BLOCK))
                if not data:
                    raise InputError(f"ends before {shown(name)} does; it was cut short, or is damaged")
                file.write(data)
                left -= len(data)
                self.bytes += len(data)

    def _claim(self, parts: tuple[str, ...], name: str) -> None:
        folded = [unicodedata.normalize("NFC", part).casefold() for part in parts]
        whole = "/".join(folded)
        above = ["/".join(folded[:depth]) for depth in range(1, len(folded))]
        other = self.files.get(whole) or next((self.files[one] for one in above if one in self.files), None)
        if other is None and whole in self.folders:
            other = f"{name}/"
        if other is not None:
            raise InputError(
                f"holds {shown(other)} twice"
                if other == name
                else f"holds {shown(other)} and {shown(name)}, of which one would overwrite the other on some disks"
            )
        self.files[whole] = name
        self.folders.update(above)

    def _bomb(self) -> InputError:
        return InputError(f"unpacks to more than {TIMES} times its size, which no set of pictures does")


def _unpack_tar(archive: Path, taken: _Taken) -> None:
    notes = Shard()
    with Stream(archive) as stream:
        for member in members_of(stream, notes, archive.name):
            _require_whole(notes)
            if member.kind in LINKS:
                raise InputError(f"holds the link {shown(member.name)}; pack the files that links lead to")
            if member.kind == FOLDER or (member.kind in REGULAR and member.name.endswith("/")):
                parts_of(member.name)
            elif member.kind in REGULAR:
                taken.write(member.name, member.size, stream.read)
            else:
                raise InputError(f"holds {shown(member.name)}, which is no plain file")
    _require_whole(notes)


def _require_whole(notes: Shard) -> None:
    """Raise what the reader of headers has met: a part of a set of pictures is not taken for the whole."""
    if notes.left_out:
        raise InputError(notes.left_out[0].reason)


def _unpack_zip(archive: Path, taken: _Taken) -> None:
    try:
        packed = zipfile.ZipFile(archive)
    except BROKEN as error:
        raise _damaged(error) from error
    with packed:
        members = packed.infolist()
        for member in members:
            _check(member)
        files = [member for member in members if not member.is_dir()]
        taken.expect(len(files), sum(member.file_size for member in files))
        for member in files:
            _write_member(packed, member, taken)


def _check(member: zipfile.ZipInfo) -> None:
    if not member.filename:
        raise InputError("holds a file without a name")
    parts_of(member.orig_filename)
    if member.flag_bits & ENCRYPTED:
        raise InputError("is locked with a password; unpack it and name the folder")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise InputError(f"holds the link {shown(member.filename)}; pack the files that links lead to")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(f"holds {shown(member.filename)}, which is no plain file")
    if member.compress_type not in METHODS:
        raise InputError(
            f"is packed in a way that is not known here ({shown(member.filename)}: method {member.compress_type}); "
            "unpack it and name the folder"
        )


def _write_member(packed: zipfile.ZipFile, member: zipfile.ZipInfo, taken: _Taken) -> None:
    try:
        stream = packed.open(member)
    except BROKEN as error:
        raise _damaged(error) from error

    def read(count: int) -> bytes:
        try:
            return stream.read(count)
        except BROKEN as error:
            raise _damaged(error) from error

    with stream:
        taken.write(member.filename, member.file_size, read)
        read(1)  # the checksum at the end, of an empty file too


def _damaged(error: Exception) -> InputError:
    return InputError(f"no zip file, or damaged ({error}); unpack it yourself and name the folder")
