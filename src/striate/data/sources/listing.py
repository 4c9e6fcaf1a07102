"""Names on disk: what is junk, what is a picture by its ending, which folder names are splits.

Nothing here opens a file.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.samples import TEST, TRAIN, VALIDATION
from striate.errors import InputError

PICTURE_SUFFIXES = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib", "tif", "tiff"}
    | {"pnm", "pbm", "pgm", "ppm", "avif", "heif", "heic"}
)
JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"})
SPLIT_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "testing": TEST,
    "eval": TEST,
    "holdout": TEST,
}
DEEPEST = 64  # levels below a folder; deeper ones are a mistake, and would end in the interpreter's own limit


@dataclass
class Listing:
    """What lies directly in one folder: names in plain order, junk left out."""

    path: str
    folders: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def join(self, name: str) -> str:
        """The path of one of its entries."""
        return os.path.join(self.path, name)  # noqa: PTH118 - a hundred thousand Paths take seconds


def split_of(name: str) -> str:
    """The split that a file's name begins with: train-000.tar, val_3.tgz, test.csv; "" where it is none."""
    first = re.match(r"[a-z]+", name.lower())
    return SPLIT_NAMES.get(first[0], "") if first else ""


def is_junk(name: str) -> bool:
    """Hidden files and folders, and what systems and archivers leave behind."""
    return name.startswith(".") or name.casefold() in JUNK


def is_picture(name: str) -> bool:
    """Whether the file's ending is one of a picture format that we know."""
    stem, dot, suffix = name.rpartition(".")
    return bool(dot and stem) and suffix.lower() in PICTURE_SUFFIXES


def shown(name: str) -> str:
    """`name` as text that every file and screen can take: bytes that are no UTF-8 become \\xNN."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        pass
    else:
        return name
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, which no file's name has (but JSON may)
        return name.encode("utf-8", "backslashreplace").decode("utf-8")


def class_name(name: str) -> str:
    """The class that a folder's or a table's text names: equal however the letters were composed."""
    return unicodedata.normalize("NFC", shown(name))


def listing(path: str | Path) -> Listing:
    """What lies in a folder. Raises InputError where it cannot be listed."""
    found = Listing(os.fspath(path))
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if is_junk(entry.name):
                    continue
                if entry.is_dir():
                    found.folders.append(entry.name)
                elif is_picture(entry.name):
                    found.pictures.append(entry.name)
                else:
                    found.others.append(entry.name)
    except OSError as error:
        raise InputError(f"{shown(found.path)}: the folder cannot be listed ({error.strerror})") from error
    for names in (found.folders, found.pictures, found.others):
        names.sort()
    return found


def below(path: str | Path) -> Iterator[tuple[str, Listing]]:
    """(relative path with "/" at its end, or ""; listing) of a folder and of all folders below it, each once.

    Links to folders are followed, a folder that was seen is not entered again: loops end.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [("", os.fspath(path), 0)]
    while waiting:
        prefix, folder, depth = waiting.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116
        except OSError as error:
            raise InputError(f"{shown(folder)}: the folder cannot be listed ({error.strerror})") from error
        if status.st_ino and (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        found = listing(folder)
        yield prefix, found
        if depth < DEEPEST:
            deeper = [(f"{prefix}{name}/", found.join(name), depth + 1) for name in reversed(found.folders)]
            waiting.extend(deeper)


def some(names: list[str] | tuple[str, ...], most: int = 5) -> str:
    """The first names, quoted, for a sentence."""
    text = ", ".join(f"'{shown(name)}'" for name in names[:most])
    return text + (f" and {len(names) - most:,} more" if len(names) > most else "")
