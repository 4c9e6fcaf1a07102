"""The mean over folds and the power law of learning curves, against formulas and against simulated trainings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from striate.evaluation.folds import mean_over_folds
from striate.evaluation.power_law import fit_power_law, forecast

PICTURES = [100, 141, 200, 283, 400, 566, 800, 1131]


def test_the_interval_of_a_mean_over_folds_is_that_of_nadeau_and_bengio():
    values = [0.91, 0.94, 0.90, 0.95, 0.93]
    found = mean_over_folds(values, held_back=0.2)
    spread = math.sqrt(sum((one - 0.926) ** 2 for one in values) / 4 * (1 / 5 + 0.2 / 0.8))
    reach = stats.t.ppf(0.975, 4) * spread
    assert found.value == pytest.approx(0.926)
    assert found.low == pytest.approx(0.926 - reach)
    assert found.high == pytest.approx(0.926 + reach)
    assert found.n == 5


def test_the_interval_of_a_share_is_one_of_shares():
    plain = mean_over_folds([0.9, 1.0, 0.95], held_back=1 / 3)
    kept = mean_over_folds([0.9, 1.0, 0.95], held_back=1 / 3, highest=1.0)
    assert plain.high > 1
    assert (kept.value, kept.low, kept.high) == (plain.value, plain.low, 1.0)
    assert mean_over_folds([0.01, 0.09], held_back=1 / 2).low == 0


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5]])
def test_one_fold_has_no_interval_nor_have_equal_ones(values):
    found = mean_over_folds(values, held_back=0.5)
    assert (found.value, found.low, found.high) == (0.5, None, None)


@pytest.mark.parametrize(("floor", "scale", "exponent"), [(0.02, 3.0, 0.5), (0.0, 1.0, 0.3), (0.1, 20.0, 0.9)])
def test_a_law_without_noise_is_found_again(floor, scale, exponent):
    errors = [floor + scale * n**-exponent for n in PICTURES]
    law = fit_power_law(PICTURES, errors, [0.01] * len(PICTURES))
    assert law.exponent == pytest.approx(exponent, abs=0.011)  # of a grid
    assert float(law.at(2262)) == pytest.approx(floor + scale * 2262**-exponent, abs=2e-4)


def test_errors_that_do_not_fall_are_level():
    law = fit_power_law([10, 20, 40, 80], [0.3, 0.31, 0.3, 0.32], [0.01] * 4)
    assert float(law.at(160)) == pytest.approx(0.3075, abs=1e-6)


def test_the_band_covers_about_95_of_100_trainings():
    generator = np.random.default_rng(5)
    true = 0.03 + 2.0 * np.array([*PICTURES, 2262.0]) ** -0.45
    chance = np.sqrt(true * (1 - true) / 2000)
    covered = 0
    for trial in range(100):
        measured = true + chance * generator.normal(size=len(true))
        ahead = forecast(PICTURES, measured[:-1].tolist(), chance[:-1].tolist(), at=2262, seed=trial)
        covered += ahead.low <= measured[-1] <= ahead.high
    # Of 100 at 95 % 90 to 99 in 98 of 100 cases; a band that is twice too wide would hold them all.
    assert 90 <= covered <= 99


def test_a_forecast_is_drawn_from_its_seed():
    errors = [2.0 * n**-0.45 + 0.01 * (-1) ** place for place, n in enumerate(PICTURES)]
    first, again, other = (forecast(PICTURES, errors, [0.01] * 8, at=2262, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert first.value == other.value
