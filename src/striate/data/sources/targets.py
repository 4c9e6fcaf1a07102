"""What is to be learned of the rows of a source, as it was recognised. Legend: N rows, K classes, labels or numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.errors import InputError

NUMBER = "number"  # what is called so where nothing else names it
MOST_VALUES = 1 << 30  # of a table of targets: 4 GiB


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


def check_size(rows: int, names: int) -> None:
    """Raise InputError where labels or numbers of so many rows do not fit into memory."""
    if rows * names > MOST_VALUES:
        raise InputError(f"{rows:,} rows with {names:,} labels or numbers each are more than fit into memory")
