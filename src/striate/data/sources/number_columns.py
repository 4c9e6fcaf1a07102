"""Columns of numbers -> numbers, labels, classes or shares of classes, by what the numbers are.

Legend: N rows, K columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from striate.data.samples import CLASSIFICATION, MULTILABEL, REGRESSION, SHARES_ROUNDED, UNLABELLED, natural_key
from striate.data.sources.columns import Column, Rows, number
from striate.data.sources.digits import lost_digits
from striate.data.sources.listing import class_name, shown, some
from striate.data.sources.targets import Targets, check_size
from striate.errors import InputError
from striate.words import counted

FEWEST = 5  # rows of which all but one say the same of what is meant: fewer may well be so by chance
MEANT = 0.9  # of the rows sum to 1: then all were meant to


def recognise(columns: Sequence[Column], task: str | None, rows: Rows) -> Targets:
    """What columns of numbers say, or `task` says of them. Raises InputError for what is no number, and for what the
    task cannot take: a label that is neither 0 nor 1, shares that do not sum to 1."""
    found = numbers_of(columns, rows)
    if task == REGRESSION:
        return found
    names = tuple(class_name(column.name) for column in columns)
    gone = {row for row, _ in found.left_out}
    known = np.array([row for row in range(len(found.values)) if row not in gone], dtype=np.int64)
    matrix = found.values[known].astype(np.float64)
    binary = ((matrix == 0) | (matrix == 1)).all(axis=1)
    zeros_and_ones = bool(binary.all())
    sums = matrix.sum(axis=1)
    labels = replace(found, names=names, task=MULTILABEL, what=counted(len(names), "label"))
    if task == MULTILABEL:
        if not zeros_and_ones:
            row, place = (int(one[0]) for one in np.nonzero((matrix != 0) & (matrix != 1)))
            raise InputError(
                f"{rows.where(int(known[row]))}: {matrix[row, place]:g} in '{shown(names[place])}'; a label is 1 "
                "(there) or 0 (not there)"
            )
        return labels
    if task == CLASSIFICATION:
        return _shares(found, names, known, matrix, rows)
    whole = np.abs(sums - 1) <= SHARES_ROUNDED
    between = ((matrix >= 0) & (matrix <= 1)).all(axis=1)
    if zeros_and_ones:
        if len(names) > 1 and bool((sums == 1).all()) and bool((matrix.sum(axis=0) < len(known)).all()):
            one = _shares(found, names, known, matrix, rows)
            return replace(
                one, notes=("columns of 0 and 1 with one 1 a row are classes (as labels: --task multilabel)",)
            )
        note = "columns of 0 and 1 are labels, of which a picture has several (as numbers: --task regression)"
        odd = but_one(sums == 1, "have exactly one 1, as classes do", rows, known)
        return replace(labels, notes=(note,), doubts=odd if len(names) > 1 else ())
    odd = but_one(binary, "hold 0 and 1 alone, as labels do", rows, known)
    if len(names) > 1 and bool(between.all()) and whole.mean() >= MEANT:
        shares = _shares(found, names, known, matrix, rows)
        note = "shares that sum to 1 are soft labels (as numbers: --task regression)"
        return replace(shares, notes=(note,), doubts=odd)
    if not odd and len(names) > 1:
        odd = but_one(whole & between, "are shares that sum to 1, as those of classes do", rows, known)
    return replace(found, doubts=(*odd, *found.doubts))


def but_one(alike: np.ndarray, what: str, rows: Rows, known: np.ndarray | None = None) -> tuple[str, ...]:
    """A doubt where all rows but one are `alike`, (N,) bool: that one decides what is learned. known: their numbers."""
    if len(alike) < FEWEST or alike.sum() != len(alike) - 1:
        return ()
    at = int(alike.argmin())
    row = at if known is None else int(known[at])
    return (f"all rows but {rows.where(row)} {what}; if it is a slip, correct that row",)


def _shares(found: Targets, names: tuple[str, ...], known: np.ndarray, matrix: np.ndarray, rows: Rows) -> Targets:
    """Shares of classes as soft labels, each row of which sums to exactly 1; whole ones as classes."""
    order = sorted(range(len(names)), key=lambda place: natural_key(names[place]))
    ordered = tuple(names[place] for place in order)
    sums = matrix.sum(axis=1)
    for wrong, what in (
        ((matrix < 0).any(axis=1), "has a negative share"),
        (np.abs(sums - 1) > SHARES_ROUNDED, "has shares that sum to {:g}"),
    ):
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            row = int(known[at])
            raise InputError(
                f"{rows.where(row)}: {rows.called(row)} {what.format(round(float(sums[at]), 6))}; "
                f"soft labels ({some(names, 3)}) sum to 1 (as numbers: --task regression)"
            )
    what = counted(len(names), "class", "classes")
    if bool(((matrix == 0) | (matrix == 1)).all()):
        classes = np.full(len(found.values), UNLABELLED, dtype=np.int64)
        classes[known] = matrix[:, order].argmax(axis=1)
        # only classes that occur are classes
        there = np.unique(classes[known])
        number_of = np.full(len(names), UNLABELLED, dtype=np.int64)
        number_of[there] = np.arange(len(there))
        classes[known] = number_of[classes[known]]
        ordered = tuple(ordered[place] for place in there)
        what = counted(len(ordered), "class", "classes")
        return replace(found, values=classes, names=ordered, task=CLASSIFICATION, what=what, doubts=())
    values = np.full(found.values.shape, np.nan, dtype=np.float32)
    values[known] = (matrix / sums[:, None])[:, order]
    return replace(found, values=values, names=ordered, task=CLASSIFICATION, what=f"{what} as shares", doubts=())


def numbers_of(columns: Sequence[Column], rows: Rows) -> Targets:
    """The columns as numbers, (N, K); rows without all of them are left out. Raises InputError for what is none."""
    count = len(columns[0].values)
    check_size(count, len(columns))
    values = np.empty((count, len(columns)), dtype=np.float32)
    doubts: list[str] = []
    for place, column in enumerate(columns):
        found = [number(value) for value in column.values]
        if None in found:
            row = found.index(None)
            raise InputError(
                f"{rows.where(row)}: {_short(column.values[row])} in '{shown(column.name)}' is no number; correct it, "
                "leave it empty, or name other columns with --targets"
            )
        with np.errstate(over="ignore"):
            wide = np.array(found, dtype=np.float64)
            values[:, place] = wide
        endless = np.flatnonzero(np.isinf(values[:, place]))
        if len(endless):
            row = int(endless[0])
            raise InputError(
                f"{rows.where(row)}: {_short(column.values[row])} in '{shown(column.name)}' is too large a number"
            )
        doubts.extend(lost_digits(wide[:, None], [column.name]))
    empty = np.isnan(values)
    left_out = tuple(
        (int(row), f"no number in '{shown(columns[int(empty[row].argmax())].name)}'")
        for row in np.flatnonzero(empty.any(axis=1))
    )
    if len(left_out) == count:
        raise InputError(f"no row has a number in {some([column.name for column in columns])}")
    values[empty.any(axis=1)] = np.nan
    names = tuple(shown(column.name) for column in columns)
    what = "a number" if len(names) == 1 else counted(len(names), "number")
    return Targets(values, names, REGRESSION, what, doubts=tuple(doubts), left_out=left_out)


def _short(value: Any) -> str:
    text = f"'{shown(value)}'" if isinstance(value, str) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}...'"
