"""What the head of a report says of labels and numbers: against figures whose meaning is known."""

from __future__ import annotations

import numpy as np
import pytest
from test_pages import report

from striate.evaluation.labels import evaluate_labels
from striate.reports import labels, text

NAMES = ("car", "tree")


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (4, "That is worse than always giving the more frequent answer, which would be right in 75.0 %"),
        (6, "That is no better than always giving the more frequent answer, which would be right in 75.0 %"),
        (8, "That is better than always giving the more frequent answer, which would be right in 75.0 %"),
    ],
)
def test_right_labels_are_set_against_the_more_frequent_answer(right: int, said: str) -> None:
    targets = np.array([[1, 0], [0, 1], [0, 0], [0, 0]])  # 6 of 8 answers are no
    wrong = np.arange(8).reshape(4, 2) >= right
    probabilities = np.where(targets.astype(bool) ^ wrong, 0.9, 0.1)
    evaluation = evaluate_labels(probabilities, targets, NAMES, resample_count=10)
    sentence = labels.sentence(report(NAMES, task="multilabel", evaluation=evaluation.to_json()))
    assert said in sentence.replace(text.NO_BREAK, " ")
