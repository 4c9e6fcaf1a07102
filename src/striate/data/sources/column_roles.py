"""What a table of pictures holds, in any format: its columns, and which of them say what.

Columns by name, in any order and case; without one for labels all that are left, where they are numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from striate.data.sources.asked import Asked
from striate.data.sources.columns import Column, number
from striate.errors import InputError, unknown

PATH_COLUMNS = ("path", "file", "filename", "image", "filepath", "file_name", "file_path", "image_path")
LABEL_COLUMNS = ("label", "class", "target", "class_name", "labels", "classes", "targets", "tags", "fine_label")
SPLIT_COLUMNS = ("split",)
GROUP_COLUMNS = ("group", "group_id")
# That number the rows, and mean nothing.
COUNTING_COLUMNS = ("", "id", "index", "idx", "unnamed: 0", "__index_level_0__")
HEAD_ROWS = 100  # that are looked at to see which columns are numbers


@dataclass(frozen=True, eq=False)
class Table:
    """What a table holds: K columns of N values, and on which line each row stands."""

    title: str  # of its file, for sentences
    names: tuple[str, ...]  # K, as they are written
    columns: Sequence[Sequence[Any]]  # K of N: texts, or what the format knows more than texts; None where nothing is
    lines: Sequence[int]  # N
    unit: str = "line"  # what a place is called in sentences
    notes: tuple[str, ...] = ()  # how it was read
    class_names: tuple[tuple[str, ...] | None, ...] = ()  # K, where a column holds numbers of classes

    def column(self, place: int) -> Column:
        """One of its columns."""
        named = self.class_names[place] if self.class_names else None
        return Column(self.names[place].strip(), self.columns[place], named)


@dataclass(frozen=True)
class Roles:
    """Which columns are what; -1 where there is none."""

    path: int
    split: int
    group: int
    targets: tuple[int, ...]
    told: bool  # the targets by their names; else they are all columns of numbers that there are


def find_roles(table: Table, wanted: Asked, pictures: int | None = None) -> Roles | str:
    """Which columns are what, or what is lacking, as a part of a sentence. Raises InputError for equal names.

    `pictures`: the column of the pictures, -1 where it is not in the table; by default the paths are looked for.
    """
    names = [name.strip().casefold() for name in table.names]

    def place(known: Sequence[str]) -> int:
        for name in known:
            if names.count(name) > 1:
                raise InputError(f"two columns are called '{name}'")
            if name in names:
                return names.index(name)
        return -1

    path = place(PATH_COLUMNS) if pictures is None else pictures
    split, group = place(SPLIT_COLUMNS), place(GROUP_COLUMNS)
    lacking = [] if path >= 0 or pictures is not None else [f"no column for the path ({', '.join(PATH_COLUMNS[:4])})"]
    targets: tuple[int, ...] = ()
    told = True
    if wanted.columns:
        strange = [name for name in wanted.columns if name.casefold() not in names]
        if strange:
            lacking.append(str(unknown("column", strange[0], [name.strip() for name in table.names])))
        else:
            targets = tuple(place([name.casefold()]) for name in wanted.columns)
            if path >= 0 and path in targets:
                lacking.append(f"the column '{table.names[path].strip()}' names the pictures, so it cannot be learned")
    else:
        label = place(LABEL_COLUMNS)
        targets, told = ((label,), True) if label >= 0 else (_numbers_in(table, {path, split, group}), False)
        if not targets:
            lacking.append(f"no column for the label ({', '.join(LABEL_COLUMNS[:4])})")
    return " and ".join(lacking) if lacking else Roles(path, split, group, targets, told)


def number_columns(table: Table) -> list[int]:
    """The columns whose first rows hold numbers, one at least; those that number the rows are none."""
    found = []
    for place, name in enumerate(table.names):
        if name.strip().casefold() not in COUNTING_COLUMNS:
            values = [number(value) for value in table.columns[place][:HEAD_ROWS]]
            if None not in values and not all(math.isnan(value) for value in values if value is not None):
                found.append(place)
    return found


def _numbers_in(table: Table, taken: set[int]) -> tuple[int, ...]:
    """All columns that are left, where all of them hold numbers; else none."""
    left = [
        place
        for place, name in enumerate(table.names)
        if place not in taken and name.strip().casefold() not in COUNTING_COLUMNS
    ]
    names = [table.names[place].strip() for place in left]
    return tuple(left) if set(left) <= set(number_columns(table)) and len(set(names)) == len(names) else ()
