"""Answers for pictures as they are printed, by task: a table for people, CSV, JSON lines. Legend: K classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from striate.actions.answers import order, plain_answer
from striate.models.predictions import LabelsPrediction, NumbersPrediction, Prediction, listed, shown

if TYPE_CHECKING:
    from striate.actions.predict import Predictions


@dataclass(frozen=True, kw_only=True)
class Written:
    """Answers in each of the formats: a table for people (`right`: its columns of numbers), CSV, JSON lines."""

    headings: list[str]
    rows: list[list[str]]
    right: list[int]
    columns: list[str]
    lines: list[list[str]]
    objects: list[dict[str, Any]]


def _classes(found: Predictions, top: int) -> Written:
    """The `top` most probable classes of each picture."""
    ranked = [
        (one.name, [(found.class_names[k], float(one.probabilities[k])) for k in order(one.probabilities)[:top]])
        for one in found.answers
        if isinstance(one, Prediction)
    ]
    extra = [f"{word}_{place + 1}" for place in range(1, top) for word in ("prediction", "probability")]
    return Written(
        headings=[found.noun, *(["answer", "probability"] * top)],
        rows=[[name, *(cell for k, p in best for cell in (k, f"{p:.4f}"))] for name, best in ranked],
        right=[2 * place + 2 for place in range(top)],
        columns=["path", "prediction", "probability", *extra],
        lines=[[name, *(cell for k, p in best for cell in (k, f"{p:.6f}"))] for name, best in ranked],
        objects=_objects(found, top),
    )


def _labels(found: Predictions, top: int) -> Written:
    """The labels of each picture, the most probable first, and the probability of every one."""
    names = found.class_names
    answers = [one for one in found.answers if isinstance(one, LabelsPrediction)]
    rows = []
    for one in answers:
        number = max(len(one.labels), top if top > 1 else 0)
        best = [(names[k], float(one.probabilities[k])) for k in order(one.probabilities)[:number]]
        rows.append([one.name, ", ".join(f"{name} {probability:.2f}" for name, probability in best) or "(none)"])
    return Written(
        headings=[found.noun, "labels"],
        rows=rows,
        right=[],
        columns=["path", "answer", *(f"p({name})" for name in names)],
        lines=[[one.name, listed(one.labels), *(f"{p:.6f}" for p in one.probabilities.tolist())] for one in answers],
        objects=_objects(found, top),
    )


def _numbers(found: Predictions, top: int) -> Written:
    """The numbers of each picture."""
    answers = [one for one in found.answers if isinstance(one, NumbersPrediction)]
    return Written(
        headings=[found.noun, *found.class_names],
        rows=[[one.name, *(f"{value:.4g}" for value in one.numbers.values())] for one in answers],
        right=list(range(1, len(found.class_names) + 1)),
        columns=["path", *(f"answer({name})" for name in found.class_names)],
        lines=[[one.name, *map(shown, one.numbers.values())] for one in answers],
        objects=_objects(found, top),
    )


def _objects(found: Predictions, top: int) -> list[dict[str, Any]]:
    return [plain_answer(one, found.class_names, top) for one in found.answers]


WRITTEN: dict[str, Callable[[Predictions, int], Written]] = {
    "classification": _classes,
    "multilabel": _labels,
    "regression": _numbers,
}
