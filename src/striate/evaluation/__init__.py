"""Figures on arrays, with intervals: answers and targets in, nothing of torch in between.

`EVALUATIONS` maps the name of a task (in `striate.tasks.TASKS`) to what evaluates its answers.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from striate.errors import InputError, unknown

if TYPE_CHECKING:
    import numpy as np

    from striate.evaluation.figure import Figure

__all__ = ["EVALUATIONS", "Part", "TaskEvaluation", "evaluate_answers", "evaluation_from_json"]


class TaskEvaluation(Protocol):
    """What every evaluation has, whatever the task."""

    @property
    def n(self) -> int:
        """Pictures."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the classes, of the labels, or of the numbers."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what could not be said."""
        ...

    def figures(self) -> dict[str, Figure]:
        """The figures of the whole, by name."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain values, `task` among them."""
        ...


@dataclass(frozen=True)
class Part:
    """What evaluates the answers of a task: the function `evaluate` of `module` gives a `result`."""

    module: str
    evaluate: str
    result: str


EVALUATIONS: dict[str, Part] = {
    "classification": Part("striate.evaluation.evaluation", "evaluate_classification", "Evaluation"),
    "multilabel": Part("striate.evaluation.labels", "evaluate_labels", "LabelsEvaluation"),
    "regression": Part("striate.evaluation.numbers", "evaluate_numbers", "NumbersEvaluation"),
}


def evaluate_answers(
    task: str, answers: np.ndarray, targets: np.ndarray, class_names: Sequence[str], seed: int = 0
) -> TaskEvaluation:
    """All figures of the answers (N, K) of a task for its targets, as its evaluation says. Raises InputError where
    there is no picture, ValueError where the arrays are not what the task gives."""
    part = EVALUATIONS[task]
    found: TaskEvaluation = getattr(importlib.import_module(part.module), part.evaluate)(
        answers, targets, class_names, seed
    )
    return found


def evaluation_from_json(values: Mapping[str, Any]) -> TaskEvaluation:
    """What an evaluation's `to_json` gave; of versions that knew no other task without its name. Raises InputError."""
    task = values.get("task", "classification")
    if not isinstance(task, str):
        raise InputError("the evaluation's task has no name")
    if task not in EVALUATIONS:
        raise unknown("task", task, EVALUATIONS)
    part = EVALUATIONS[task]
    found: TaskEvaluation = getattr(importlib.import_module(part.module), part.result).from_json(values)
    return found
