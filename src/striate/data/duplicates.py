"""Equal pictures: inside a split, across splits, and under different labels. Legend: N rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.data.samples import CLASSIFICATION, MULTILABEL, TRAIN, Samples
from striate.words import counted


@dataclass(frozen=True)
class Duplicates:
    """Equal pictures, by decoded content. Each entry is a group of rows, ascending; a group may be in several lists."""

    inside: tuple[tuple[int, ...], ...]  # two or more rows of one split
    across: tuple[tuple[int, ...], ...]  # rows of more than one split: the test knows what was learned
    conflicting: tuple[tuple[int, ...], ...]  # rows of more than one class: one label at least is wrong
    names: dict[int, str]  # of every row that occurs above
    labels: dict[int, str]  # what the targets of these rows say
    splits: dict[int, str]
    kinds: str = "classes"  # or labels, or numbers
    noun: str = "picture"  # what each row is called

    def __bool__(self) -> bool:
        return bool(self.inside or self.across or self.conflicting)

    def leaked(self, learned: Collection[str] = (TRAIN,)) -> tuple[int, ...]:
        """Rows of other splits that equal a picture of the splits `learned`, ascending."""
        return tuple(
            sorted(
                row
                for group in self.across
                if any(self.splits[other] in learned for other in group)
                for row in group
                if self.splits[row] not in learned
            )
        )

    def sentences(self) -> tuple[str, ...]:
        """A line for the log for each kind that was found."""
        said = []
        for groups, what in (
            (self.across, "occur in more than one split, so that what is measured was seen before"),
            (self.conflicting, f"occur under different {self.kinds}"),
            (self.inside, "occur more than once in a split"),
        ):
            if groups:
                rows = sum(len(group) for group in groups)
                example = " = ".join(self.names[row] for row in groups[0][:2])
                verb = what if len(groups) > 1 else what.replace("occur", "occurs", 1)
                places = "files" if self.noun == "picture" else "lines"
                said.append(f"{counted(len(groups), self.noun)} {verb} ({rows:,} {places}, such as {example})")
        return tuple(said)

    def to_json(self) -> dict[str, Any]:
        """Plain values: for each kind a list of groups, each a list of {path, label, split}."""

        def plain(groups: tuple[tuple[int, ...], ...]) -> list[list[dict[str, str]]]:
            return [
                [{"path": self.names[row], "label": self.labels[row], "split": self.splits[row]} for row in group]
                for group in groups
            ]

        return {
            "inside": plain(self.inside),
            "across": plain(self.across),
            "conflicting": plain(self.conflicting),
        }


def find_equal(checksums: np.ndarray, samples: Samples) -> Duplicates:
    """Which of the pictures are equal: checksums (N,) uint64 of their pixels, 0 for one that was not read."""
    if len(checksums) != len(samples):
        raise ValueError(f"{len(checksums)} checksums for {len(samples)} rows")
    inside, across, conflicting = [], [], []
    order = np.argsort(checksums, kind="stable")
    values = checksums[order]
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    starts = np.concatenate([[0], edges])
    ends = np.concatenate([edges, [len(values)]])
    groups = [
        tuple(int(row) for row in order[start:end])
        for start, end in zip(starts, ends, strict=True)
        if end - start > 1 and values[start] != 0
    ]
    for group in sorted(groups):
        splits = [str(samples.splits[row]) for row in group]
        if len(set(splits)) > 1:
            across.append(group)
        if len(set(splits)) < len(splits):
            inside.append(group)
        targets = samples.targets[list(group)]
        if bool(((targets != targets[0]) & ~(np.isnan(targets) & np.isnan(targets[0]))).any()):
            conflicting.append(group)
    rows = sorted({row for group in groups for row in group})
    return Duplicates(
        inside=tuple(inside),
        across=tuple(across),
        conflicting=tuple(conflicting),
        names={row: samples.names[row] for row in rows},
        labels={row: samples.label(row) for row in rows},
        noun=samples.noun,
        kinds={CLASSIFICATION: "classes", MULTILABEL: "labels"}.get(samples.task, "numbers"),
        splits={row: str(samples.splits[row]) for row in rows},
    )
