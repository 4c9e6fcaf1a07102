"""The sharpness of probabilities against a fine grid, and against the temperature that made them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.evaluation.calibration import best_sharpness, sharpened


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def simulated(rows: int, classes: int, temperature: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Answers whose true probabilities are theirs after division of the scores by `temperature`."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 2.5, (rows, classes))
    cumulated = softmax(scores).cumsum(axis=1)
    targets = (rng.uniform(size=(rows, 1)) > cumulated).sum(axis=1).clip(max=classes - 1)
    return softmax(scores * temperature), targets


def objective(probabilities: np.ndarray, targets: np.ndarray, sharpness: float) -> float:
    """The sum of log losses and that of one imagined picture: the average answer by rank, every class equally likely,
    written row by row."""
    total = 0.0
    for row, target in zip(probabilities, targets, strict=True):
        logs = np.log(np.maximum(row, 1e-30))
        total -= sharpness * logs[target] - np.log(np.exp(sharpness * logs).sum())
    spread = np.mean([np.sort(np.log(np.maximum(row, 1e-30))) for row in probabilities], axis=0)
    spread = sharpness * spread
    return total - float(np.mean(spread - spread.max() - np.log(np.exp(spread - spread.max()).sum())))


@pytest.mark.parametrize(("rows", "classes", "temperature"), [(6, 2, 1.0), (40, 3, 0.3), (60, 12, 2.5)])
def test_no_point_of_a_fine_grid_is_better(rows, classes, temperature):
    probabilities, targets = simulated(rows, classes, temperature, seed=rows)
    found = best_sharpness(probabilities, targets)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 801))
    losses = [objective(probabilities, targets, sharpness) for sharpness in grid]
    assert objective(probabilities, targets, found) <= min(losses) + 1e-4
    assert np.log(found) == pytest.approx(np.log(grid[int(np.argmin(losses))]), abs=0.02)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("classes", [2, 10])
def test_the_temperature_of_simulated_scores_comes_out_again(temperature, classes):
    probabilities, targets = simulated(4000, classes, temperature, seed=1)
    assert best_sharpness(probabilities, targets) == pytest.approx(1 / temperature, rel=0.08)


def test_more_rows_than_are_used_give_the_same_to_a_hair():
    probabilities, targets = simulated(12_000, 5, 2.0, seed=2)
    assert best_sharpness(probabilities, targets) == pytest.approx(0.5, rel=0.08)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 30),
    classes=st.integers(2, 6),
    width=st.sampled_from([0.0, 1e-9, 1.0, 30.0, 2000.0]),
    how=st.sampled_from(["all right", "all wrong", "drawn"]),
    seed=st.integers(0, 1000),
)
def test_it_is_finite_within_its_range_and_no_worse_than_leaving_it(rows, classes, width, how, seed):
    rng = np.random.default_rng(seed)
    probabilities = softmax(width * rng.normal(size=(rows, classes)))
    targets = {
        "all right": probabilities.argmax(axis=1),
        "all wrong": probabilities.argmin(axis=1),
        "drawn": rng.integers(0, classes, rows),
    }[how]
    found = best_sharpness(probabilities, targets)
    assert 0.05 * (1 - 1e-9) <= found <= 20 * (1 + 1e-9)
    assert objective(probabilities, targets, found) <= objective(probabilities, targets, 1.0) + 1e-3
    after = sharpened(probabilities, found)
    assert np.isfinite(after).all()
    assert after.sum(axis=1) == pytest.approx(np.ones(rows))


def test_pictures_that_all_happen_to_be_right_do_not_make_answers_certain():
    # 20 of 20 right at 60 %: without the imagined picture the sharpest would always be best.
    probabilities = np.tile([0.6, 0.25, 0.15], (20, 1))
    found = best_sharpness(probabilities, np.zeros(20, dtype=np.int64))
    assert 1 < found < 10
    assert sharpened(probabilities, found)[0, 0] == pytest.approx(1 - 2 / 3 / 21, abs=0.02)


def test_sharpening_is_a_power_that_sums_to_one():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    powers = probabilities**1.7
    assert sharpened(probabilities, 1.7) == pytest.approx(powers / powers.sum(axis=1, keepdims=True), abs=1e-12)
    assert sharpened(probabilities, 1.0) == pytest.approx(probabilities, abs=1e-12)
