"""How fast a training goes and how long it still takes, from its recent steps and its validations.

A function of the times that it is told: it looks at no clock of its own.
"""

from __future__ import annotations

from collections import deque

# The first steps pay for memory, for threads and for the first batch; they say little about those to come.
SETTLING = 2
RECENT = 500  # steps that the estimate is taken from


class Pace:
    """`start`, `now`: seconds of any clock that only goes forward. `pictures` in a step.

    Until a validation was measured its cost is what `rehearsed` said.
    """

    def __init__(self, start: float, *, pictures: int) -> None:
        self._start, self._pictures = start, pictures
        self._steps = 0
        self._apart = 0.0  # seconds spent between steps
        self._rehearsed: float | None = None
        self._validated = 0.0  # seconds
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
        self._validated += seconds
        self._validations += 1

    @property
    def wants_rehearsal(self) -> bool:
        """Whether the steps have settled and nothing is known of validations yet."""
        return self._steps >= SETTLING and self._rehearsed is None and not self._validations

    def rehearsed(self, seconds: float, took: float) -> None:
        """A validation will take `seconds`, by a part of it that was tried between two steps and `took` so long."""
        self._apart += took
        self._rehearsed = seconds

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
        each = self._validated / self._validations if self._validations else self._rehearsed or 0.0
        return steps * self.seconds_per_step + validations * each
