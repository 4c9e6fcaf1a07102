"""Speed and time left, from times that are told."""

from __future__ import annotations

import numpy as np
import pytest

from striate.training.pace import Pace

VALIDATION = 3.0
EACH = 50  # steps between validations


def told(*, steps: int, until: int, first: float = 1.5, spread: float = 0.0) -> tuple[Pace, float]:
    """A pace that has seen `until` of `steps` steps of 0.1 s (the first two slow), and the seconds really left."""
    rng = np.random.default_rng(0)
    durations = 0.1 * (1 + spread * rng.uniform(-1, 1, steps))
    durations[:2] = first
    pace, now = Pace(100.0, pictures=32), 100.0
    for step in range(until):
        now += durations[step]
        pace.stepped(now)
        if (step + 1) % EACH == 0:
            now += VALIDATION
            pace.validated(VALIDATION)
    left = durations[until:].sum() + VALIDATION * (steps // EACH - until // EACH)
    return pace, left


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_time_left_is_within_15_per_cent_from_the_twentieth_part_on(share):
    steps = 2000
    until = int(steps * share)
    pace, left = told(steps=steps, until=until, spread=0.5)
    assert pace.seconds_left(steps - until, (steps - until) // EACH) == pytest.approx(left, rel=0.05)


def test_before_the_first_validation_its_cost_is_that_of_the_rehearsal():
    pace, now = Pace(0.0, pictures=32), 0.0
    for step in range(10):
        now += 0.1
        pace.stepped(now)
        if pace.wants_rehearsal:
            assert step == 1  # when the steps have settled, and once
            pace.rehearsed(4.0, took=2.0)
            now += 2.0
    assert pace.seconds_per_step == pytest.approx(0.1)  # the rehearsal is no part of it
    assert pace.seconds_left(5, 2) == pytest.approx(0.5 + 8)
    pace.validated(6.0)
    assert pace.seconds_left(5, 2) == pytest.approx(0.5 + 12)
    assert not pace.wants_rehearsal


def test_slow_first_steps_do_not_count():
    pace, _ = told(steps=100, until=5, first=60.0)
    assert pace.seconds_per_step == pytest.approx(0.1)
    assert pace.pictures_per_second == pytest.approx(320)


def test_there_is_an_answer_after_one_step_and_none_is_wild_before():
    assert Pace(0.0, pictures=8).seconds_left(100, 3) == 0
    pace = Pace(0.0, pictures=8)
    assert pace.pictures_per_second == 0
    pace.stepped(0.5)
    assert pace.seconds_left(10, 0) == pytest.approx(5)


def test_the_estimate_follows_a_machine_that_becomes_slower():
    pace, now = Pace(0.0, pictures=8), 0.0
    for step in range(2000):
        now += 0.1 if step < 1000 else 0.3
        pace.stepped(now)
    assert pace.seconds_per_step == pytest.approx(0.3)
