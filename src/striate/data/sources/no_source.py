"""Why there is no source where a user named one: nothing is there, or nothing of which the classes are known."""

from __future__ import annotations

import os
import re
from pathlib import Path

from striate.data.sources.asked import Asked
from striate.data.sources.beside import lacking_in
from striate.data.sources.listing import listing, shown, some
from striate.errors import InputError, did_you_mean
from striate.words import counted


def check_address(address: str) -> None:
    """Refuse a page of the web, which is no folder that could be looked into. Raises InputError."""
    if address.startswith(("http:", "https:")) and not re.search(r"\.(tar|tar\.gz|tgz)\W*$", address.lower()):
        raise InputError(f"{shown(address)} is the address of no tar (.tar, .tar.gz, .tgz); download it first")


def check_there(path: Path) -> None:
    """Refuse what is not there, with the name that is nearest to it. Raises InputError."""
    text = str(path)
    # a Path has made one slash of two; a single letter before the colon is a drive
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", text):
        raise InputError(f"{shown(text)} is an address as a Path, which loses a slash; name it as text")
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise InputError(f"{shown(text)}: cannot be opened ({error.strerror})") from error
    except ValueError:
        raise InputError(f"{shown(text)!r}: no file can have this name") from None
    else:
        return
    from striate.data.sources.public_sets import PUBLIC_SETS

    try:
        near = os.listdir(path.parent)  # noqa: PTH208 - names alone
    except OSError:
        near = []
    hint = did_you_mean(path.name, near) or (did_you_mean(text, PUBLIC_SETS) if text == path.name else "")
    raise InputError(f"{shown(text)}: no such file or folder{shown(hint)}")


def why_no_source(path: Path) -> str:
    """What a file is that no source is meant for, or what is taken instead."""
    suffix = path.suffix.lower()
    if suffix in (".7z", ".rar", ".bz2", ".xz", ".zst"):
        return (
            "a packed file, of which .zip and .tar (.tar.gz, .tar.bz2, .tar.xz) are taken; unpack it, name the folder"
        )
    if suffix == ".npy":
        return "one array; name the folder that has the pictures and the labels in it (images.npy, labels.npy)"
    return (
        "no source of pictures; name a folder, a table (.csv, .tsv, .jsonl, .parquet), IDX files, arrays (.npz), "
        "tars (.tar, .tar.gz) or a .zip"
    )


def why_no_folder(path: Path, wanted: Asked) -> str:
    """What was looked for in a folder, and what is there instead."""
    top = listing(path)
    lacking = lacking_in(path, wanted)
    if lacking:
        return f"no class folders, and its table is none of labels ({lacking})"
    if top.pictures:
        return (
            f"{counted(len(top.pictures), 'picture')}, but nothing says their classes; "
            "move them into one folder a class, or put a table beside them (labels.csv with the columns path and label)"
        )
    there = f"; it holds {some([*top.folders, *top.others])}" if top.folders or top.others else "; it is empty"
    return (
        "no labelled pictures found (looked for class folders, also under train, val and test; a table with the "
        f"columns path and label; IDX files; the files of CIFAR; arrays of NumPy; Parquet files; tars){there}"
    )
