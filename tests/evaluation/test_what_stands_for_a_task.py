"""The figure that stands for a task: each task has one, its evaluation gives it, and what is perfect has 1."""

from __future__ import annotations

import numpy as np
import pytest

from striate.evaluation import EVALUATIONS, evaluate_answers
from striate.evaluation.headlines import HEADLINES
from striate.models.card import FIGURES
from striate.tasks import TASKS

TARGETS = {
    "classification": np.arange(12) % 2,
    "multilabel": np.stack([np.arange(12) % 2, np.arange(12) % 3 == 0], axis=1).astype(np.float32),
    "regression": np.stack([np.arange(12.0), 1e6 * np.arange(12.0) ** 2], axis=1).astype(np.float32),
}


def answers(task: str) -> np.ndarray:
    """Answers without a mistake."""
    return np.eye(2)[TARGETS[task]] if task == "classification" else TARGETS[task].astype(np.float64)


def test_every_task_has_one() -> None:
    assert set(HEADLINES) == set(EVALUATIONS) == set(TASKS)
    assert all(one.short.isascii() for one in HEADLINES.values())


@pytest.mark.parametrize("task", HEADLINES)
def test_perfect_answers_have_1_and_others_less(task: str) -> None:
    headline, right = HEADLINES[task], answers(task)
    wrong = right.copy()
    wrong[:4] = right[:4][::-1]
    found = [
        evaluate_answers(task, given, TARGETS[task], ("a", "b")).to_json()[headline.figure]["value"]
        for given in (right, wrong)
    ]
    assert found[0] == 1
    assert headline.lowest <= found[1] < 1


@pytest.mark.parametrize("task", HEADLINES)
def test_the_model_card_tells_it_first(task: str) -> None:
    name, _, share = FIGURES[task][next(iter(FIGURES[task]))]
    headline = HEADLINES[task]
    assert next(iter(FIGURES[task])) == headline.figure
    assert (name.casefold(), share) == (headline.name.casefold(), headline.share)
