"""An answer as plain values: a line of `striate predict --format jsonl`, and what `striate serve` gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from striate.models.model import Prediction

MOST_LISTED = 1000  # classes that a schema names


def plain_answer(answer: Prediction, class_names: Sequence[str], top: int) -> dict[str, Any]:
    """The answer with its `top` most probable classes, most probable first."""
    best = [
        {"label": class_names[k], "probability": float(answer.probabilities[k])} for k in order(answer.probabilities)
    ][:top]
    return {"path": answer.name, "prediction": best[0]["label"], "probability": best[0]["probability"], "top": best}


def order(probabilities: np.ndarray) -> list[int]:
    """The classes (K,), most probable first; of equal ones the first."""
    return [int(k) for k in np.argsort(-probabilities, kind="stable")]


def answer_schema(task: str, class_names: Sequence[str]) -> dict[str, Any]:
    """The JSON Schema of `plain_answer`."""
    label: dict[str, Any] = {"type": "string"}
    if len(class_names) <= MOST_LISTED:
        label["enum"] = list(class_names)
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    each = {
        "type": "object",
        "required": ["label", "probability"],
        "properties": {"label": label, "probability": probability},
    }
    return {
        "type": "object",
        "required": ["path", "prediction", "probability", "top"],
        "properties": {
            "path": {"type": "string", "description": "the name that was given"},
            "prediction": {**label, "description": "the most probable class"},
            "probability": {**probability, "description": "of it"},
            "top": {"type": "array", "items": each, "minItems": 1},
        },
    }
