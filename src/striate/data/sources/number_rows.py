"""Rows of tables of numbers: their fields out of columns of texts or numbers, kept in 32 bits, and rows to be answered.

Legend: N rows, F fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.samples import UNLABELLED, Samples
from striate.data.sources.column_roles import Table
from striate.data.sources.columns import is_empty, number
from striate.data.sources.json_lines import JSON_LINES
from striate.data.sources.listing import is_picture, shown, some
from striate.data.sources.parquet import PARQUET
from striate.data.sources.table import TEXT
from striate.data.sources.tabular import Format
from striate.errors import InputError, did_you_mean
from striate.words import counted

FORMATS = (TEXT, JSON_LINES, PARQUET)
MISSING = "?"  # as many old tables have it


class NumberRows:
    """`Pictures` of a table of numbers (N, F) `float32`. `reasons`: what rows are of no use, and why."""

    def __init__(self, values: np.ndarray, reasons: Mapping[int, str] | None = None) -> None:
        self.values = values
        self.reasons = dict(reasons or {})

    def load(self, index: int) -> np.ndarray:
        """The fields (F,) of row `index`: a view. Raises InputError (the reason alone)."""
        if index in self.reasons:
            raise InputError(self.reasons[index])
        row: np.ndarray = self.values[index]
        return row

    def grey_block(self, index: np.ndarray) -> np.ndarray | None:
        """Rows `index` (n,) as one new array (n, 1, 1, F); None where some are of no use."""
        return None if self.reasons else np.ascontiguousarray(self.values[index])[:, None, None]

    def ordered(self, order: Sequence[int]) -> NumberRows:
        """The same rows with these of their fields, in this order."""
        return NumberRows(self.values[:, list(order)], self.reasons)


def find_rows(paths: Sequence[str | Path], fields: Sequence[str]) -> Samples:
    """The rows of tables with these fields (other columns are not looked at), without targets, to be answered.

    Rows without all of their numbers are there, and say so when they are loaded. Raises InputError for what is no
    table, and for a table without one of the fields.
    """
    titles: list[str] = []
    values: list[np.ndarray] = []
    for path in map(Path, paths):
        where = shown(str(path))
        kind = format_of(path)
        if kind is None:
            endings = ", ".join(suffix for one in FORMATS for suffix in one.suffixes)
            raise InputError(f"{where}: the run answers rows of a table of numbers ({endings}), not pictures")
        try:
            table = kind.whole(path)
            values.append(fields_in(table, places_of(table, fields)))
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        titles += [f"{where}#{row}" for row in range(1, len(table.lines) + 1)]
    kept, reasons = in_32_bits(np.concatenate(values), fields)
    if not titles:
        raise InputError(f"{shown(str(paths[0]))}: the table has a header, but no row")
    return Samples(
        source=shown(str(paths[0])) if len(paths) == 1 else f"{len(paths)} tables",
        how=counted(len(titles), "row"),
        pictures=NumberRows(kept, reasons),
        index=np.arange(len(titles), dtype=np.int64),
        names=tuple(titles),
        targets=np.full(len(titles), UNLABELLED, dtype=np.int64),
        class_names=(),
        splits=np.full(len(titles), "", dtype=np.str_),
        fields=tuple(fields),
    )


def format_of(path: Path) -> Format | None:
    return next((kind for kind in FORMATS if path.name.lower().endswith(kind.suffixes)), None)


def places_of(table: Table, fields: Sequence[str]) -> list[int]:
    """Where the fields are, by their names. Raises InputError where one is not there."""
    exact = [name.strip() for name in table.names]
    folded = [name.casefold() for name in exact]
    found = []
    for name in fields:
        if name in exact:
            found.append(exact.index(name))
        elif folded.count(name.casefold()) == 1:
            found.append(folded.index(name.casefold()))
        else:
            hint = did_you_mean(name, exact) or f"; columns there: {some(exact, 12)}"
            raise InputError(f"no column '{shown(name)}'{hint}")
    return found


def number_in(value: Any) -> float | None:
    """The number that a value is: NaN where it is missing, None where it is a text."""
    if isinstance(value, str) and value.strip() == MISSING:
        return float("nan")
    return number(value)


def fields_in(table: Table, places: Sequence[int]) -> np.ndarray:
    """(N, F) float64, NaN where nothing is said. Raises InputError where a text is."""
    found = np.empty((len(table.lines), len(places)), dtype=np.float64)
    for position, place in enumerate(places):
        column = table.columns[place]
        values = [number_in(value) for value in column]
        if None in values:
            row = values.index(None)
            raise _text_among(table.names[place].strip(), column, f"{table.unit} {table.lines[row]}", column[row])
        found[:, position] = values
    return found


def _text_among(name: str, column: Sequence[Any], where: str, value: Any) -> InputError:
    """The sentence for a field that holds a text."""
    said = f"{where}: '{shown(str(value))[:60]}' in '{shown(name)}' is no number"
    if is_picture(str(value)):
        return InputError(f"{said}; if the column names pictures, call it path")
    if isinstance(value, str) and number_in(value.replace(",", ".")) is not None:
        return InputError(f"{said}; write it with a decimal point")
    kinds = {str(one) for one in column if not is_empty(one)}
    how_many = f" ({counted(len(kinds), 'different value')})" if len(kinds) <= 20 else ""
    return InputError(
        f"{said}, and fields must be; take the column out, write a column of 0 and 1 for each of its values{how_many}, "
        f"or, if it is what is to be learned: --targets {shown(name)}"
    )


def in_32_bits(values: np.ndarray, fields: Sequence[str]) -> tuple[np.ndarray, dict[int, str]]:
    """(N, F) float32, and the rows that cannot be used, with the reason."""
    with np.errstate(over="ignore"):
        kept = values.astype(np.float32)
    reasons = {}
    for row in np.flatnonzero(~np.isfinite(kept).all(axis=1)).tolist():
        place = int(np.flatnonzero(~np.isfinite(kept[row]))[0])
        value = values[row, place]
        what = "no number" if np.isnan(value) else f"{value:g}, which is too large,"
        reasons[row] = f"{what} in '{shown(fields[place])}'"
    return kept, reasons
