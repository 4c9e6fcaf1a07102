"""What the report of a training shows: plain values, which `pages.py` makes a page of. Legend: K classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A training picture that is near to a mistake, in the network's own features."""

    picture: bytes  # PNG or JPEG
    name: str
    label: str
    distance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A picture whose answer is not its label, with the training pictures nearest to it, nearest first."""

    picture: bytes  # PNG or JPEG
    name: str
    target: str
    prediction: str
    probability: float | None  # of `prediction`; None where the answer is a number
    neighbours: tuple[Neighbour, ...] = ()
    note: str = ""  # how far off it is, say

    @property
    def doubtful_label(self) -> bool:
        """Whether most of its neighbours carry the answer's class: then the label may be what is wrong."""
        agreeing = sum(one.label == self.prediction for one in self.neighbours)
        return len(self.neighbours) >= 2 and agreeing * 2 > len(self.neighbours)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A picture and the classes that were most probable for it: (name, probability), most probable first; or labels,
    the least certain first, of which it has `targets`."""

    picture: bytes  # PNG or JPEG
    name: str
    target: str
    top: tuple[tuple[str, float], ...]
    targets: tuple[str, ...] = ()

    @property
    def true_names(self) -> tuple[str, ...]:
        """The class, or the labels, that the picture has."""
        return self.targets or (self.target,)


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """All that the report of a training shows. Plain values; an empty part says so on the page or is left away.

    evaluation: an evaluation's `to_json()` (`striate.evaluation`), None where nothing was held out. history: one row an
    epoch. task: as in `striate.tasks.TASKS`; class_names: of the classes, the labels or the numbers. counts: pictures a
    class, or with a label, (K,) by split name; pictures: those of each split. distributions: of numbers, `to_json()` of
    `striate.data.distribution`; points: for each number (target, answer) of pictures of `split`. left_out: (name,
    reason), which may list fewer than `left_out_count`; found = used + left out. pictures_missing: how many of the
    pictures that belong on the page could not be had. times: seconds by name. duplicates, leaks and conflicts: groups
    of names of equal pictures: inside a split, across splits, with different labels.
    """

    title: str
    source: str
    created: str
    command: str
    class_names: tuple[str, ...]
    task: str = "classification"
    noun: str = "picture"  # what it learned from one of, in sentences
    summary: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    evaluation: Mapping[str, Any] | None = None
    split: str = "test"
    history: Sequence[Mapping[str, Any]] = ()
    best_epoch: int | None = None
    counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    pictures: Mapping[str, int] = field(default_factory=dict)
    distributions: Sequence[Mapping[str, Any]] = ()
    points: Sequence[Sequence[tuple[float, float]]] = ()
    mistakes: tuple[Mistake, ...] = ()
    unsure: tuple[Answer, ...] = ()
    pictures_missing: int = 0
    found: int | None = None
    used: int | None = None
    left_out: Sequence[tuple[str, str]] = ()
    left_out_count: int | None = None
    duplicates: Sequence[Sequence[str]] = ()
    leaks: Sequence[Sequence[str]] = ()
    conflicts: Sequence[Sequence[str]] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    resolved: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
