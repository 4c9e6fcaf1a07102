"""Answers that a person can read, one a picture: a class, the labels that it has, or numbers; and as lines of CSV.

`PREDICTIONS` maps the name of a task (in `striate.tasks.TASKS`) to what makes them of its answers (N, K), and
`columns`, `line` write and `read_predictions` reads `predictions.csv`, from which runs are compared picture by picture.
Legend: N pictures, K classes, labels or numbers.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.errors import InputError, require
from striate.evaluation.labels import THRESHOLD


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The answer for one picture: `probability` of `label`, and all `probabilities` (K,) in the order of classes."""

    name: str
    label: str
    probability: float
    probabilities: np.ndarray


@dataclass(frozen=True, kw_only=True)
class LabelsPrediction:
    """The labels of one picture: those with more than one half, in the order of the labels, and all `probabilities`
    (K,) in that order."""

    name: str
    labels: tuple[str, ...]
    probabilities: np.ndarray


@dataclass(frozen=True, kw_only=True)
class NumbersPrediction:
    """The numbers of one picture by their names, in the units of the table that was learned from."""

    name: str
    numbers: dict[str, float]


AnyPrediction = Prediction | LabelsPrediction | NumbersPrediction


def of_classes(names: Sequence[str], answers: np.ndarray, class_names: Sequence[str]) -> list[AnyPrediction]:
    """Probabilities (N, K) as one class for each picture."""
    best = answers.argmax(axis=1)
    return [
        Prediction(name=name, label=class_names[k], probability=float(row[k]), probabilities=row)
        for name, row, k in zip(names, answers, best, strict=True)
    ]


def of_labels(names: Sequence[str], answers: np.ndarray, class_names: Sequence[str]) -> list[AnyPrediction]:
    """Probabilities (N, K) as the labels of each picture."""
    return [
        LabelsPrediction(name=name, labels=labels_of(row, class_names), probabilities=row)
        for name, row in zip(names, answers, strict=True)
    ]


def of_numbers(names: Sequence[str], answers: np.ndarray, class_names: Sequence[str]) -> list[AnyPrediction]:
    """Answers (N, K) as the numbers of each picture."""
    return [
        NumbersPrediction(name=name, numbers=dict(zip(class_names, row, strict=True)))
        for name, row in zip(names, answers.tolist(), strict=True)
    ]


PREDICTIONS: dict[str, Callable[[Sequence[str], np.ndarray, Sequence[str]], list[AnyPrediction]]] = {
    "classification": of_classes,
    "multilabel": of_labels,
    "regression": of_numbers,
}


def labels_of(values: np.ndarray, class_names: Sequence[str]) -> tuple[str, ...]:
    """The labels whose value, a probability or 0 or 1, is above one half: (K,) -> names."""
    return tuple(class_names[int(k)] for k in np.flatnonzero(np.asarray(values) > THRESHOLD))


def listed(labels: Sequence[str]) -> str:
    """Labels as one cell of a table: a JSON list, since a name may hold any separator."""
    return json.dumps(list(labels), ensure_ascii=False)


def shown(value: float) -> str:
    """A number as it is written: so many digits that no `float32` becomes another."""
    return str(np.float32(value))


# -- predictions.csv ------------------------------------------------------------------------------


def columns(task: str, class_names: Sequence[str]) -> list[str]:
    """The heading of `predictions.csv` for a task."""
    if task == "regression":
        return ["path", *(f"{what}({name})" for name in class_names for what in ("target", "answer"))]
    shares = [f"p({name})" for name in class_names]
    return ["path", "target", *(["prediction", "probability"] if task == "classification" else ["answer"]), *shares]


def lines(
    task: str, names: Sequence[str], targets: np.ndarray, answers: np.ndarray, class_names: Sequence[str]
) -> list[list[str]]:
    """The lines of `predictions.csv`: targets (N,) classes or (N, K) as `Samples` has them, answers (N, K)."""
    made: list[list[str]] = []
    # Plain numbers: NumPy's own take several times as long to be written.
    if task == "regression":
        for name, wanted, row in zip(names, targets.tolist(), answers.tolist(), strict=True):
            pairs = zip(wanted, row, strict=True)
            made.append([name, *(shown(value) for pair in pairs for value in pair)])
        return made
    if task == "multilabel":
        for name, wanted, row in zip(names, targets, answers, strict=True):
            given = [listed(labels_of(wanted, class_names)), listed(labels_of(row, class_names))]
            made.append([name, *given, *(f"{value:.6f}" for value in row.tolist())])
        return made
    classes = targets if targets.ndim == 1 else targets.argmax(axis=1)
    for name, target, best, row in zip(
        names, classes.tolist(), answers.argmax(axis=1).tolist(), answers.tolist(), strict=True
    ):
        made.append([name, class_names[target], class_names[best], f"{row[best]:.6f}", *(f"{one:.6f}" for one in row)])
    return made


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """What `predictions.csv` tells: pictures, what each is, and what was answered.

    targets, answers: (N,) classes by number, (N, K) bool labels, or (N, K) numbers; classes and labels in the order of
    `class_names`. sure: (N,) or (N, K), the probability of what was answered; None for numbers.
    """

    names: tuple[str, ...]
    targets: np.ndarray
    answers: np.ndarray
    sure: np.ndarray | None

    def label_probabilities(self) -> np.ndarray:
        """Of labels, (N, K): how likely a picture has each."""
        if self.sure is None or self.answers.dtype != bool:
            raise ValueError("these are no answers to labels")
        return np.where(self.answers, self.sure, 1 - self.sure)


def read_predictions(path: Path, task: str, class_names: Sequence[str]) -> Answered:
    """Read `predictions.csv` of a run of this task. Raises InputError where it is none."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.reader(file))
        require(bool(rows) and rows[0] == columns(task, class_names), "its columns are not those of the run")
        names = tuple(row[0] for row in rows[1:])
        require(len(set(names)) == len(names), "a picture is in it twice")
        if task == "regression":
            numbers = np.array([[float(cell) for cell in row[1:]] for row in rows[1:]], dtype=np.float64)
            numbers = numbers.reshape(len(names), len(class_names), 2)
            return Answered(names=names, targets=numbers[..., 0], answers=numbers[..., 1], sure=None)
        place = {name: number for number, name in enumerate(class_names)}
        if task == "multilabel":
            wanted, said = (
                np.array([_has(row[column], place) for row in rows[1:]], dtype=bool).reshape(len(names), -1)
                for column in (1, 2)
            )
            shares = np.array([[float(cell) for cell in row[3:]] for row in rows[1:]]).reshape(len(names), -1)
            require(bool(((shares >= 0) & (shares <= 1)).all()), "a probability is not between 0 and 1")
            return Answered(names=names, targets=wanted, answers=said, sure=np.where(said, shares, 1 - shares))
        return Answered(
            names=names,
            targets=np.array([place[row[1]] for row in rows[1:]], dtype=np.int64),
            answers=np.array([place[row[2]] for row in rows[1:]], dtype=np.int64),
            sure=np.array([float(row[3]) for row in rows[1:]]),
        )
    except (OSError, csv.Error, KeyError, ValueError, IndexError, TypeError, RecursionError, InputError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _has(cell: str, place: dict[str, int]) -> list[bool]:
    """A list of labels as yes and no, in the order of the labels."""
    named = {place[name] for name in json.loads(cell)}
    return [number in named for number in range(len(place))]
