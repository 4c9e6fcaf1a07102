"""Figures as a page shows them: a value with its interval, what it means, and the one that comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from striate.reports import text


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure with its 95 % interval, as it was given."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, given: Any) -> Figure:
        if isinstance(given, Mapping):
            return cls(**{key: text.finite(given.get(key)) for key in ("value", "low", "high")})
        return cls(value=text.finite(given))

    @property
    def bounded(self) -> bool:
        """Whether there is an interval. One of no width is none: without a mistake resampling finds no spread."""
        return self.value is not None and self.low is not None and self.high is not None and self.low < self.high

    def percent(self) -> str:
        return text.percent(self.value)

    def percent_interval(self) -> str:
        to = " to " if self.low is not None and self.low < 0 else "–"
        return f"{text.percent(self.low, sign=False)}{to}{text.percent(self.high)}" if self.bounded else ""

    def decimal(self) -> str:
        return text.decimal(self.value)

    def decimal_interval(self) -> str:
        to = " to " if self.low is not None and self.low < 0 else "–"
        return f"{text.decimal(self.low)}{to}{text.decimal(self.high)}" if self.bounded else ""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A figure of the overview: its name, its text, and what it means in one sentence."""

    name: str
    value: str
    interval: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The answer first: "97.5 %" "of 200 test pictures right", and the interval, drawn and told."""

    value: str
    rest: str
    interval: str
    strip: Markup | None


def shown(
    evaluation: Mapping[str, Any], meanings: Sequence[tuple[str, str, bool, str]], noun: str = "picture"
) -> list[Shown]:
    """The figures of `meanings`, (key, name, whether it is a share, what it means), as far as they are given. noun:
    what is answered, in the place of {noun}."""
    made = []
    for key, name, as_percent, meaning in meanings:
        if evaluation.get(key) is None:
            continue
        figure = Figure.of(evaluation[key])
        value, interval = (
            (figure.percent(), figure.percent_interval())
            if as_percent
            else (figure.decimal(), figure.decimal_interval())
        )
        made.append(Shown(name=name, value=value, interval=interval, meaning=meaning.format(noun=noun)))
    return made
