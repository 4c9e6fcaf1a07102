"""What the head of a report says of labels and numbers: against figures whose meaning is known."""

from __future__ import annotations

import numpy as np
import pytest
from test_pages import report

from striate.evaluation.labels import evaluate_labels
from striate.evaluation.numbers import evaluate_numbers
from striate.reports import labels, numbers, text

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


@pytest.mark.parametrize(
    ("answer", "value", "said"),
    [
        # Targets 0 and 2: their squared distances from the mean sum to 2 for each number, the errors to 2 * off^2.
        ([[3, 3], [5, 5]], "−800.0 %", "explained (R²), no better than always answering the mean, on"),
        ([[1, 1], [1, 1]], "0.0 %", "explained (R²), no better than always answering the mean, on"),
        ([[0.5, 0.5], [1.5, 1.5]], "75.0 %", "explained (R²), on"),
    ],
)
def test_numbers_that_are_no_better_than_the_mean_say_so_at_once(answer, value: str, said: str) -> None:
    evaluation = evaluate_numbers(np.array(answer), np.array([[0, 0], [2, 2]]), NAMES, resample_count=10)
    found = numbers.headline(report(NAMES, task="regression", evaluation=evaluation.to_json()))
    assert found is not None
    assert found.value.replace(text.NO_BREAK, " ") == value
    assert said in found.rest


def test_numbers_below_nought_have_a_true_minus() -> None:
    assert text.percent(-2.038).replace(text.NO_BREAK, " ") == "−203.8 %"
    assert text.decimal(-1234.5) == "−1,234"
    assert text.decimal(-1.2e-5) == "−1.2e-5"
