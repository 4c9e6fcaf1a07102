"""What is taken for what: the matrix as a table of levels, as a list of pairs, and as a picture.

Legend: K classes; rows of a matrix (K, K) are the labels, columns the answers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVELS = 8
MOST_CELLS = 400  # a side of the picture; larger matrices are pooled by their largest share


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of the table; `level` 0..8 is how strongly it is coloured."""

    count: int
    share: float
    level: int
    right: bool
    told: str


def shares(matrix: np.ndarray) -> np.ndarray:
    """Each row (K,) of counts as shares of its sum; zeros where the class has no picture."""
    sums = matrix.sum(axis=1, keepdims=True)
    share: np.ndarray = np.divide(matrix, sums, out=np.zeros(matrix.shape, dtype=np.float64), where=sums > 0)
    return share


def cells(matrix: np.ndarray, class_names: Sequence[str]) -> list[list[Cell]]:
    """The table, row by row."""
    share = shares(matrix)
    level = np.where(matrix > 0, 1 + np.minimum(LEVELS - 1, np.floor(share * LEVELS)), 0).astype(int)
    return [
        [
            Cell(
                count=int(matrix[row, column]),
                share=float(share[row, column]),
                level=int(level[row, column]),
                right=row == column,
                told=f"{class_names[row]} answered as {class_names[column]}: {int(matrix[row, column])}",
            )
            for column in range(len(class_names))
        ]
        for row in range(len(class_names))
    ]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Pictures of one class that were taken for another: how many, and what share of the class."""

    target: str
    prediction: str
    count: int
    of: int


def pairs(matrix: np.ndarray, class_names: Sequence[str], most: int = 30) -> list[Pair]:
    """The most frequent confusions, most frequent first; ties by the larger share of their class."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    rows, columns = np.nonzero(wrong)
    sums = matrix.sum(axis=1)
    order = sorted(
        zip(rows.tolist(), columns.tolist(), strict=True),
        key=lambda at: (-wrong[at], -wrong[at] / max(1, sums[at[0]]), at),
    )
    return [
        Pair(target=class_names[row], prediction=class_names[column], count=int(wrong[row, column]), of=int(sums[row]))
        for row, column in order[:most]
    ]


def heat_picture(matrix: np.ndarray) -> bytes:
    """The matrix (K, K) as a PNG on a clear ground: right answers blue, wrong ones orange, paler where rarer.

    One pixel a cell, or the strongest of a block of cells where K is over `MOST_CELLS`.
    """
    from PIL import Image

    share = shares(matrix)
    # The root lifts rare confusions, which are what one looks for, out of the ground.
    strength = np.sqrt(share)
    diagonal = np.diag(np.diagonal(strength)).astype(np.float64)
    block = -(-len(matrix) // MOST_CELLS)
    right, wrong = (_pool(part, block) for part in (diagonal, strength - diagonal))
    paint = np.zeros((*right.shape, 4), dtype=np.uint8)
    mistaken = wrong > right
    paint[..., :3] = np.where(mistaken[..., None], (214, 98, 42), (58, 134, 186))
    paint[..., 3] = np.rint(255 * np.where(mistaken, np.maximum(wrong, 0.25), right)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(paint).save(out, "PNG", optimize=True)
    return out.getvalue()


def _pool(values: np.ndarray, block: int) -> np.ndarray:
    if block <= 1:
        return values
    size = -(-len(values) // block)
    padded = np.zeros((size * block, size * block))
    padded[: len(values), : len(values)] = values
    pooled: np.ndarray = padded.reshape(size, block, size, block).max(axis=(1, 3))
    return pooled
