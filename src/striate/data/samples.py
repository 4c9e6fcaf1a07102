"""What there is to learn from: an immutable table, one row a picture, without its pixels.

Class names live here, in natural order (2 before 10). Legend: N rows, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
UNLABELLED = -1


class Pictures(Protocol):
    """Where the pictures of a source are. Made by `data/sources` and by nothing else."""

    def load(self, index: int) -> bytes | np.ndarray:
        """The encoded bytes of picture `index`, or its pixels (H, W) or (H, W, C), `uint8`, or `float32` in [0, 255].

        May be called from several threads at once. Raises InputError where it cannot be had
        (missing, unreadable), with the reason alone as its message (the caller knows the name).
        """
        ...


@runtime_checkable
class Arrays(Pictures, Protocol):
    """Pictures that lie in memory as arrays, some of which can be had all at once."""

    def grey_block(self, index: np.ndarray) -> np.ndarray | None:
        """Pictures `index` (n,) as one new array (n, H, W, 1) `uint8`; None where any of all is of another kind."""
        ...


@runtime_checkable
class Sharded(Pictures, Protocol):
    """Pictures that lie one after another in files, which are best read from their beginnings on."""

    @property
    def places(self) -> np.ndarray:
        """(n, 3) int64: number of the file, offset in it, bytes; one line for each picture that `load` takes."""
        ...

    @property
    def compressed(self) -> np.ndarray:
        """(files,) bool: whether a file can only be read from its beginning on."""
        ...

    def forward(self) -> Forward:
        """A reader of its own, for one thread at a time."""
        ...


class Forward(Protocol):
    """Loads pictures that are asked for in the order in which they lie; else it goes back to a file's beginning."""

    def load(self, index: int) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class LeftOut:
    """A picture that is not used: `name` as in `Samples.names`, and one reason for a person."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """An immutable table, one row a picture.

    `index` points into `pictures`, so that a selection of rows shares the pictures themselves.
    """

    source: str  # what the user named
    how: str  # one sentence for the log: how it was recognised
    pictures: Pictures
    index: np.ndarray  # (N,) int64, into `pictures`
    names: tuple[str, ...]  # N; path relative to the source, or "train-images-idx3-ubyte.gz#12"
    targets: np.ndarray  # (N,) int64, into `class_names`; UNLABELLED where unknown
    class_names: tuple[str, ...]  # K, natural order
    splits: np.ndarray  # (N,) str: "train", "validation", "test", or "" where the source has none
    groups: np.ndarray | None = None  # (N,) str: rows of one group stay in one split
    weights: np.ndarray | None = None  # (N,) float32, how much a row counts in the loss
    left_out: tuple[LeftOut, ...] = ()
    doubts: tuple[str, ...] = ()  # sentences on what may have been meant otherwise; a person should not overlook them

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, split: str) -> np.ndarray:
        """Row numbers (n,) int64 of one split, ascending."""
        return np.flatnonzero(self.splits == split)

    def select(self, rows: np.ndarray) -> Samples:
        """The table of these rows only, in the order given."""
        rows = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            index=self.index[rows],
            names=tuple(self.names[row] for row in rows),
            targets=self.targets[rows],
            splits=self.splits[rows],
            groups=None if self.groups is None else self.groups[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    def without(self, left_out: Sequence[tuple[int, str]]) -> Samples:
        """The table without the rows of `left_out` [(row, reason), ...], which join `left_out`."""
        if not left_out:
            return self
        gone = {row for row, _ in left_out}
        kept = self.select(np.array([row for row in range(len(self)) if row not in gone], dtype=np.int64))
        added = tuple(LeftOut(self.names[row], reason) for row, reason in sorted(left_out))
        return replace(kept, left_out=self.left_out + added)

    def counts(self) -> dict[str, np.ndarray]:
        """Pictures a class (K,) in each split that has rows, by split name."""
        known = self.targets != UNLABELLED
        return {
            str(split): np.bincount(self.targets[known & (self.splits == split)], minlength=len(self.class_names))
            for split in (*SPLITS, "")
            if bool((self.splits == split).any())
        }


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts 'class 2' before 'class 10'; ties are broken by the text itself."""
    parts = re.split(r"(\d+)", text)
    key = tuple(
        (0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part.casefold()) for part in parts
    )
    return (*key, (2, 0, text))
