"""The learning-rate range test: its ramp, its average, where it waits and ends, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from striate.actions.find_rate import risen
from striate.errors import InputError
from striate.reports.rate import rate_page
from striate.training.range_test import PATIENCE, STEPS, Ramp, RateTest, rate_at, smooth, told_by


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


def ramped(loss_of: Callable[[float], float]) -> RateTest:
    """A test of something that loses `loss_of(rate)` in each of its steps."""
    ramp = Ramp()
    while not ramp.over:
        ramp.took(loss_of(ramp.rate))
    return told_by(ramp)


def valley(begins: float, ends: float) -> Callable[[float], float]:
    """A loss of 2 that falls to 1 within a decade up to `begins`, stays there until `ends`, and is 3 above."""
    return lambda rate: 3.0 if rate > ends else 2.0 - min(1.0, max(0.0, 1 + math.log10(rate / begins)))


@pytest.mark.parametrize("ends", [0.003, 0.2, 4.0])
def test_what_counts_is_the_highest_rate_that_is_borne_and_not_where_the_loss_is_lowest(ends: float) -> None:
    found = ramped(valley(1e-3, ends))
    assert ends / 1.5 <= found.stable_until <= ends * 1.9  # the average comes some steps later
    assert found.suggested == pytest.approx(found.stable_until / 15, rel=0.05)
    assert found.lowest_at <= found.stable_until
    assert 1e-4 / 1.2 <= found.steepest_at <= 2e-3
    assert found.diverged_at == pytest.approx(found.stable_until * 10 ** (7 / 99))
    page = rate_page(found, "digits")
    assert f"{found.suggested:g}" in page
    assert "never" not in page


@pytest.mark.parametrize(("lasts", "borne"), [(12, 0.5), (PATIENCE + 30, 0.01)])
def test_the_rate_waits_where_the_loss_has_risen_and_goes_on_where_it_comes_down(lasts: int, borne: float) -> None:
    """A catapult: at 0.01 the loss jumps to a thousand times what it was, and comes down after so many steps."""
    steps, plain = 0, valley(1e-3, 0.5)

    def loss_of(rate: float) -> float:
        nonlocal steps
        steps += rate >= 0.01
        return 1000.0 if 0 < steps <= lasts else plain(rate)

    found = ramped(loss_of)
    assert borne / 1.9 <= found.stable_until <= borne * 1.9
    waits = max(found.rates.count(rate) for rate in set(found.rates))
    assert waits == PATIENCE + 1
    assert list(found.rates) == sorted(found.rates)


def descent(steepness: float, momentum: float, seed: int = 0) -> RateTest:
    """Noisy gradient descent with momentum (Polyak 1964) on steepness * w^2 / 2, whose losses do not depend on it."""
    noise = np.random.default_rng(seed).normal(size=1000)
    weight, speed, step = 3 / math.sqrt(steepness), 0.0, 0

    def loss_of(rate: float) -> float:
        nonlocal weight, speed, step
        loss = steepness * weight**2 / 2
        gradient = steepness * weight + 0.3 * math.sqrt(steepness) * noise[step]
        speed, step = momentum * speed - rate * gradient, step + 1
        weight += speed
        return loss

    return ramped(loss_of)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("steepness", [10.0, 3000.0])
def test_a_valley_of_known_steepness_bears_what_theory_says(momentum: float, steepness: float) -> None:
    """Gradient descent with momentum is stable below 2 (1 + momentum) / steepness."""
    known = 2 * (1 + momentum) / steepness
    assert known / 2.5 <= descent(steepness, momentum).stable_until <= known * 2.5


def test_what_is_said_moves_with_the_steepness_and_not_with_the_unit_of_the_loss() -> None:
    fourteen = 10 ** (7 * 14 / 99)  # places of the ramp
    first, steeper = descent(20.0, 0.9), descent(20.0 * fourteen, 0.9)
    assert first.stable_until / steeper.stable_until == pytest.approx(fourteen, rel=0.4)
    plain = valley(1e-3, 0.2)
    for unit in (1e-4, 1e4):
        found = ramped(lambda rate, unit=unit: unit * plain(rate))  # type: ignore[misc]
        assert found.suggested == ramped(plain).suggested


@pytest.mark.parametrize("seed", range(10))
def test_noise_is_no_end(seed: int) -> None:
    generator = np.random.default_rng(seed)
    found = ramped(lambda _: 1 + 0.3 * float(generator.normal()))
    assert found.diverged_at is None
    assert found.stable_until == pytest.approx(10)
    assert "never" in rate_page(found, "digits")


def test_no_number_is_the_end() -> None:
    for value in (math.nan, math.inf):
        found = ramped(lambda rate, value=value: value if rate > 0.1 else 1.0)  # type: ignore[misc]
        assert found.stable_until == pytest.approx(0.1, rel=0.2)
        assert found.diverged_at == pytest.approx(found.stable_until * 10 ** (7 / 99))
        assert all(math.isfinite(loss) for loss in found.losses)


def test_on_a_network_it_ends_where_the_loss_does_and_is_the_same_again(make_loop):
    found, again = (risen(make_loop(averaging=0.0)) for _ in range(2))
    assert found == again
    assert 1e-3 < found.suggested < 1
    assert found.diverged_at is not None
    assert STEPS / 2 < len(found.rates) == len(found.losses)
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
