"""Schedules against their formulas, written out in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from striate.errors import InputError
from striate.training.part_settings import ScheduleSettings
from striate.training.resolved import Resolved
from striate.training.schedules import (
    constant,
    cosine,
    fallen_further,
    one_cycle,
    plateau,
    polynomial,
    schedule_named,
    schedule_of,
    step,
)

PROGRESS = np.linspace(0, 1, 1001)


def curve(schedule, **settings):
    return np.array([schedule(p, ScheduleSettings(**settings)) for p in PROGRESS])


@pytest.mark.parametrize(("warmup", "final"), [(0.2, 0.0), (0.5, 0.1), (0.9, 1.0)])
def test_one_cycle_is_two_straight_lines(warmup, final):
    expected = np.interp(PROGRESS, [0, warmup, 1], [0.02, 1, final])
    assert np.allclose(curve(one_cycle, warmup=warmup, final=final), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("warmup", "final"), [(0.2, 0.0), (0.1, 0.3)])
def test_cosine_falls_along_half_a_cosine_after_its_warmup(warmup, final):
    falling = warmup <= PROGRESS
    t = (PROGRESS - warmup) / (1 - warmup)
    expected = np.where(
        falling, final + (1 - final) * np.cos(np.pi * t / 2) ** 2, np.interp(PROGRESS, [0, warmup], [0.02, 1])
    )
    assert np.allclose(curve(cosine, warmup=warmup, final=final), expected, rtol=0, atol=1e-12)


def test_constant_stays_at_the_highest_rate():
    assert np.array_equal(curve(constant, warmup=0.0), np.ones(1001))
    assert curve(constant, warmup=0.25)[-1] == 1


def test_no_warmup_begins_at_the_highest_rate():
    for schedule in (one_cycle, cosine, constant):
        assert schedule(0.0, ScheduleSettings(warmup=0.0)) == 1


@pytest.mark.parametrize(("drops", "divide_by", "final"), [(3, 5.0, 0.0), (2, 10.0, 0.05), (1, 2.0, 0.0)])
def test_step_is_divided_after_equal_parts(drops, divide_by, final):
    found = curve(step, warmup=0.1, drops=drops, divide_by=divide_by, final=final)
    borders = np.linspace(0.1, 1, drops + 2)[1:-1]
    # A border itself is a matter of rounding.
    clear = np.abs(PROGRESS[:, None] - borders).min(axis=1) > 1e-9
    expected = np.maximum(final, divide_by ** -(PROGRESS[:, None] >= borders).sum(axis=1).astype(float))
    expected = np.where(PROGRESS < 0.1, np.interp(PROGRESS, [0, 0.1], [0.02, 1]), expected)
    assert np.allclose(found[clear], expected[clear], rtol=0, atol=1e-12)
    assert len({*found[PROGRESS >= 0.1]}) == drops + 1


@pytest.mark.parametrize(("power", "final"), [(0.9, 0.0), (2.0, 0.2)])
def test_polynomial_is_a_power_of_what_is_left(power, final):
    expected = np.where(
        PROGRESS < 0.2,
        np.interp(PROGRESS, [0, 0.2], [0.02, 1]),
        final + (1 - final) * np.clip((1 - PROGRESS) / 0.8, 0, None) ** power,
    )
    assert np.allclose(curve(polynomial, warmup=0.2, power=power, final=final), expected, rtol=0, atol=1e-9)


def test_plateau_is_constant_by_itself_and_falls_to_its_end_at_most():
    assert np.array_equal(curve(plateau, warmup=0.25), curve(constant, warmup=0.25))
    settings = ScheduleSettings(name="plateau", divide_by=2.0, final=0.2)
    assert [fallen_further(share, settings) for share in (1.0, 0.5, 0.25)] == [0.5, 0.25, 0.2]


def test_the_rate_stays_where_averaging_over_epochs_begins():
    plan = Resolved(network="own", channels=1, height=8, width=8, swa=0.25)
    assert [schedule_of(plan)(p) for p in (0.5, 0.75, 0.9, 1.0)] == pytest.approx([0.625, 0.3125, 0.3125, 0.3125])


# Validation losses of the epochs, `wait`, and the share of the rate in each epoch.
PLATEAUS = [
    ([3.0, 2.0, 1.0, 0.5], 1, [1, 1, 1, 1]),
    ([3.0, 4.0, 5.0, 2.0], 1, [1, 1, 1 / 2, 1 / 4]),
    ([3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 2, [1, 1, 1, 1 / 2, 1 / 2, 1 / 4]),
    ([3.0, 4.0, 2.0, 4.0, 4.0, 4.0], 2, [1, 1, 1, 1, 1, 1 / 2]),
    ([3.0, 4.0, 4.0, 4.0, 4.0, 4.0], 1, [1, 1, 1 / 2, 1 / 4, 0.2, 0.2]),
]


@pytest.mark.parametrize(("losses", "wait", "shares"), PLATEAUS)
def test_plateau_divides_when_validation_has_stopped_improving(make_loop, losses, wait, shares):
    values = iter(losses)

    class Scripted:
        monitor, larger_is_better = "figure", False

        def __getattr__(self, name):
            return getattr(task, name)

        def metrics(self, answers, targets):
            return {"figure": next(values)}

    settings = ScheduleSettings(name="plateau", warmup=0.0, divide_by=2.0, wait=wait, final=0.2)
    loop = make_loop(epochs=len(losses), schedule=settings, learning_rate=0.05)
    task = loop.model.task
    loop.model = replace(loop.model, task=Scripted())
    history = loop.run().history
    assert [row["learning_rate"] for row in history] == pytest.approx([0.05 * share for share in shares])


def test_an_unknown_schedule_is_named():
    with pytest.raises(InputError, match="no schedule 'None'"):
        schedule_named(ScheduleSettings())
