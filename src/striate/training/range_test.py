"""The learning-rate range test: the rate rises from step to step until the network learns no more, and what that says.

Source: Smith 2017, "Cyclical learning rates" (arXiv:1506.01186), section 3.3, with a rate that rises exponentially, as
in Howard and Gugger 2020, "Deep learning for coders", chapter 5. What differs: where the loss has risen, the rate waits
for it to come down again. A network that is new is steep, most of all with batch norm and momentum, and a rate that
suits it well makes its loss rise at first, from which it recovers where it is flatter (the "catapult" of Lewkowycz et
al. 2020, arXiv:2003.02218); a training has the time for that in its warm-up. A test that ends at the first rise told
0.0095 for `small-conv` by SGD on digits, whose default is 0.2. So what counts is the highest rate from which the loss
came back, or never left, and a fifteenth of it is suggested.
Limits: it sees the first steps of a network alone, so it is a good guess and no optimum. It cannot see that a small
table is soon learned by heart, for which lower rates are better. How good it is on real sets: docs/defaults.md.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 100  # rates, and the steps between them while the loss falls
KEPT = 0.8  # share of the smoothed loss before that is kept
# The loss has risen where it has lost so much of what it had come down by; or, where it has not come down yet, where it
# is so much of the first loss above that.
RISEN, RISEN_BY = 0.5, 0.25
# It has come down by so much of the first loss, and so many deviations of the average, as the first losses have it.
FALLEN_BY, DEVIATIONS = 0.1, 5.0
PATIENCE = 40  # steps that the rate waits at most for the loss to come down
FEWEST = 20  # steps at the beginning, at rates by which nothing is learned: what noise is
STRETCH = 10  # steps over which a fall of the loss is looked at
SAFETY = 15.0


@dataclass(frozen=True, kw_only=True)
class RateTest:
    """What came of it: the rate of each step (n), the loss (n) at each, and its smoothed course (n).

    `suggested` is a fifteenth of `stable_until`, the highest rate from which the loss came back; `lowest_at` is where
    the smoothed loss was lowest; `steepest_at` is where it fell fastest; `diverged_at` is where it had risen and did
    not come back, or was no number, None where that never was.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggested: float
    stable_until: float
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


def rate_at(place: int) -> float:
    """The rate at place 0 to STEPS - 1 of the ramp, from LOWEST to HIGHEST."""
    return float(LOWEST * (HIGHEST / LOWEST) ** (place / (STEPS - 1)))


def smooth(losses: Sequence[float]) -> list[float]:
    """An exponential average that is not pulled towards 0 at its beginning, as Adam's (Kingma & Ba 2015, section 3)."""
    found, mean = [], 0.0
    for number, loss in enumerate(losses, start=1):
        mean = KEPT * mean + (1 - KEPT) * loss
        found.append(mean / (1 - KEPT**number))
    return found


@dataclass
class Ramp:
    """A test in progress: `rate` of the next step, then `took` its loss, until `over`."""

    place: int = 0
    waited: int = 0  # steps at this place since the loss has risen
    over: bool = False
    diverged: bool = False
    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    _capped: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Of the next step."""
        return rate_at(self.place)

    def took(self, loss: float) -> None:
        """The loss of a step at `rate`: note it, and go on to the next rate, wait, or end."""
        if not math.isfinite(loss):
            self.over = self.diverged = True
            return
        self.rates.append(self.rate)
        self.losses.append(loss)
        if self._has_risen(loss):
            self.waited += 1
            self.over = self.diverged = self.waited > PATIENCE
            return
        self.waited = 0
        self.place += 1
        self.over = self.place == STEPS

    def _has_risen(self, loss: float) -> bool:
        """Whether the smoothed loss is too far above its lowest. One loss counts for no more than the loss at the
        beginning and what was gained since: a single one of a thousand would not be forgotten."""
        begun = self.losses[:FEWEST]
        first, noise = statistics.fmean(begun), statistics.pstdev(begun) * math.sqrt((1 - KEPT) / (1 + KEPT))
        fallen = first - min(smooth(self._capped)[FEWEST:], default=first)
        self._capped.append(min(loss, first + max(fallen, RISEN_BY * abs(first))))
        if len(self._capped) <= FEWEST:
            return False
        learned = fallen > max(FALLEN_BY * abs(first), DEVIATIONS * noise)
        limit = first - (1 - RISEN) * fallen if learned else first + RISEN_BY * abs(first)
        return smooth(self._capped)[-1] > limit


def told_by(ramp: Ramp) -> RateTest:
    """What a test of at least one loss says, when it is over."""
    course = smooth(ramp.losses)
    lowest = min(range(len(course)), key=course.__getitem__)
    # Over several steps, and not at the very first ones: those are means of few losses.
    falls = {step + STRETCH // 2: course[step + STRETCH] - course[step] for step in range(STRETCH, lowest - STRETCH)}
    steepest = min(falls, key=falls.__getitem__) if falls else lowest
    # The rate at which it diverged is not among those that it could bear.
    stable = rate_at(max(0, ramp.place - 1))
    return RateTest(
        rates=tuple(ramp.rates),
        losses=tuple(ramp.losses),
        smoothed=tuple(course),
        suggested=float(f"{stable / SAFETY:.2g}"),
        stable_until=stable,
        lowest_at=ramp.rates[lowest],
        steepest_at=ramp.rates[steepest],
        diverged_at=ramp.rate if ramp.diverged else None,
    )
