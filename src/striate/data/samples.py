"""What there is to learn from: an immutable table, one row a picture, without its pixels.

Class names live here, in natural order (2 before 10). Legend: N rows, K classes, labels or numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol, runtime_checkable

import numpy as np

from striate.errors import InputError
from striate.shown import as_html

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
UNLABELLED = -1
# What targets can say: names in `striate.tasks.TASKS`.
CLASSIFICATION, MULTILABEL, REGRESSION = "classification", "multilabel", "regression"
# How far the shares of a row may sum from 1: those of a table are rounded.
SHARES_ROUNDED = 0.01
# A text that is a number.
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


class Pictures(Protocol):
    """Where the pictures of a source are. Made by `data/sources` and by nothing else."""

    def load(self, index: int) -> bytes | np.ndarray:
        """The encoded bytes of picture `index`, or its pixels (H, W) or (H, W, C), `uint8`, or `float32` in [0, 255];
        of a table of numbers the fields of the row, (F,) `float32`.

        May be called from several threads at once. Raises InputError where it cannot be had
        (missing, unreadable), with the reason alone as its message (the caller knows the name).
        """
        ...


@runtime_checkable
class Arrays(Pictures, Protocol):
    """Pictures that lie in memory as arrays, some of which can be had all at once."""

    def grey_block(self, index: np.ndarray) -> np.ndarray | None:
        """Pictures `index` (n,) as one new array (n, H, W, 1) `uint8`; None where any of all is of another kind.

        Rows of a table of numbers are (n, 1, 1, F) `float32`.
        """
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

    `index` points into `pictures`, so that a selection of rows shares the pictures themselves. `targets` are

    - (N,) int64, into `class_names`: one class a picture; UNLABELLED where unknown;
    - (N, K) float32, a row of NaN where unknown: how probable each class is (classification), which labels a picture
      has, 0 or 1 (multilabel), or numbers (regression).

    Raises InputError where targets are no such thing, naming the first row.
    """

    source: str  # what the user named
    how: str  # one sentence for the log: how it was recognised
    pictures: Pictures
    index: np.ndarray  # (N,) int64, into `pictures`
    names: tuple[str, ...]  # N; path relative to the source, or "train-images-idx3-ubyte.gz#12"
    targets: np.ndarray  # (N,) int64 or (N, K) float32, see above
    class_names: tuple[str, ...]  # K: of the classes (natural order), of the labels, or of the numbers
    splits: np.ndarray  # (N,) str: "train", "validation", "test", or "" where the source has none
    groups: np.ndarray | None = None  # (N,) str: rows of one group stay in one split
    weights: np.ndarray | None = None  # (N,) float32, how much a row counts in the loss
    left_out: tuple[LeftOut, ...] = ()
    doubts: tuple[str, ...] = ()  # sentences on what may have been meant otherwise; a person should not overlook them
    task: str = CLASSIFICATION  # what the targets say
    fields: tuple[str, ...] = ()  # F: where the inputs are rows of a table of numbers and no pictures, what they are

    def __post_init__(self) -> None:
        _check_targets(self)

    def __len__(self) -> int:
        return len(self.names)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return as_html(self)

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

    @property
    def noun(self) -> str:
        """What a row is called in sentences."""
        return "row" if self.fields else "picture"

    @property
    def labelled(self) -> np.ndarray:
        """(N,) bool: whether it is known what the picture's target is."""
        return np.asarray(self.targets != UNLABELLED if self.targets.ndim == 1 else ~np.isnan(self.targets).any(axis=1))

    @property
    def classes(self) -> np.ndarray:
        """(N,) int64 into `class_names`, the most probable one of shares; UNLABELLED where unknown.

        Raises ValueError where the targets are no classes.
        """
        if self.task != CLASSIFICATION:
            raise ValueError(f"targets of {self.task} are no classes")
        if self.targets.ndim == 1:
            return self.targets
        known = self.labelled
        return np.where(known, np.where(known[:, None], self.targets, 0).argmax(axis=1), UNLABELLED).astype(np.int64)

    def label(self, row: int) -> str:
        """What the target of a row says, for a person: 'cat', 'car, tree', 'angle 12.5, width 3'; "" where unknown."""
        target = self.targets[row]
        if bool((target == UNLABELLED) if self.targets.ndim == 1 else np.isnan(target).any()):
            return ""
        if self.task == CLASSIFICATION:
            return self.class_names[int(target if self.targets.ndim == 1 else target.argmax())]
        values = zip(self.class_names, target.tolist(), strict=True)
        if self.task == MULTILABEL:
            return ", ".join(name for name, value in values if value > 0.5) or "(none)"
        return ", ".join(f"{name} {value:.6g}" for name, value in values)

    def pictures_by_split(self) -> dict[str, int]:
        """Rows of each split that has some, by its name."""
        return {split: len(self.rows(split)) for split in (*SPLITS, "") if bool((self.splits == split).any())}

    def counts(self) -> dict[str, np.ndarray]:
        """Pictures a class (K,) in each split that has rows, by split name; of labels those that have the label.

        Raises ValueError for numbers, which are not counted.
        """
        if self.task not in (CLASSIFICATION, MULTILABEL):
            raise ValueError(f"targets of {self.task} are not counted")
        known = self.labelled
        if self.task == MULTILABEL:
            return {
                split: self.targets[known & (self.splits == split)].sum(axis=0, dtype=np.float64).astype(np.int64)
                for split in self.pictures_by_split()
            }
        classes = self.classes
        return {
            split: np.bincount(classes[known & (self.splits == split)], minlength=len(self.class_names))
            for split in self.pictures_by_split()
        }


def _check_targets(samples: Samples) -> None:
    """Raise InputError, naming the first row, where the targets are not what `Samples` says that they are."""
    targets, names = samples.targets, samples.class_names
    if targets.ndim == 1:
        if samples.task != CLASSIFICATION:
            raise ValueError(f"targets of {samples.task} are (N, K), got {targets.shape}")
        return
    if targets.shape != (len(samples), len(names)) or targets.dtype.kind != "f":
        raise ValueError(f"targets must be ({len(samples)}, {len(names)}) float32, got {targets.shape} {targets.dtype}")
    unknown = np.isnan(targets)
    known = ~unknown.all(axis=1)
    wrong, what = known & ~np.isfinite(targets).all(axis=1), "some of its values are missing or infinite"
    if not wrong.any() and samples.task == MULTILABEL:
        wrong, what = known & ~((targets == 0) | (targets == 1)).all(axis=1), "a label is 1 (there) or 0 (not there)"
    if not wrong.any() and samples.task == CLASSIFICATION:
        wrong = known & ~(targets >= 0).all(axis=1)
        what = "the shares of its classes must not be negative"
        if not wrong.any():
            wrong = known & ~(np.abs(targets.sum(axis=1, dtype=np.float64) - 1) <= SHARES_ROUNDED)
            what = "the shares of its classes must sum to 1"
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        shown = ", ".join(f"{value:g}" for value in targets[row, :8].tolist()) + ", ..." * (len(names) > 8)
        raise InputError(f"{samples.source}: {samples.names[row]}: {what}, got {shown}")


def natural_key(text: str) -> tuple[tuple[int, Decimal, str], ...]:
    """Sort key that puts 'class 2' before 'class 10'; ties are broken by the text itself.

    A text that is a number and nothing else stands by its value: -1, 0, 0.25, 0.5, 1. Inside of a text a minus is
    rather a hyphen, and a point parts the numbers of a version: 1.9 before 1.10.
    """
    parts = ["", text, ""] if NUMBER.fullmatch(text) else re.split(r"(\d+)", text)
    key = tuple(
        (0, Decimal(part), "") if place % 2 and part.isascii() else (1, Decimal(0), part.casefold())
        for place, part in enumerate(parts)
    )
    return (*key, (2, Decimal(0), text))
