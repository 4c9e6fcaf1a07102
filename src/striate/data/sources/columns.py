"""The values of a column, whatever format they come from: empty ones, numbers, and the class that one names.

Formats of text have texts only; others have numbers, lists and None, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from striate.data.sources.listing import class_name, shown
from striate.errors import InputError

NO_LABEL = frozenset({"", "nan", "<na>", "null", "n/a", "#n/a"})
YES_OR_NO = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Column:
    """N values of one name: texts, or numbers, lists and None as formats have them that know more than texts."""

    name: str
    values: Sequence[Any]
    class_names: tuple[str, ...] | None = None  # where the values are numbers of these


@dataclass(frozen=True)
class Rows:
    """How rows are called in sentences: "line 7", and the name of the picture."""

    where: Callable[[int], str]
    called: Callable[[int], str]


def number(value: Any) -> float | None:
    """The number that a value is: NaN where it is empty, None where it is none. True is 1."""
    if isinstance(value, str):
        try:
            return None if "_" in value else float(value)
        except ValueError:
            if is_empty(value):
                return math.nan
            return YES_OR_NO.get(value.strip().casefold())
    if value is None:
        return math.nan
    if isinstance(value, (bool, int, float, Decimal, np.bool_, np.integer, np.floating)):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return None


def is_empty(value: Any) -> bool:
    """Whether a value is none: nothing, NaN, or a text that stands for it."""
    if isinstance(value, str):
        text = value.strip()
        return text.casefold() in NO_LABEL or text == "NA"
    return value is None or (isinstance(value, (float, np.floating)) and math.isnan(value))


def no_label(text: str, rows: Rows, row: int) -> InputError:
    """The sentence for a picture whose class is not said."""
    return InputError(
        f"{rows.where(row)}: no label ('{text}') for {rows.called(row)}; fill it in, or take the line out"
    )


def text_of(value: Any, column: Column, rows: Rows, row: int) -> str:
    """The class that a value names."""
    if isinstance(value, str):
        return class_name(value.strip())
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, Decimal, np.floating)):
        if not float(value).is_integer():
            return repr(float(value))
        value = int(value)
    if not isinstance(value, (int, np.integer)):
        raise InputError(
            f"{rows.where(row)}: a {type(value).__name__} in '{shown(column.name)}', where the name or the number of "
            "a class is needed"
        )
    if column.class_names is None and -(1 << 63) <= value < 1 << 64:
        return str(int(value))
    if column.class_names is None or not 0 <= value < len(column.class_names):
        last = len(column.class_names or "") - 1
        raise InputError(
            f"{rows.where(row)}: the number of a class in '{shown(column.name)}' is "
            + (f"{value}, but the file names those from 0 to {last}" if last >= 0 else "too large")
        )
    return class_name(column.class_names[int(value)])
