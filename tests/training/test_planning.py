"""Plans against a count of every step and validation, one by one; and what is planned anew."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from striate.training import planning
from striate.training.planning import (
    FEWEST_EPOCHS,
    LEAST_CHANGE,
    VALIDATION_SHARE,
    Speed,
    TimePlan,
    arguments_for,
    choose_width,
    plan_steps,
    steps_anew,
)


def seconds_of(plan: TimePlan, steps: int, speed: Speed, *, steps_per_epoch: int, validation: int) -> float:
    """As the loop spends them: validation after every so many whole epochs, and at the end if it was not just done."""
    validations = steps // (plan.validate_every * steps_per_epoch)
    validations += steps % (plan.validate_every * steps_per_epoch) != 0
    return steps * speed.step + validations * speed.answer * validation + plan.reserve


RANGES = {
    "step": st.floats(1e-4, 5.0),
    "answer": st.floats(0.0, 0.2),
    "seconds": st.floats(0.0, 20_000.0),
    "steps_per_epoch": st.integers(1, 2000),
    "validation": st.integers(0, 20_000),
    "test": st.integers(0, 20_000),
    "training": st.integers(2, 200_000),
}


@settings(max_examples=300, deadline=None)
@given(**RANGES)
@example(step=0.001, answer=0.0001, seconds=60.0, steps_per_epoch=1, validation=9, test=9, training=42)
@example(step=0.1, answer=0.001, seconds=60.0, steps_per_epoch=100, validation=7500, test=1000, training=42_500)
def test_a_plan_fits_its_time_and_one_more_step_would_not(
    step, answer, seconds, steps_per_epoch, validation, test, training
):
    speed = Speed(step=step, answer=answer)
    plan = plan_steps(
        speed, seconds=seconds, steps_per_epoch=steps_per_epoch, validation=validation, test=test, training=training
    )
    where = {"steps_per_epoch": steps_per_epoch, "validation": validation}
    assert plan.steps >= 1
    slack = 1e-6 * max(1.0, seconds)
    if plan.steps > 1:
        assert seconds_of(plan, plan.steps, speed, **where) <= seconds + slack
    assert seconds_of(plan, plan.steps + 1, speed, **where) >= seconds - slack
    # The results answer validation and test, and compare some thousand training pictures.
    assert plan.reserve >= planning.SECONDS_FOR_RESULTS + answer * (validation + test)


@settings(max_examples=200, deadline=None)
@given(**RANGES)
@example(step=0.0004, answer=0.00002, seconds=60.0, steps_per_epoch=2, validation=20, test=9, training=42)
def test_validation_keeps_to_its_share_and_is_no_rarer_than_that_asks(
    step, answer, seconds, steps_per_epoch, validation, test, training
):
    plan = plan_steps(
        Speed(step=step, answer=answer),
        seconds=seconds,
        steps_per_epoch=steps_per_epoch,
        validation=validation,
        test=test,
        training=training,
    )
    epoch, every, once = step * steps_per_epoch, plan.validate_every, answer * validation
    assert once <= VALIDATION_SHARE * every * epoch * (1 + 1e-9)
    assert every == 1 or once > VALIDATION_SHARE * (every - 1) * epoch * (1 - 1e-9)


def test_a_plan_by_hand():
    # 100 s - 3 s - 0.01 * (2 * 100 + 200 + 300) = 90 s; an epoch of 10 steps is 1 s, validation of it 1 s,
    # so it comes every 17 epochs: 5 times 18 s.
    plan = plan_steps(
        Speed(step=0.1, answer=0.01), seconds=100.0, steps_per_epoch=10, validation=100, test=200, training=300
    )
    assert (plan.steps, plan.validate_every) == (850, 17)
    assert plan.reserve == pytest.approx(10.0)


@pytest.mark.parametrize("name", FEWEST_EPOCHS)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_more_time_never_gives_a_narrower_network(name, data):
    widths = sorted(FEWEST_EPOCHS[name])
    measured = widths[: data.draw(st.integers(1, len(widths)))]
    # A wider network gets fewer epochs in the same time.
    got = sorted(data.draw(st.lists(st.floats(0, 100), min_size=len(measured), max_size=len(measured))), reverse=True)
    epochs = dict(zip(measured, got, strict=True))
    more = {width: epochs[width] * data.draw(st.floats(1, 10)) for width in epochs}
    width = choose_width(name, epochs)
    assert width in epochs
    assert choose_width(name, more) >= width
    assert epochs[width] >= FEWEST_EPOCHS[name][width]
    assert all(epochs[wider] < FEWEST_EPOCHS[name][wider] for wider in epochs if wider > width)


def test_widths_by_hand():
    assert choose_width("small-resnet", {16: 40, 32: 12, 48: 6, 64: 4}) == 48
    assert choose_width("small-resnet", {16: 0.1, 32: 0.05}) == 16
    assert choose_width("small-conv", {16: 90, 24: 60, 32: 40, 48: 20}) == 48


@settings(max_examples=200, deadline=None)
@given(
    step=st.integers(1, 10**6),
    to_come=st.integers(1, 10**6),
    steps_since=st.integers(1, 10**4),
    a_step=st.floats(1e-4, 5),
    seconds_left=st.floats(-100, 10**5),
)
def test_the_rest_is_planned_by_the_pace_of_the_last_steps(step, to_come, steps_since, a_step, seconds_left):
    total = step + to_come
    wanted = steps_anew(
        step=step,
        total=total,
        seconds_since=a_step * steps_since,
        steps_since=steps_since,
        seconds_left=seconds_left,
    )
    fitting = max(1.0, seconds_left / a_step)
    if wanted is None:
        assert abs(fitting - to_come) <= LEAST_CHANGE * to_come + 1
    else:
        assert wanted >= step + 1
        assert abs(wanted - step - fitting) <= 0.5 + 1e-6 * fitting
        assert wanted != total


@pytest.mark.parametrize(("seconds", "steps"), [(0.0, 5), (-1.0, 5), (1.0, 0)])
def test_nothing_is_planned_anew_where_nothing_was_measured(seconds, steps):
    assert steps_anew(step=5, total=9, seconds_since=seconds, steps_since=steps, seconds_left=math.inf) is None


@pytest.mark.parametrize(
    ("name", "epochs", "arguments"),
    [
        ("small-conv", 1, {"width": 16, "residual": False}),
        *(("small-conv", epochs, width) for epochs, width in ((2, {"width": 24}), (4, {}), (40, {}))),
        *(("small-resnet", epochs, {"width": width}) for epochs, width in ((1, 16), (3, 32), (8, 48))),
        ("small-resnet", 9, {}),
        ("lenet5", 1, {}),
    ],
)
def test_few_epochs_are_for_a_smaller_network(name, epochs, arguments):
    assert arguments_for(name, epochs) == arguments


def test_the_usual_width_is_that_of_the_network():
    import inspect

    from striate.networks import NETWORKS

    for name, width in planning.USUAL_WIDTH.items():
        assert inspect.signature(NETWORKS[name].load()).parameters["width"].default == width
