"""Planning a run for so many minutes: how large a network, how many steps, and what to keep for the end.

Pure functions of measured seconds. A plan is made before step 1; at the ends of epochs it is made anew where the
machine turned out faster or slower, and every plan is written under `[resolved]`, so that it can be repeated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Widths of the networks for small pictures, and the epochs that each needs to be better than the next smaller one.
FEWEST_EPOCHS: dict[str, dict[int, float]] = {
    "small-resnet": {96: 12.0, 64: 9.0, 48: 6.0, 32: 1.5, 16: 0.0},
    "small-conv": {48: 20.0, 32: 4.0, 24: 1.5, 16: 0.0},
}
# Epochs below which residual convolutions take time and teach nothing: 99.2 to 99.3 % of MNIST's test digits after one
# epoch without them, 99.2 to 99.3 % with them and 1.5 times as long (two seeds).
RESIDUAL_FROM = {"small-conv": 1.5}
# What the networks have unless it is said or planned otherwise.
USUAL_WIDTH = {"small-resnet": 64, "small-conv": 32}
# Not more epochs than help: what is left of the time is given back.
MOST_EPOCHS = {"small-resnet": 60.0, "small-conv": 40.0}
VALIDATION_SHARE = 0.06  # of the time; more seldom than every epoch where it would cost more
# Page, predictions, bootstrap and the interpreter's own end, beside the answers.
SECONDS_FOR_RESULTS = 3.0
LEAST_CHANGE = 0.01  # of the steps to come; smaller differences are left as planned


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was measured: seconds of a training step and of answering one picture."""

    step: float
    answer: float


@dataclass(frozen=True, kw_only=True)
class TimePlan:
    """So many `steps` in all, validation every `validate_every` epochs, `reserve` seconds for what comes after."""

    steps: int
    validate_every: int
    reserve: float


def plan_steps(
    speed: Speed, *, seconds: float, steps_per_epoch: int, validation: int, test: int, training: int
) -> TimePlan:
    """Steps that fit into `seconds`, with validation of so many pictures and the results after them.

    validation, test, training: numbers of pictures. At least one step, however short the time is.
    """
    # In the end the best weights answer validation twice (to calibrate, and for the results) and test once, and up to
    # 4,000 training pictures are compared.
    reserve = SECONDS_FOR_RESULTS + speed.answer * (2 * validation + test + min(training, 4000))
    left = max(0.0, seconds - reserve)
    per_validation = speed.answer * validation
    every = max(1, math.ceil(per_validation / (VALIDATION_SHARE * speed.step * steps_per_epoch)))
    # Whole rounds of training and validation, then the steps that fit before the validation of the end.
    rounds = int(left // (speed.step * every * steps_per_epoch + per_validation))
    rest = left - rounds * (speed.step * every * steps_per_epoch + per_validation)
    steps = rounds * every * steps_per_epoch + max(0, int((rest - per_validation) / speed.step))
    return TimePlan(steps=max(1, steps), validate_every=every, reserve=reserve)


def choose_width(name: str, epochs: Mapping[int, float]) -> int:
    """The largest width that gets the epochs it needs; `epochs` are those that each width would get."""
    needs = FEWEST_EPOCHS[name]
    fitting = [width for width, got in epochs.items() if got >= needs[width]]
    return max(fitting, default=min(epochs))


def arguments_for(name: str, epochs: float) -> dict[str, Any]:
    """Arguments of the network for a run of so few epochs that the usual one would only take longer; else none."""
    if name not in FEWEST_EPOCHS or epochs >= FEWEST_EPOCHS[name][USUAL_WIDTH[name]]:
        return {}
    width = choose_width(name, {width: epochs for width in FEWEST_EPOCHS[name] if width <= USUAL_WIDTH[name]})
    plain = epochs < RESIDUAL_FROM.get(name, 0.0)
    return {"width": width, "residual": False} if plain else {"width": width}


def steps_anew(*, step: int, total: int, seconds_since: float, steps_since: int, seconds_left: float) -> int | None:
    """Steps in all, if the rest goes on as the last `steps_since` steps did; None where the plan may stand."""
    if steps_since <= 0 or seconds_since <= 0:
        return None
    wanted = step + max(1, round(seconds_left * steps_since / seconds_since))
    return None if abs(wanted - total) <= LEAST_CHANGE * (total - step) else wanted
