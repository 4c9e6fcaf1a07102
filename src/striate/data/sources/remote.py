"""Addresses (`s3://bucket/shards`, `memory://train-{000..009}.tar`): the tars behind them, by fsspec.

fsspec knows the file systems; what it needs for each (s3fs, gcsfs, ...) is installed by the user. Nothing is
written there.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from striate.data.sources.listing import SPLIT_NAMES, is_junk, shown, some
from striate.errors import InputError

# A letter alone before the colon is a drive.
ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+(::[a-zA-Z0-9+.-]+)*://")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
MOST_FILES = 1_000_000
READ_AT_ONCE = 8 << 20  # bytes of a request
LARGEST_LIST = 1 << 20
# What file systems call that which changes with a file's content.
STAMPS = (
    "ETag",
    "etag",
    "md5Hash",
    "md5",
    "generation",
    "mtime",
    "LastModified",
    "last_modified",
    "updated",
    "created",
)


class Size(NamedTuple):
    """What `RemoteFile.stat` tells."""

    st_size: int


@dataclass(frozen=True, eq=False)
class RemoteFile:
    """One file behind an address, in as much as a `Path` is asked of here."""

    system: Any  # an fsspec file system
    path: str
    size: int
    stamp: str  # "" where the file system tells none

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    def open(self, mode: str = "rb", buffering: int = -1) -> io.BufferedReader:
        """The file for reading. Raises OSError."""
        if mode != "rb":
            raise ValueError(f"files behind addresses are read only, got mode {mode!r}")
        size = {"buffer_size": buffering} if buffering > 0 else {}
        return io.BufferedReader(self.system.open(self.path, "rb", block_size=READ_AT_ONCE), **size)

    def stat(self) -> Size:
        """Its size."""
        return Size(self.size)

    @property
    def identity(self) -> str:
        """A text that changes where the file does, in as much as its file system tells."""
        text = "\0".join([type(self.system).__module__, self.path, str(self.size), self.stamp])
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def is_address(source: Any) -> bool:
    """Whether a source is an address rather than a path."""
    return isinstance(source, str) and ADDRESS.match(source) is not None


def expand(address: str) -> list[str]:
    """'train-{000..009}.tar' and '{train,test}.tar' as the names that they stand for. Raises InputError."""
    parts: list[list[str]] = []
    for number, part in enumerate(re.split(r"\{([^{}]*)\}", address)):
        if number % 2 == 0:
            parts.append([part])
            continue
        span = RANGE.fullmatch(part)
        if span is None:
            parts.append(part.split(","))
            continue
        first, last = int(span[1]), int(span[2])
        if not first <= last < first + MOST_FILES:
            raise InputError(f"{shown(address)}: {{{part}}} must count upwards, to {MOST_FILES:,} files at most")
        parts.append([str(value).zfill(len(span[1])) for value in range(first, last + 1)])
    total = 1
    for choices in parts:
        total *= len(choices)
    if total > MOST_FILES:
        raise InputError(f"{shown(address)}: stands for more than {MOST_FILES:,} files")
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def find(address: str, endings: tuple[str, ...]) -> tuple[list[tuple[RemoteFile, str]], str | None]:
    """[(file, "train" | "validation" | "test" | "")] behind an address, and the text of `classes.txt` beside them.

    An address is that of a tar, of several ({000..009}), or of a folder of them (also in train, val, test folders).
    The split is only that of a folder; names of files are the caller's. Raises InputError.
    """
    try:
        import fsspec
    except ImportError as error:
        raise InputError(
            f"{shown(address)}: reading from addresses needs fsspec; install it: pip install 'striate[stream]'"
        ) from error
    addresses = expand(address)
    try:
        system, _ = fsspec.core.url_to_fs(addresses[0])
        paths = [system._strip_protocol(one) for one in addresses]
        found: list[tuple[RemoteFile, str]] = []
        beside = ""
        for path in paths:
            about = system.info(path)
            if about["type"] != "directory":
                found.append((_file(system, about), ""))
                beside = beside or path.rpartition("/")[0]
                continue
            beside = beside or path
            found += _in_folder(system, path, endings)
        names = None
        place = f"{beside}/classes.txt"
        if system.isfile(place):
            names = system.cat_file(place, 0, LARGEST_LIST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{shown(address)}: its classes.txt is not UTF-8 text") from None
    except ImportError as error:
        raise InputError(f"{shown(address)}: {error}") from error
    except (OSError, ValueError) as error:
        what = (
            "there is no such file or folder" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        )
        named = f" ({error})" if isinstance(error, FileNotFoundError) else ""
        raise InputError(f"{shown(address)}: {what}{named}") from error
    if not found:
        raise InputError(
            f"{shown(address)}: no tars there; an address names {some(list(endings))} files, or a folder of them"
        )
    return found, names


def _in_folder(system: Any, path: str, endings: tuple[str, ...]) -> list[tuple[RemoteFile, str]]:
    entries = sorted(system.ls(path, detail=True), key=lambda about: str(about["name"]))
    tars = _tars(system, entries, endings)
    if tars:
        return [(file, "") for file in tars]
    found: list[tuple[RemoteFile, str]] = []
    for about in entries:
        name = str(about["name"]).rstrip("/").rpartition("/")[2]
        if about["type"] == "directory" and name.casefold() in SPLIT_NAMES:
            inside = sorted(system.ls(about["name"], detail=True), key=lambda one: str(one["name"]))
            found += [(file, SPLIT_NAMES[name.casefold()]) for file in _tars(system, inside, endings)]
    return found


def _tars(system: Any, entries: list[Any], endings: tuple[str, ...]) -> list[RemoteFile]:
    files = [_file(system, about) for about in entries if about["type"] == "file"]
    return [file for file in files if file.name.lower().endswith(endings) and not is_junk(file.name)]


def _file(system: Any, about: Any) -> RemoteFile:
    path = str(about["name"])
    if about.get("size") is None:
        raise OSError(f"{path}: its file system does not tell its size")
    stamp = next((f"{name}={about[name]}" for name in STAMPS if about.get(name) is not None), "")
    return RemoteFile(system, path, int(about["size"]), stamp)
