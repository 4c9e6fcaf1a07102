"""Lines over an axis, such as a figure by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from striate.reports.drawing import Chart, svg
from striate.reports.text import decimal, finite, percent

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 34
MOST_POINTS = 600


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that lie in [low, high]: multiples of 1, 2 or 5 times a power of ten, about `about` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: powers of ten, with 2 and 5 between them where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if math.log10(high / low) < 2 else (1,)
    found = [float(f"{factor}e{power}") for power in powers for factor in factors]
    inside = [value for value in found if low * 0.999 <= value <= high * 1.001]
    return inside[:: max(1, math.ceil(len(inside) / 8))] or [low]


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart. `values` has one entry for each x, None or NaN where there is none.

    ranges: empty, or for each x None or (low, high), finite: a whisker there.
    """

    name: str
    values: Sequence[float | None]
    style: str = "one"  # "one": the accent colour; "two": grey and dashed
    ranges: Sequence[tuple[float, float] | None] = ()


def line_chart(
    title: str,
    x: Sequence[float],
    series: Sequence[Series],
    *,
    x_name: str = "epoch",
    as_percent: bool = False,
    logarithmic: bool = False,
    mark: float | None = None,
    reference: float | None = None,
) -> Chart | None:
    """Lines over x; None where no line has a value.

    mark: an x that is singled out by a vertical line (the epoch that was kept). reference: a y likewise.
    A long line is thinned so that its peaks stay.
    """
    lines = [
        (
            one,
            [(float(at), value) for at, raw in zip(x, one.values, strict=False) if (value := finite(raw)) is not None],
        )
        for one in series
    ]
    lines = [(one, [p for p in points if not logarithmic or p[1] > 0]) for one, points in lines]
    lines = [(one, points) for one, points in lines if points]
    if not lines:
        return None
    whiskers = [
        (one.style, float(at), *ends) for one, _ in lines for at, ends in zip(x, one.ranges, strict=False) if ends
    ]
    every = [value for _, points in lines for _, value in points]
    every += [end for _, _, *ends in whiskers for end in ends]
    if reference is not None:
        every.append(reference)
    vertical = _Axis.over(every, logarithmic=logarithmic, top_limit=1.0 if as_percent else None)
    places = [at for _, points in lines for at, _ in points]
    start, end = min(places), max(places)
    spread = (end - start) or 1.0

    def across(at: float) -> float:
        inner = WIDTH - LEFT - RIGHT
        return LEFT + inner * ((at - start) / spread if end > start else 0.5)

    def down(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * vertical.place(value)

    def show(value: float) -> str:
        if as_percent:
            narrow = vertical.ticks[-1] - vertical.ticks[0] < 0.05
            return f"{100 * value:.1f}" if narrow else f"{100 * value:.0f}"
        return (
            f"{value:g}"
            if 1e-3 <= abs(value) < 1e5 or value == 0
            else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
        )

    parts: list[Markup] = []
    for value in vertical.ticks:
        parts.append(
            Markup('<path class="grid" d="M{0} {1:.1f}H{2}"/><text x="{3}" y="{4:.1f}" class="end">{5}</text>').format(
                LEFT, down(value), WIDTH - RIGHT, LEFT - 7, down(value) + 3.5, show(value)
            )
        )
    steps = ticks(start, end, 6) if end > start else [start]
    whole = sorted({round(value) for value in steps if start <= round(value) <= end}) or [round(start)]
    for number in whole:
        parts.append(
            Markup('<text x="{:.1f}" y="{}" class="mid">{:,}</text>').format(across(number), HEIGHT - 19, number)
        )
    parts.append(
        Markup('<text x="{}" y="{}" class="mid name">{}</text>').format((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, x_name)
    )
    if reference is not None:
        parts.append(Markup('<path class="rule" d="M{} {:.1f}H{}"/>').format(LEFT, down(reference), WIDTH - RIGHT))
    if mark is not None and start <= mark <= end:
        parts.append(Markup('<path class="mark" d="M{:.1f} {}V{}"/>').format(across(mark), TOP, HEIGHT - BOTTOM))
    for style, at, low, high in whiskers:
        shape = Markup('<path class="whisker {0}" d="M{1:.1f} {2:.1f}V{3:.1f}M{4:.1f} {2:.1f}h6M{4:.1f} {3:.1f}h6"/>')
        parts.append(shape.format(style, across(at), down(low), down(high), across(at) - 3))
    for one, points in sorted(lines, key=lambda line: line[0].style != "two"):
        drawn = _thin(points)
        if len(drawn) == 1:
            shape = Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="4"/>')
            parts.append(shape.format(one.style, across(drawn[0][0]), down(drawn[0][1])))
            continue
        road = "L".join(f"{across(at):.1f} {down(value):.1f}" for at, value in drawn)
        parts.append(Markup('<path class="line {}" d="M{}"/>').format(one.style, road))
        if mark is not None and one.style == "one":
            for at, value in points:
                if at == mark:
                    parts.append(
                        Markup('<circle class="dot one" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(
                            across(at), down(value)
                        )
                    )
    told = percent if as_percent else decimal
    spoken = "; ".join(f"{one.name or 'and'} from {told(p[0][1])} to {told(p[-1][1])}" for one, p in lines)
    return Chart(
        title=title,
        svg=svg(WIDTH, HEIGHT, f"{title} by {x_name}: {spoken}", parts),
        legend=tuple((one.name, one.style) for one, _ in lines),
    )


@dataclass(frozen=True)
class _Axis:
    """A vertical axis: its range, its ticks, and where on it (0 bottom, 1 top) a value lies."""

    low: float
    high: float
    logarithmic: bool
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], *, logarithmic: bool, top_limit: float | None) -> _Axis:
        low, high = min(values), max(values)
        if logarithmic:
            low, high = low / 1.15, high * 1.15
            return cls(low, high, True, tuple(decades(low, high)))
        if low >= 0 and low < 0.4 * high:
            low = 0.0
        margin = 0.06 * ((high - low) or abs(high) or 1.0)
        low, high = low - (margin if low else 0.0), high + margin
        if top_limit is not None and high > top_limit:
            high = max(top_limit, max(values))
        return cls(low, high, False, tuple(ticks(low, high)))

    def place(self, value: float) -> float:
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most about `MOST_POINTS` points: of each stretch its lowest and its highest."""
    if len(points) <= MOST_POINTS:
        return points
    kept: list[tuple[float, float]] = []
    stretches = MOST_POINTS // 2
    for part in range(stretches):
        stretch = points[part * len(points) // stretches : (part + 1) * len(points) // stretches]
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return kept
