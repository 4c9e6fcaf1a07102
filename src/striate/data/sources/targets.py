"""What is to be learned: columns of values -> targets, and what they say. Recognised, said, and overridden by `--task`.

| columns | targets |
|---|---|
| one of texts or whole numbers | one class, (N,) int64 |
| one of lists, or of texts that are lists ("cat|dog") | labels, of which a row has several, (N, K) of 0 and 1 |
| one or several of numbers | numbers, (N, K) float32 |
| several of 0 and 1 | labels; one class where each row has exactly one 1 |
| several in [0, 1], each row of which sums to 1 | shares of classes (soft labels), (N, K) float32 |

Legend: N rows, K classes, labels or numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from striate.data.samples import CLASSIFICATION, MULTILABEL, REGRESSION, SHARES_ROUNDED, UNLABELLED, natural_key
from striate.data.sources.classes import encode
from striate.data.sources.columns import Column, Rows, is_empty, no_label, number, text_of
from striate.data.sources.label_lists import DECIMAL_COMMA, EMPTY_LIST, doubts_of, lists_of
from striate.data.sources.listing import class_name, shown, some
from striate.errors import InputError, unknown
from striate.words import counted

TASKS = (CLASSIFICATION, MULTILABEL, REGRESSION)
NUMBER = "number"  # what is called so where nothing else names it
WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
MOST_VALUES = 1 << 30  # of a table of targets: 4 GiB
FEWEST = 5  # rows of which all but one say the same of what is meant: fewer may well be so by chance
MEANT = 0.9  # of the rows sum to 1: then all were meant to


@dataclass(frozen=True)
class Asked:
    """What a person says of the targets: `--task` (None: recognised) and `--targets` (none: found by their names)."""

    task: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Targets:
    """What was recognised. Rows of `left_out` hold UNLABELLED or NaN."""

    values: np.ndarray  # (N,) int64 or (N, K) float32, as in `Samples`
    names: tuple[str, ...]
    task: str
    what: str  # "3 classes", "7 labels", "a number", "4 numbers"
    notes: tuple[str, ...] = ()  # how it was understood, and how it is had otherwise
    doubts: tuple[str, ...] = ()
    left_out: tuple[tuple[int, str], ...] = ()  # (row, reason)


def asked(task: str | None, targets: str | Sequence[str] | None) -> Asked:
    """What `--task` and `--targets` say, as plain values. Raises InputError for a task that there is not."""
    if task in (None, "", "auto"):
        task = None
    elif task not in TASKS:
        raise unknown("task", str(task), TASKS)
    names = targets.split(",") if isinstance(targets, str) else list(targets or ())
    columns = tuple(dict.fromkeys(str(name).strip() for name in names if str(name).strip()))
    if targets is not None and not columns:
        raise InputError("--targets names no column; give their names, separated by commas")
    return Asked(task, columns)


def refuse(wanted: Asked, source: str, what: str) -> None:
    """Raise InputError where targets are asked for that a source with one class a picture does not have."""
    if wanted.columns and wanted != Asked(REGRESSION, (NUMBER,)):  # as a run that learned of such a source asks for
        raise InputError(
            f"{shown(source)}: {what} have no columns, so there is no {some(wanted.columns)} to learn; "
            "--targets is for tables"
        )
    if wanted.task == MULTILABEL:
        raise InputError(
            f"{shown(source)}: {what} give each picture one class; for several a table is needed, with a column for "
            "each (0 or 1) or a list (cat|dog)"
        )


def numbers_of_classes(targets: np.ndarray, class_names: Sequence[str], source: str) -> Targets:
    """Classes that are called by numbers, (N,), as those numbers, (N, 1). Raises InputError where one is no number."""
    values = [number(name) for name in class_names]
    for name, value in zip(class_names, values, strict=True):
        if value is None or not math.isfinite(value):
            raise InputError(
                f"{shown(source)}: the class '{shown(name)}' is no number, so that it cannot be learned as one"
            )
    found = np.array(values, dtype=np.float64)[targets]
    found[targets == UNLABELLED] = np.nan
    return Targets(found.astype(np.float32)[:, None], (NUMBER,), REGRESSION, "a number")


def read_targets(columns: Sequence[Column], task: str | None, rows: Rows) -> Targets:
    """The targets in the columns (one at least) of N rows (one at least).

    Rows without a number or a list are left out with the reason. Raises InputError, which names the line, for a row
    without a class, for text among numbers, and for shares that do not sum to 1.
    """
    if len(columns) == 1:
        return _of_one(columns[0], task, rows)
    return _of_several(columns, task, rows)


# -- one column ---------------------------------------------------------------------------------------


def _of_one(column: Column, task: str | None, rows: Rows) -> Targets:
    if task == REGRESSION:
        return _numbers([column], rows)
    vectors = _vectors(column)
    if vectors is not None:
        return _of_several(vectors, task, rows)
    if task == CLASSIFICATION:
        return _classes(column, rows)
    if task == MULTILABEL:
        found = [number(value) for value in column.values]
        if all(value in (0.0, 1.0) or (value is not None and math.isnan(value)) for value in found):
            return _of_several([column], task, rows)
    lists, how = lists_of(column, rows, anyway=task == MULTILABEL)
    if lists is not None:
        labels = _labels(lists, rows)
        return labels if task else replace(labels, notes=(f"{how} (each text one class: --task classification)",))
    found = [number(value) for value in column.values]
    known = [value for value in found if value is not None and not math.isnan(value)]
    if column.class_names is None and known and None not in found and any(value % 1 for value in known):
        note = f"'{shown(column.name)}' is learned as a number (as classes: --task classification)"
        whole = np.array([value is None or math.isnan(value) or value % 1 == 0 for value in found])
        odd = _but_one(whole, "hold a whole number, as classes do", rows)
        return replace(_numbers([column], rows), notes=(note,), doubts=odd)
    if any(isinstance(value, str) and DECIMAL_COMMA.fullmatch(value.strip()) for value in column.values):
        _refuse_decimal_commas(column, rows)
    classes = _classes(column, rows)
    if column.class_names is None and all(WHOLE.fullmatch(name) for name in classes.names):
        return replace(classes, notes=("whole numbers are taken for classes (as numbers: --task regression)",))
    return replace(classes, doubts=doubts_of(column))


def _classes(column: Column, rows: Rows) -> Targets:
    texts, left_out = [], []
    for row, value in enumerate(column.values):
        if column.class_names is not None and isinstance(value, (int, np.integer)) and value == UNLABELLED:
            left_out.append((row, f"no label ({value})"))
            continue
        text = text_of(value, column, rows, row)
        if is_empty(value) or not text:
            raise no_label(text, rows, row)
        texts.append(text)
    if not texts:
        raise InputError(f"no row has a label in '{shown(column.name)}'")
    known, names = encode(texts)
    values = np.full(len(column.values), UNLABELLED, dtype=np.int64)
    values[np.setdiff1d(np.arange(len(values)), [row for row, _ in left_out])] = known
    what = counted(len(names), "class", "classes")
    return Targets(values, names, CLASSIFICATION, what, left_out=tuple(left_out))


def _refuse_decimal_commas(column: Column, rows: Rows) -> None:
    """3,5 is no class: where a column holds nothing but numbers with commas, they were meant as numbers."""
    if all(is_empty(value) or DECIMAL_COMMA.fullmatch(str(value).strip()) for value in column.values):
        row = next(row for row, value in enumerate(column.values) if not is_empty(value))
        raise InputError(
            f"{rows.where(row)}: '{column.values[row]}' in '{shown(column.name)}' looks like a number with a decimal "
            "comma; write it with a point, or say what it is: --task multilabel, --task classification"
        )


def _labels(lists: Sequence[Sequence[str] | None], rows: Rows) -> Targets:
    """(N, K) of 0 and 1 of the labels that each row lists."""
    names = tuple(sorted({label for one in lists for label in one or ()}, key=natural_key))
    if not names:
        raise InputError(f"{rows.where(0)}: no row lists a label")
    _check_size(len(lists), len(names))
    place = {name: position for position, name in enumerate(names)}
    values = np.zeros((len(lists), len(names)), dtype=np.float32)
    left_out = []
    for row, one in enumerate(lists):
        if one is None:
            values[row] = np.nan
            left_out.append((row, f"no labels (where a picture has none, write {EMPTY_LIST})"))
        else:
            values[row, [place[label] for label in one]] = 1
    return Targets(values, names, MULTILABEL, counted(len(names), "label"), left_out=tuple(left_out))


def _vectors(column: Column) -> list[Column] | None:
    """A column of lists of equally many numbers with fractions, as a column for each place; None for any other."""
    there = [value for value in column.values if not is_empty(value)]
    if not there or not all(isinstance(value, (list, tuple, np.ndarray)) for value in there):
        return None
    width = len(there[0])
    items = [item for value in there for item in value]
    if not width or any(len(value) != width for value in there):
        return None
    if not all(isinstance(item, (float, np.floating)) for item in items):
        return None
    empty = [None] * width
    filled = [empty if is_empty(value) else list(value) for value in column.values]
    return [Column(f"{column.name} {place}", [row[place] for row in filled]) for place in range(width)]


# -- several columns, and numbers ---------------------------------------------------------------------


def _of_several(columns: Sequence[Column], task: str | None, rows: Rows) -> Targets:
    found = _numbers(columns, rows)
    if task == REGRESSION:
        return found
    names = tuple(class_name(column.name) for column in columns)
    gone = {row for row, _ in found.left_out}
    known = np.array([row for row in range(len(found.values)) if row not in gone], dtype=np.int64)
    matrix = found.values[known].astype(np.float64)
    zeros_and_ones = bool(((matrix == 0) | (matrix == 1)).all())
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
    binary = ((matrix == 0) | (matrix == 1)).all(axis=1)
    whole = np.abs(sums - 1) <= SHARES_ROUNDED
    between = ((matrix >= 0) & (matrix <= 1)).all(axis=1)
    if zeros_and_ones:
        if len(names) > 1 and bool((sums == 1).all()) and bool((matrix.sum(axis=0) < len(known)).all()):
            one = _shares(found, names, known, matrix, rows)
            return replace(
                one, notes=("columns of 0 and 1 with one 1 a row are classes (as labels: --task multilabel)",)
            )
        note = "columns of 0 and 1 are labels, of which a picture has several (as numbers: --task regression)"
        odd = _but_one(sums == 1, "have exactly one 1, as classes do", rows, known)
        return replace(labels, notes=(note,), doubts=odd if len(names) > 1 else ())
    odd = _but_one(binary, "hold 0 and 1 alone, as labels do", rows, known)
    if len(names) > 1 and bool(between.all()) and whole.mean() >= MEANT:
        shares = _shares(found, names, known, matrix, rows)
        note = "shares that sum to 1 are soft labels (as numbers: --task regression)"
        return replace(shares, notes=(note,), doubts=odd)
    if not odd and len(names) > 1:
        odd = _but_one(whole & between, "are shares that sum to 1, as those of classes do", rows, known)
    return replace(found, doubts=odd)


def _but_one(alike: np.ndarray, what: str, rows: Rows, known: np.ndarray | None = None) -> tuple[str, ...]:
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
        return replace(found, values=classes, names=ordered, task=CLASSIFICATION, what=what)
    values = np.full(found.values.shape, np.nan, dtype=np.float32)
    values[known] = (matrix / sums[:, None])[:, order]
    return replace(found, values=values, names=ordered, task=CLASSIFICATION, what=f"{what} as shares")


def _numbers(columns: Sequence[Column], rows: Rows) -> Targets:
    count = len(columns[0].values)
    _check_size(count, len(columns))
    values = np.empty((count, len(columns)), dtype=np.float32)
    for place, column in enumerate(columns):
        found = [number(value) for value in column.values]
        if None in found:
            row = found.index(None)
            raise InputError(
                f"{rows.where(row)}: {_short(column.values[row])} in '{shown(column.name)}' is no number; correct it, "
                "leave it empty, or name other columns with --targets"
            )
        with np.errstate(over="ignore"):
            values[:, place] = np.array(found, dtype=np.float64)
        endless = np.flatnonzero(np.isinf(values[:, place]))
        if len(endless):
            row = int(endless[0])
            raise InputError(
                f"{rows.where(row)}: {_short(column.values[row])} in '{shown(column.name)}' is too large a number"
            )
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
    return Targets(values, names, REGRESSION, what, left_out=left_out)


def _check_size(rows: int, names: int) -> None:
    if rows * names > MOST_VALUES:
        raise InputError(f"{rows:,} rows with {names:,} labels or numbers each are more than fit into memory")


def _short(value: Any) -> str:
    text = f"'{shown(value)}'" if isinstance(value, str) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}...'"
