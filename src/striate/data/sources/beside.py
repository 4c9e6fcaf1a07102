"""Tables and class folders side by side: which of them counts, and where they must agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from striate.data.samples import Samples
from striate.data.sources import folders as class_folders
from striate.data.sources import tabular
from striate.data.sources.asked import Asked
from striate.data.sources.listing import listing, shown, some
from striate.data.sources.tabular import Format
from striate.errors import InputError
from striate.words import counted

TABLES = ("parquet", "json-lines", "table")  # rows of SOURCES


def format_of(name: str) -> Format:
    """The format of the tables that a source of `TABLES` reads."""
    from striate.data.sources import json_lines, parquet, table

    return {"parquet": parquet.PARQUET, "json-lines": json_lines.JSON_LINES, "table": table.TEXT}[name]


def beside_folders(name: str, path: Path, wanted: Asked, read: Callable[[], Samples]) -> Samples:
    """A table with class folders beside it: they must agree, where the table says what is to be learned.

    `name`: of the source in `TABLES`; `read` reads it. Raises InputError where they do not agree.
    Columns of numbers beside class folders say something else (sizes, days), and do not count unless they are named.
    """
    parts = tabular.tables(format_of(name), path, wanted)
    if parts and wanted.task is None and not tabular.names_targets(format_of(name), parts[0].file, wanted):
        folders = _classes_in(path)
        if folders is not None:
            table = shown(parts[0].file.relative_to(path).as_posix())
            note = f"{table} has columns of numbers, which are not used (to learn them: --labels {table})"
            return replace(folders, how=f"{folders.how}; {note}")
    return _agreed(read(), path, name)


def _agreed(table: Samples, path: Path, source: str) -> Samples:
    """The table's rows, where class folders lie beside it and say the same. Raises InputError where they do not."""
    folders = _classes_in(path)
    if folders is None:
        return table
    told = dict(zip(folders.names, zip(folders.targets.tolist(), folders.splits.tolist(), strict=True), strict=True))
    missing = {left.name for left in table.left_out}
    wrong = ""
    for row, (name, split) in enumerate(zip(table.names, table.splits.tolist(), strict=True)):
        if name not in told:
            wrong = f"{name} is in the table, but in no class folder"
            break
        of_folder, split_of_folder = told.pop(name)
        label, other = table.label(row), folders.class_names[of_folder]
        if label != other or table.targets.ndim > 1:
            wrong = f"{name} is '{label}' in the table and '{other}' by its folder"
        elif split and split_of_folder and split != split_of_folder:
            wrong = f"{name} is in the {split} split of the table and in the {split_of_folder} folder"
        if wrong:
            break
    if not wrong and told.keys() - missing:
        wrong = f"{counted(len(told), 'picture')} of the folders not in the table (the first is {min(told)})"
    if wrong:
        found = [part.file for part in tabular.tables(format_of(source), path)] or [
            path / name for name in listing(path).others if name.lower().endswith(format_of(source).suffixes)
        ]
        name = shown(str(found[0] if found else path))
        raise InputError(
            f"{shown(str(path))}: the table and the class folders disagree: {wrong}; "
            f"say which one counts: --labels {name} or --labels folders"
        )
    splits = table.splits if bool((table.splits != "").any()) else _splits_of(table, folders)
    return replace(table, how=f"{table.how}; its class folders say the same", splits=splits)


def _classes_in(path: Path) -> Samples | None:
    """The class folders there; None where the folders are none, or one: a place, not a class."""
    try:
        folders = class_folders.read(path)
    except InputError:
        return None
    return folders if len(folders.class_names) > 1 else None


def beside_tables(folders: Samples, path: Path) -> Samples:
    """The same, which says that a table beside the class folders is none of labels.

    Raises InputError where the folders are no classes either: then the table was meant.
    """
    lacking = lacking_in(path, Asked())
    if not lacking:
        return folders
    if len(folders.class_names) < 2:
        raise InputError(
            f"{shown(str(path))}: {lacking}; with only the folder {some(folders.class_names)} beside it there are no "
            "classes to learn (if that is the class: --labels folders)"
        )
    return replace(folders, how=f"{folders.how}; {lacking}, so it is not used")


def lacking_in(path: Path, wanted: Asked) -> str:
    """What the tables in a folder lack of a table of labels: 'labels.csv has no column for the label (label, ...)'."""
    kinds = [format_of(name) for name in TABLES]
    names = [(name, kind) for name in listing(path).others for kind in kinds if name.lower().endswith(kind.suffixes)]
    return "; ".join(f"{shown(name)}: {tabular.missing(kind, path / name, wanted)}" for name, kind in names[:3])


def _splits_of(table: Samples, folders: Samples) -> np.ndarray:
    told = dict(zip(folders.names, folders.splits.tolist(), strict=True))
    return np.array([told[name] for name in table.names], dtype=np.str_)
