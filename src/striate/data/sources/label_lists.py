"""Several labels in one column: lists, texts that are lists as JSON or Python write them, and `cat|dog`."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.data.sources.columns import Column, Rows, is_empty, text_of
from striate.data.sources.listing import class_name, shown
from striate.errors import InputError

SEPARATORS = ("|", ";", ",")
EMPTY_LIST = "[]"  # also among texts: the picture has none of the labels
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
LONGEST_LIST = 1 << 16  # characters of a list in a text


def lists_of(column: Column, rows: Rows, *, anyway: bool) -> tuple[list[list[str] | None] | None, str]:
    """The labels of each row (None where nothing is said), and how they are written; None where they are no lists."""
    there = [value for value in column.values if not is_empty(value)]
    if any(isinstance(value, (list, tuple, np.ndarray)) for value in there):
        return [_of_list(value, column, rows, row) for row, value in enumerate(column.values)], "lists of labels"
    if not there or not all(isinstance(value, str) for value in there):
        if anyway:
            said = [None if is_empty(value) else value for value in column.values]
            return [
                None if value is None else [text_of(value, column, rows, row)] for row, value in enumerate(said)
            ], "one label a row"
        return None, ""
    written = _written_lists(column.values)
    if written is not None:
        return [
            None if value is None else _of_list(value, column, rows, row) for row, value in enumerate(written)
        ], "lists of labels"
    listed = anyway or any(value.strip() == EMPTY_LIST for value in there)
    separator = _separator(there, anyway=listed)
    if separator is None and not listed:
        return None, ""
    return [
        None if is_empty(value) else [] if value.strip() == EMPTY_LIST else _labels_in(value, separator)
        for value in column.values
    ], f"labels separated by '{separator}'"


def _of_list(value: Any, column: Column, rows: Rows, row: int) -> list[str] | None:
    if is_empty(value):
        return None
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise InputError(
            f"{rows.where(row)}: {value!r:.60} in '{shown(column.name)}' is no list, as the others there are"
        )
    labels = [text_of(one, column, rows, row) for one in value]
    if "" in labels:
        raise InputError(f"{rows.where(row)}: an empty label in the list in '{shown(column.name)}'")
    return labels


def _written_lists(values: Sequence[str]) -> list[list[Any] | None] | None:
    """Texts that all are lists as JSON or Python write them, '["cat", "dog"]'; None where one is none."""
    found: list[list[Any] | None] = []
    for value in values:
        text = "" if value is None else value.strip()
        if is_empty(text):
            found.append(None)
            continue
        if not (text.startswith("[") and text.endswith("]") and len(text) <= LONGEST_LIST):
            return None
        try:
            one = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return None
        if not isinstance(one, list) or not all(isinstance(item, (str, int)) for item in one):
            return None
        found.append(one)
    return found


def _separator(texts: Sequence[str], *, anyway: bool) -> str | None:
    """What separates labels in the texts: some have several, and each part of those stands in another text, too.

    "tench, Tinca tinca" is the name of one class: no other text has a part of it.
    """
    distinct = set(texts) - {EMPTY_LIST}
    for separator in SEPARATORS:
        several = [parts for text in distinct if len(parts := _parts(text, separator)) > 1]
        if several and anyway:
            return separator
        holders = Counter(part for text in distinct for part in set(_parts(text, separator)))
        if several and all(holders[part] > 1 for parts in several for part in parts):
            if separator == "," and all(DECIMAL_COMMA.fullmatch(text.strip()) for text in distinct):
                return None  # 3,5 is a number where these texts were written
            return separator
    return None


def _labels_in(text: str, separator: str | None) -> list[str]:
    return [class_name(part) for part in _parts(text, separator)]


def _parts(text: str, separator: str | None) -> list[str]:
    return [part for one in text.split(separator) if (part := one.strip())] if separator else [text.strip()]


def doubts_of(column: Column) -> tuple[str, ...]:
    for separator in SEPARATORS[:2]:
        several = sorted({value for value in column.values if isinstance(value, str) and separator in value})
        if len(several) > 1:
            return (
                f"labels such as '{shown(several[0])[:60]}' are taken for one class each; "
                "if they name several: --task multilabel",
            )
    return ()
