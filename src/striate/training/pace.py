"""How fast a training goes and how long it still takes, from its recent steps and its validations.

A function of the times that it is told: it looks at no clock of its own.
"""

from __future__ import annotations

from collections import deque

# The first steps pay for memory, for threads and for the first batch; they say little about those to come.
SETTLING = 2
RECENT = 500  # steps that the estimate is taken from
# A validation runs the network forward alone, which is about a third of a training step.
FORWARD_SHARE = 1 / 3


class Pace:
    """`start`, `now`: seconds of any clock that only goes forward. `pictures` in a step; `held_back` in a validation.

    Until a validation was measured its cost is that of as many pictures in training times FORWARD_SHARE.
    """

    def __init__(self, start: float, *, pictures: int, held_back: int = 0) -> None:
        self._start, self._pictures, self._held_back = start, pictures, held_back
        self._steps = 0
        self._apart = 0.0  # seconds spent in validations
        self._validations = 0
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT)

    def stepped(self, now: float) -> None:
        """A step has ended."""
        self._steps += 1
        if self._steps >= SETTLING:
            self._recent.append((self._steps, now - self._apart))
        self._latest = now - self._apart

    def validated(self, seconds: float) -> None:
        """A validation took so long, between two steps."""
        self._apart += seconds
        self._validations += 1

    @property
    def seconds_per_step(self) -> float:
        """Of the recent steps, validations apart; 0 before the first."""
        if not self._steps:
            return 0.0
        if len(self._recent) < 2:
            return max(0.0, self._latest - self._start) / self._steps
        (first, then), (last, now) = self._recent[0], self._recent[-1]
        return (now - then) / (last - first)

    @property
    def pictures_per_second(self) -> float:
        """Of the recent steps, validations apart; 0 before the first."""
        seconds = self.seconds_per_step
        return self._pictures / seconds if seconds > 0 else 0.0

    def seconds_left(self, steps: int, validations: int) -> float:
        """Time for so many more steps and validations, in seconds."""
        if self._validations:
            each = self._apart / self._validations
        else:
            each = self._held_back / self._pictures * self.seconds_per_step * FORWARD_SHARE
        return steps * self.seconds_per_step + validations * each
