"""From figures of several rounds to medians, ratios pair by pair, and verdicts on goals. Plain arithmetic.

A round measures every contender once, one after another, so that what disturbs the machine for a while disturbs them
all: contenders are compared within a round, and the median of these ratios is what counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# contender -> one entry a round; None where it was not measured in that round
Rounds = Mapping[str, Sequence[Mapping[str, float] | None]]


@dataclass(frozen=True)
class Spread:
    """The median of so many values, the least and the greatest."""

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What is to be reached: a figure of a contender, or its ratio to the same figure of others.

    `against`: the rivals; what counts is the one against which the ratio is worst. None named: the figure itself.
    `inverted`: the ratio is theirs to ours ("times as fast", of seconds), and not ours to theirs.
    One of `at_least` and `at_most` is given.
    """

    words: str
    figure: str
    contender: str
    against: tuple[str, ...] = ()
    inverted: bool = False
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"{self.words}: give at_least or at_most")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A goal judged. `measured`, `reached`: None where there is nothing to judge; `missed_by`: a share of the bound."""

    words: str
    measured: Spread | None
    rival: str
    bound: float
    reached: bool | None
    missed_by: float

    def sentence(self) -> str:
        """ "reached: 2.31" or "missed by 12 %: 1.32", with the rival and the spread."""
        if self.measured is None or self.reached is None:
            return "not measured"
        figure = shown(self.measured)
        rival = f" against {self.rival}" if self.rival else ""
        verdict = "reached" if self.reached else f"missed by {100 * self.missed_by:.0f} %"
        return f"{verdict}: {figure}{rival}"


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def values_of(rounds: Rounds, contender: str, figure: str) -> list[float]:
    """The figure in every round that has it."""
    return [one[figure] for one in rounds.get(contender, ()) if one is not None and figure in one]


def ratios(rounds: Rounds, figure: str, over: str, under: str) -> list[float]:
    """`over` / `under` in every round that has the figure of both."""
    pairs = zip(rounds.get(over, ()), rounds.get(under, ()), strict=False)
    return [
        one[figure] / other[figure]
        for one, other in pairs
        if one is not None and other is not None and figure in one and figure in other
    ]


def judge(goal: Goal, rounds: Rounds) -> Verdict:
    """Whether the median reaches the bound, against the strongest rival that was measured."""
    bound = goal.at_least if goal.at_least is not None else goal.at_most
    assert bound is not None
    rival, found = "", values_of(rounds, goal.contender, goal.figure)
    if goal.against:
        compared = {
            name: ratios(rounds, goal.figure, name, goal.contender)
            if goal.inverted
            else ratios(rounds, goal.figure, goal.contender, name)
            for name in goal.against
        }
        medians = {name: statistics.median(values) for name, values in compared.items() if values}
        found = []
        if medians:
            strictest = min if goal.at_least is not None else max
            rival = strictest(medians, key=lambda name: medians[name])
            found = compared[rival]
    if not found:
        return Verdict(words=goal.words, measured=None, rival="", bound=bound, reached=None, missed_by=0.0)
    measured = spread(found)
    reached = measured.median >= bound if goal.at_least is not None else measured.median <= bound
    missed = 0.0 if reached else abs(measured.median - bound) / abs(bound)
    return Verdict(words=goal.words, measured=measured, rival=rival, bound=bound, reached=reached, missed_by=missed)


def shown(found: Spread) -> str:
    """ "2.31 (2.20 to 2.40)"; the median alone where there is one value."""
    if found.count == 1:
        return number(found.median)
    return f"{number(found.median)} ({number(found.low)} to {number(found.high)})"


def number(value: float) -> str:
    """Three digits that count, thousands set apart; powers of ten below a thousandth."""
    if value != value:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    if 0 < abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3f}"
