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
from dataclasses import replace

import numpy as np

from striate.data.samples import CLASSIFICATION, MULTILABEL, REGRESSION, UNLABELLED, natural_key
from striate.data.sources.classes import encode
from striate.data.sources.columns import Column, Rows, is_empty, no_label, number, text_of
from striate.data.sources.label_lists import DECIMAL_COMMA, EMPTY_LIST, doubts_of, lists_of
from striate.data.sources.listing import shown
from striate.data.sources.number_columns import but_one, numbers_of, recognise
from striate.data.sources.targets import Targets, check_size
from striate.errors import InputError
from striate.words import counted

WHOLE = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)
EXACT = 2**53  # below it a float64 knows each whole number


def read_targets(columns: Sequence[Column], task: str | None, rows: Rows) -> Targets:
    """The targets in the columns (one at least) of N rows (one at least).

    Rows without a number or a list are left out with the reason. Raises InputError, which names the line, for a row
    without a class, for text among numbers, and for shares that do not sum to 1.
    """
    if len(columns) == 1:
        return _of_one(columns[0], task, rows)
    return recognise(columns, task, rows)


def _of_one(column: Column, task: str | None, rows: Rows) -> Targets:
    vectors = _vectors(column, whole=task == REGRESSION)
    if vectors is not None:
        return recognise(vectors, task, rows)
    if task == REGRESSION:
        return numbers_of([column], rows)
    if task == CLASSIFICATION:
        return _classes(column, rows)
    if task == MULTILABEL:
        found = [number(value) for value in column.values]
        if all(value in (0.0, 1.0) or (value is not None and math.isnan(value)) for value in found):
            return recognise([column], task, rows)
    lists, how = lists_of(column, rows, anyway=task == MULTILABEL)
    if lists is not None:
        labels = _labels(lists, rows)
        return labels if task else replace(labels, notes=(f"{how} (each text one class: --task classification)",))
    found = [number(value) for value in column.values]
    whole = np.array([_is_whole(value, told) for value, told in zip(found, column.values, strict=True)])
    if column.class_names is None and None not in found and not whole.all():
        note = f"'{shown(column.name)}' is learned as a number (as classes: --task classification)"
        odd = but_one(whole, "hold a whole number, as classes do", rows)
        numbers = numbers_of([column], rows)
        return replace(numbers, notes=(note,), doubts=(*odd, *numbers.doubts))
    if any(isinstance(value, str) and DECIMAL_COMMA.fullmatch(value.strip()) for value in column.values):
        _refuse_decimal_commas(column, rows)
    classes = _classes(column, rows)
    if column.class_names is None and all(WHOLE.fullmatch(name) for name in classes.names):
        return replace(classes, notes=("whole numbers are taken for classes (as numbers: --task regression)",))
    return replace(classes, doubts=doubts_of(column))


def _is_whole(value: float | None, told: object) -> bool:
    """Whether a number may be that of a class; what is empty, or no number, does not speak against it. Floats beyond
    2^53 have no digits for a fraction: 1.7e30 is no class."""
    if value is None or math.isnan(value):
        return True
    if abs(value) < EXACT or isinstance(told, (int, np.integer)):
        return value % 1 == 0
    return isinstance(told, str) and WHOLE.fullmatch(told.strip()) is not None


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
    check_size(len(lists), len(names))
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


def _vectors(column: Column, whole: bool) -> list[Column] | None:
    """A column of lists of equally many numbers, some with a fraction or all `whole`, as a column for each place; None
    for any other."""
    there = [value for value in column.values if not is_empty(value)]
    if not there or not all(isinstance(value, (list, tuple, np.ndarray)) for value in there):
        return None
    width = len(there[0])
    items = [item for value in there for item in value]
    if not width or any(len(value) != width for value in there):
        return None
    numbers = (float, np.floating, int, np.integer)
    if not all(isinstance(item, numbers) and not isinstance(item, bool) for item in items):
        return None
    if not whole and not any(isinstance(item, (float, np.floating)) for item in items):
        return None
    empty = [None] * width
    filled = [empty if is_empty(value) else list(value) for value in column.values]
    return [Column(f"{column.name} {place}", [row[place] for row in filled]) for place in range(width)]
