"""The learning-rate range test: its ramp, its average, where it ends and what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from striate.actions.find_rate import risen
from striate.errors import InputError
from striate.reports.rate import rate_page
from striate.training.range_test import STEPS, has_diverged, rate_at, smooth, told_by


def test_the_rate_rises_by_the_same_factor_in_every_step():
    rates = np.array([rate_at(step) for step in range(STEPS)])
    assert rates[0] == pytest.approx(1e-6)
    assert rates[-1] == pytest.approx(10)
    assert np.allclose(rates[1:] / rates[:-1], 10 ** (7 / 99))


def test_the_average_weighs_each_loss_by_its_age():
    losses = list(np.random.default_rng(0).uniform(0, 3, 12))
    for step, found in enumerate(smooth(losses)):
        weights = [0.8 ** (step - k) for k in range(step + 1)]
        assert found == pytest.approx(np.average(losses[: step + 1], weights=weights))


def bowl(lowest: int, count: int) -> list[float]:
    """Losses that stay at 2, fall to 1 at `lowest`, and rise steeply after it."""
    return [2 - max(0, k - lowest + 20) / 20 if k <= lowest else 1 + (k - lowest) for k in range(count)]


@pytest.mark.parametrize("lowest", [40, 70])
def test_what_is_said_of_a_loss_that_falls_and_rises(lowest):
    losses = bowl(lowest, lowest + 4)
    ends = next(step for step in range(1, len(losses) + 1) if has_diverged(losses[:step]))
    assert ends > lowest
    found = told_by(losses[:ends], diverged=True)
    # The average comes a step or two later.
    assert rate_at(lowest - 1) <= found.lowest_at <= rate_at(lowest + 2)
    assert found.suggested == pytest.approx(found.lowest_at / 3, rel=0.05)
    assert rate_at(lowest - 20) <= found.steepest_at < found.lowest_at
    assert found.diverged_at == pytest.approx(rate_at(ends - 1))
    page = rate_page(found, "digits")
    assert f"{found.suggested:g}" in page
    assert "never" not in page


def test_a_loss_that_never_rises_says_so():
    found = told_by([2 - 0.01 * step for step in range(STEPS)], diverged=False)
    assert found.diverged_at is None
    assert found.lowest_at == pytest.approx(10)
    assert "never" in rate_page(found, "digits")


def test_no_number_is_the_end_and_noise_at_the_beginning_is_not():
    assert has_diverged([1.0, math.nan])
    assert has_diverged([1.0, math.inf])
    assert not has_diverged([1.0, 9.0, 1.0, 9.0])
    assert not has_diverged([])


def test_on_a_network_it_ends_where_the_loss_does_and_is_the_same_again(make_loop):
    found, again = (risen(make_loop(averaging=0.0)) for _ in range(2))
    assert found == again
    assert 1e-3 < found.suggested < 1
    assert found.diverged_at is not None
    assert len(found.rates) == len(found.losses) < STEPS
    assert found.losses[0] == pytest.approx(math.log(3), abs=0.3)


def test_it_trains_with_what_it_suggests(make_loop):
    rate = risen(make_loop(averaging=0.0)).suggested
    progress = make_loop(averaging=0.0, learning_rate=rate, epochs=8).run()
    assert max(row["validation_accuracy"] for row in progress.history) >= 0.9


def test_a_first_loss_that_is_no_number_is_refused(make_loop):
    loop = make_loop(averaging=0.0)
    loop.network[8].weight.data.fill_(math.nan)
    with pytest.raises(InputError, match="first step is no number"):
        risen(loop)
