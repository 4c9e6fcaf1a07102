"""Class folders: SOURCE/CLASS/.../picture, or the same under train, val, test (in their usual spellings).

What is nested below a class folder belongs to the class. A folder without a picture is no class.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from striate.data.samples import TRAIN, Samples, natural_key
from striate.data.sources.classes import encode
from striate.data.sources.files import Files
from striate.data.sources.listing import SPLIT_NAMES, Listing, below, class_name, listing, shown, some
from striate.errors import InputError
from striate.words import counted


@dataclass
class _Found:
    """What one walk collects: a line a picture, and what was passed by."""

    paths: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    not_pictures: int = 0
    outside: int = 0  # pictures beside the class folders
    empty: list[str] = field(default_factory=list)  # folders without a picture
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def recognises(path: Path) -> bool:
    """Whether it is a folder that holds a folder with a picture somewhere below."""
    if not path.is_dir():
        return False
    return any(prefix and found.pictures for prefix, found in below(path))


def read(path: Path) -> Samples:
    """The table of a folder of class folders. Raises InputError where it holds none."""
    found = _Found()
    top = listing(path)
    spellings = split_folders(top)
    if spellings:
        _read_splits(top, spellings, found)
    else:
        _read_classes(top, "", "", found)
        found.doubts.extend(_doubts(top))
        found.not_pictures += len(top.others)
    if not found.paths:
        raise InputError(f"{shown(str(path))}: no class folders with pictures in it (looked for SOURCE/CLASS/picture)")
    targets, class_names = encode(found.labels)
    return Samples(
        source=str(path),
        how=_sentence(found, spellings, len(class_names)),
        pictures=Files(found.paths),
        index=np.arange(len(found.paths), dtype=np.int64),
        names=tuple(found.names),
        targets=targets,
        class_names=class_names,
        splits=np.array(found.splits, dtype=np.str_),
        doubts=tuple(found.doubts),
    )


def split_folders(top: Listing) -> dict[str, str]:
    """Folder name -> split, where the names at the top are those of splits: train and another one; else nothing.

    Raises InputError where two folders name the same split.
    """
    spellings = {name: SPLIT_NAMES[name.casefold()] for name in top.folders if name.casefold() in SPLIT_NAMES}
    named = set(spellings.values())
    if TRAIN not in named or len(named) < 2:
        return {}
    if len(named) < len(spellings):
        raise InputError(
            f"{shown(top.path)}: {some(list(spellings))} name the same split more than once; "
            "keep one folder for each of train, val and test"
        )
    return spellings


def _read_splits(top: Listing, spellings: dict[str, str], found: _Found) -> None:
    found.outside += len(top.pictures)
    found.not_pictures += len(top.others)
    for name, split in sorted(spellings.items(), key=lambda item: [*SPLIT_NAMES].index(item[0].casefold())):
        inside = listing(top.join(name))
        before = len(found.paths), found.outside
        _read_classes(inside, f"{shown(name)}/", split, found)
        if len(found.paths) == before[0]:
            loose = found.outside - before[1]
            found.outside = before[1]
            what = f"{counted(loose, 'picture')} without class folders" if loose else "no picture"
            if split == TRAIN:
                raise InputError(
                    f"{shown(inside.path)}: {what} in it, so there is nothing to learn from; "
                    "make one folder a class in it, or a table of path and label beside it"
                )
            found.notes.append(f"{shown(name)}/ holds {what} and is not used")
    others = [name for name in top.folders if name not in spellings]
    if others:
        found.notes.append(f"{some(others)} beside the splits not used")


def _read_classes(top: Listing, prefix: str, split: str, found: _Found) -> None:
    """Every folder in `top` is a class."""
    found.outside += len(top.pictures)
    for folder in sorted(top.folders, key=natural_key):
        label, before = class_name(folder), len(found.paths)
        for deeper, inside in below(top.join(folder)):
            found.not_pictures += len(inside.others)
            at = shown(f"{prefix}{folder}/{deeper}")
            found.paths.extend(map(inside.join, inside.pictures))
            found.names.extend(f"{at}{shown(name)}" for name in inside.pictures)
        added = len(found.paths) - before
        found.labels.extend([label] * added)
        found.splits.extend([split] * added)
        if not added:
            found.empty.append(f"{prefix}{folder}")


def _doubts(top: Listing) -> list[str]:
    """Folders that are classes here, but are called like a split and hold folders of their own, as a split does."""
    named = [name for name in top.folders if name.casefold() in SPLIT_NAMES and listing(top.join(name)).folders]
    return [
        f"{shown(name)}/ is taken for a class, with all that lies below it; if it is meant as a split, put the other "
        "one (such as test/) beside it"
        for name in named
    ]


def _sentence(found: _Found, spellings: dict[str, str], classes: int) -> str:
    under = f" under {', '.join(f'{shown(name)}/' for name in spellings)}" if spellings else ""
    parts = [f"class folders{under}: {counted(classes, 'class', 'classes')}, {counted(len(found.paths), 'picture')}"]
    if found.empty:
        parts.append(f"{some(found.empty)} without a picture, so no class")
    if found.outside:
        parts.append(f"{counted(found.outside, 'picture')} outside of class folders not used")
    if found.not_pictures:
        what = "file that is no picture" if found.not_pictures == 1 else "files that are no pictures"
        parts.append(f"{found.not_pictures:,} {what} ignored")
    return "; ".join([*parts, *found.notes])
