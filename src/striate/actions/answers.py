"""An answer as plain values: a line of `striate predict --format jsonl`, and what `striate serve` gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.models.predictions import LabelsPrediction, NumbersPrediction

if TYPE_CHECKING:
    from striate.models.predictions import AnyPrediction

MOST_LISTED = 1000  # classes that a schema names


def plain_answer(answer: AnyPrediction, class_names: Sequence[str], top: int) -> dict[str, Any]:
    """The answer with its `top` most probable classes, most probable first; the labels, and the probability of each;
    or the numbers."""
    if isinstance(answer, NumbersPrediction):
        return {"path": answer.name, "numbers": answer.numbers}
    if isinstance(answer, LabelsPrediction):
        shares = dict(zip(class_names, answer.probabilities.tolist(), strict=True))
        return {"path": answer.name, "labels": list(answer.labels), "probabilities": shares}
    best = [
        {"label": class_names[k], "probability": float(answer.probabilities[k])} for k in order(answer.probabilities)
    ][:top]
    return {"path": answer.name, "prediction": best[0]["label"], "probability": best[0]["probability"], "top": best}


def order(probabilities: np.ndarray) -> list[int]:
    """The classes (K,), most probable first; of equal ones the first."""
    return [int(k) for k in np.argsort(-probabilities, kind="stable")]


def answer_schema(task: str, class_names: Sequence[str]) -> dict[str, Any]:
    """The JSON Schema of `plain_answer`."""
    name = {"type": "string", "description": "the name that was given"}
    if task == "regression":
        return _schema(path=name, numbers=_each(class_names, {"type": "number"}))
    label: dict[str, Any] = {"type": "string"}
    if len(class_names) <= MOST_LISTED:
        label["enum"] = list(class_names)
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    if task == "multilabel":
        labels = {"type": "array", "items": label, "description": "those that are more probable than not"}
        return _schema(path=name, labels=labels, probabilities=_each(class_names, probability))
    return _schema(
        path=name,
        prediction={**label, "description": "the most probable class"},
        probability={**probability, "description": "of it"},
        top={"type": "array", "items": _schema(label=label, probability=probability), "minItems": 1},
    )


def _schema(**properties: dict[str, Any]) -> dict[str, Any]:
    """An object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _each(names: Sequence[str], what: dict[str, Any]) -> dict[str, Any]:
    """An object that has `what` for each of the names."""
    if len(names) > MOST_LISTED:
        return {"type": "object", "additionalProperties": what}
    return _schema(**dict.fromkeys(names, what))
