"""Figures of numbers against scikit-learn and plain loops."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics

from striate.errors import InputError
from striate.evaluation import bootstrap, evaluate_answers, evaluation_from_json
from striate.evaluation.numbers import NumbersEvaluation, evaluate_numbers

NAMES = ["angle", "share", "tiny"]


def answers(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Answers and targets (n, 3): degrees, shares, and what is far smaller than either."""
    generator = np.random.default_rng(seed)
    targets = np.stack(
        [generator.uniform(-45, 45, n), generator.beta(2, 5, n), generator.normal(3e-8, 1e-9, n)], axis=1
    )
    noise = generator.normal(size=(n, 3)) * (6, 0.1, 4e-10) + (1.5, 0, 0)
    return targets + noise, targets


def test_figures_are_those_of_scikit_learn() -> None:
    given, targets = answers(80, seed=1)
    found = evaluate_numbers(given, targets, NAMES, resample_count=30)
    mae = metrics.mean_absolute_error(targets, given, multioutput="raw_values")
    rmse = metrics.root_mean_squared_error(targets, given, multioutput="raw_values")
    r2 = metrics.r2_score(targets, given, multioutput="raw_values")
    assert [row.mae.value for row in found.by_number] == pytest.approx(mae)
    assert [row.rmse.value for row in found.by_number] == pytest.approx(rmse)
    assert [row.r2.value for row in found.by_number if row.r2] == pytest.approx(r2)
    assert found.mae.value == pytest.approx(metrics.mean_absolute_error(targets, given))
    assert found.rmse.value == pytest.approx(metrics.root_mean_squared_error(targets, given))
    assert found.r2 is not None
    assert found.r2.value == pytest.approx(metrics.r2_score(targets, given))
    means = np.broadcast_to(targets.mean(axis=0), targets.shape)
    usual = metrics.mean_absolute_error(targets, means, multioutput="raw_values")
    assert [row.usual_mae.value for row in found.by_number] == pytest.approx(usual)
    assert found.usual_mae.value == pytest.approx(usual.mean())
    for k, row in enumerate(found.by_number):
        errors = given[:, k] - targets[:, k]
        assert row.bias.value == pytest.approx(errors.mean())
        assert (np.abs(errors) <= row.half_within).mean() == 0.5
        assert (np.abs(errors) <= row.most_within).mean() == pytest.approx(0.9)
        assert (row.smallest, row.largest) == (targets[:, k].min(), targets[:, k].max())
    assert found.notes == ("errors of angle weigh most in the mean over all numbers: tiny is spread far less",)


def test_intervals_are_those_of_a_plain_bootstrap_whatever_the_units() -> None:
    given, targets = answers(50, seed=2)
    found = evaluate_numbers(given, targets, NAMES, seed=7, resample_count=100)
    counts = np.concatenate(list(bootstrap.resamples(50, seed=7, count=100)), axis=1).astype(int)
    mae, rmse, r2, whole = [], [], [], []
    for column in counts.T:
        rows = np.repeat(np.arange(50), column)
        mae.append(metrics.mean_absolute_error(targets[rows], given[rows], multioutput="raw_values"))
        rmse.append(metrics.root_mean_squared_error(targets[rows], given[rows], multioutput="raw_values"))
        r2.append(metrics.r2_score(targets[rows], given[rows], multioutput="raw_values"))
        whole.append(metrics.r2_score(targets[rows], given[rows]))
    for k, row in enumerate(found.by_number):
        for figure, resampled in ((row.mae, mae), (row.rmse, rmse), (row.r2, r2)):
            assert figure is not None
            expected = np.percentile(np.array(resampled)[:, k], [2.5, 97.5])
            assert (figure.low, figure.high) == pytest.approx(tuple(expected), rel=1e-6)
    assert found.r2 is not None
    assert (found.r2.low, found.r2.high) == pytest.approx(tuple(np.percentile(whole, [2.5, 97.5])))


def test_a_number_that_is_always_the_same_has_no_r2_and_is_said() -> None:
    given, targets = answers(20, seed=3)
    targets[:, 1] = 0.25
    found = evaluate_numbers(given[:, :2], targets[:, :2], NAMES[:2], resample_count=20)
    assert found.by_number[1].r2 is None
    assert found.by_number[1].usual_mae.value == 0
    assert found.r2 is not None
    assert found.by_number[0].r2 is not None
    assert found.r2.value == pytest.approx(found.by_number[0].r2.value)
    assert found.notes == ("share: the same value everywhere here, so that there is no R2",)


def test_answers_that_are_all_exact_have_no_interval_to_show() -> None:
    _, targets = answers(20, seed=3)
    found = evaluate_numbers(targets, targets, NAMES, resample_count=20)
    assert (found.mae.value, found.mae.low, found.mae.high) == (0, None, None)
    assert found.r2 is not None
    assert found.r2.value == 1


def test_json_gives_the_same_evaluation_back_and_damage_is_refused() -> None:
    found = evaluate_answers("regression", *answers(15, seed=4), NAMES, seed=2)
    values = json.loads(json.dumps(found.to_json()))
    assert values["task"] == "regression"
    assert evaluation_from_json(values) == found
    row = values["by_number"][0]
    for damage in (
        {"mae": None},
        {"by_number": []},
        {"by_number": [{**row, "bias": None}] * 3},
        {"by_number": [{**row, "mean": "x"}] * 3},
        {"rmse": 3},
    ):
        with pytest.raises(InputError):
            NumbersEvaluation.from_json(values | damage)


@pytest.mark.parametrize(
    ("given", "targets"),
    [([[1.0]], [1.0]), ([[float("nan")]], [[1.0]]), ([[1.0]], [[float("inf")]]), ([[1, 2]], [[1, 2]])],
)
def test_arrays_that_are_no_answers_are_our_defect(given: list[list[float]], targets: list[object]) -> None:
    with pytest.raises(ValueError, match=r"finite|answers"):
        evaluate_numbers(np.array(given), np.array(targets), ["a"])


def test_nothing_to_evaluate_is_one_sentence() -> None:
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate_numbers(np.zeros((0, 1)), np.zeros((0, 1)), ["a"])
