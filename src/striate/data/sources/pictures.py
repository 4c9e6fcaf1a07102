"""Pictures to be answered: files, folders, globs, and "-" for a list of names on standard input.

What cannot be had is a row that says so when it is loaded, so that the others are answered.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from striate.data.samples import UNLABELLED, Samples, natural_key
from striate.data.sources.files import Files
from striate.data.sources.listing import below, shown
from striate.errors import InputError
from striate.words import counted


def find_pictures(arguments: Sequence[str | Path], stdin: Iterable[str] | None = None) -> Samples:
    """The table of the pictures that `arguments` name, in their order, without targets (N rows, all -1).

    A folder stands for the pictures in it and below it, a pattern (*, ?, [) for what it matches,
    "-" for the lines of `stdin`. Names are as given. Raises InputError for an address, for no
    argument at all, and for "-" without `stdin`.
    """
    paths: list[str] = []
    reasons: dict[int, str] = {}
    for argument in arguments:
        if not isinstance(argument, str | os.PathLike):
            raise InputError(
                f"pictures are named by files, folders or patterns, got a value of type {type(argument).__name__}; "
                "arrays (H, W), (H, W, C) are answered by striate.load(run).predict(arrays)"
            )
        if os.fspath(argument) == "-":
            if stdin is None:
                raise InputError("'-' stands for a list of names on standard input, and there is none")
            for line in stdin:
                name = line.rstrip("\r\n")
                if name.strip():
                    _add(name, paths, reasons)
        else:
            _add(os.fspath(argument), paths, reasons)
    if not paths:
        raise InputError("no picture named; name files, folders or patterns, or '-' for a list on standard input")
    return Samples(
        source=shown(os.fspath(arguments[0])) if len(arguments) == 1 else f"{len(arguments)} arguments",
        how=counted(len(paths), "picture"),
        pictures=Files(paths, reasons),
        index=np.arange(len(paths), dtype=np.int64),
        names=tuple(map(shown, paths)),
        targets=np.full(len(paths), UNLABELLED, dtype=np.int64),
        class_names=(),
        splits=np.full(len(paths), "", dtype=np.str_),
    )


def _add(name: str, paths: list[str], reasons: dict[int, str]) -> None:
    if "://" in name:
        raise InputError(f"{shown(name)} is an address; download it first, pictures must be files on this machine")
    try:
        is_folder, is_there = os.path.isdir(name), os.path.lexists(name)  # noqa: PTH112
    except ValueError:  # a NUL in its name
        is_folder = is_there = False
    if is_folder:
        found = _in_folder(name)
        if isinstance(found, str):
            reasons[len(paths)] = found
            paths.append(name)
        else:
            paths.extend(found)
        return
    if not is_there and glob.has_magic(name) and "\0" not in name:
        matches = sorted(glob.glob(name, recursive=True), key=natural_key)  # noqa: PTH207 - keeps names as given
        if not matches:
            reasons[len(paths)] = "nothing matches this pattern"
            paths.append(name)
        for match in matches:
            if os.path.isdir(match):  # noqa: PTH112
                found = _in_folder(match)
                paths.extend([] if isinstance(found, str) else found)
            else:
                paths.append(match)
        return
    paths.append(name)


def _in_folder(folder: str) -> list[str] | str:
    """The pictures below a folder in natural order, or why there are none."""
    try:
        found = [inside.join(name) for _, inside in below(folder) for name in inside.pictures]
    except InputError as error:
        return str(error)
    return sorted(found, key=natural_key) or "no picture in this folder"
