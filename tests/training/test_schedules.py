"""Schedules against their formulas, written out in float64."""

from __future__ import annotations

import numpy as np
import pytest

from striate.errors import InputError
from striate.training.recipe import ScheduleSettings
from striate.training.schedules import constant, cosine, one_cycle, schedule_named

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


def test_an_unknown_schedule_is_named():
    with pytest.raises(InputError, match="no schedule 'None'"):
        schedule_named(ScheduleSettings())
