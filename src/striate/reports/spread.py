"""Drawings of numbers: answers over targets, how far answers lie from targets, and how numbers are spread.

Legend: N pictures, or rows of a table: `noun` says which.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from striate.reports.drawing import Chart, svg
from striate.reports.lines import ticks
from striate.reports.text import count, decimal
from striate.words import counted

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 34
SIDE = 300
BARS = 21  # of a histogram of errors: an odd number, so that one lies about 0


def scatter_chart(name: str, points: Sequence[tuple[float, float]], noun: str = "picture") -> Chart | None:
    """Answers over targets, [(target, answer)], on equal scales; on the dotted line an answer is its target."""
    if not points:
        return None
    every = [value for point in points for value in point]
    low, high = _widened(min(every), max(every))
    left, top = 54.0, 8.0
    size = SIDE - 12
    width, height = left + size + 12, top + size + 38

    def across(value: float) -> float:
        return left + size * (value - low) / (high - low)

    def down(value: float) -> float:
        return top + size * (1 - (value - low) / (high - low))

    parts = [_frame(left, top, size, size)]
    for value in ticks(low, high, 5):
        parts.append(
            Markup(
                '<path class="grid" d="M{0:.1f} {1:.1f}h{2:.1f}M{3:.1f} {4:.1f}v{2:.1f}"/>'
                '<text x="{5:.1f}" y="{6:.1f}" class="end">{7}</text>'
                '<text x="{3:.1f}" y="{8:.1f}" class="mid">{7}</text>'
            ).format(
                left, down(value), size, across(value), top, left - 7, down(value) + 3.5, _tick(value), top + size + 14
            )
        )
    parts.append(
        Markup('<path class="rule" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(
            across(low), down(low), across(high), down(high)
        )
    )
    radius = 3.2 if len(points) <= 150 else 2.2 if len(points) <= 600 else 1.7
    for target, answer in points:
        spot = Markup('<circle class="spot" cx="{:.1f}" cy="{:.1f}" r="{}"/>')
        parts.append(spot.format(across(target), down(answer), radius))
    parts.append(_named(left + size / 2, top + size + 32, "target"))
    parts.append(
        Markup('<text transform="translate(11 {:.1f}) rotate(-90)" class="mid name">{}</text>').format(
            top + size / 2, "answer"
        )
    )
    told = f"{name}: answers over targets, {counted(len(points), noun)}"
    return Chart(title=name, svg=svg(width, height, told, parts))


def error_chart(name: str, points: Sequence[tuple[float, float]], noun: str = "picture") -> Chart | None:
    """How many answers lie how far above or below their targets, [(target, answer)]; the line is at 0."""
    if not points:
        return None
    errors = [answer - target for target, answer in points]
    # The most extreme hundredth would press all others into one bar: it counts in the outermost.
    order = sorted(abs(error) for error in errors)
    reach = order[min(len(order) - 1, math.floor(0.99 * len(order)))] or order[-1] or 1.0
    bars = [0] * BARS
    for error in errors:
        bars[min(BARS - 1, max(0, math.floor((error / reach + 1) / 2 * BARS)))] += 1
    title = f"{name}: answer less target"
    return _histogram(title, bars, -reach, reach, "too low ← 0 → too high", noun, mark=0.0)


def histogram_chart(title: str, bars: Sequence[int], low: float, high: float, noun: str = "picture") -> Chart | None:
    """Counts in equal steps from `low` to `high`; None where there are none."""
    return _histogram(title, bars, low, high, "value", noun, mark=None) if sum(bars) else None


def error_strip(value: float, low: float, high: float, usual: float) -> Markup:
    """An error on its scale from 0, with its interval, and where always answering the mean would be."""
    width, height, edge = 360, 44, 6
    inner = width - 2 * edge
    most = 1.12 * max(value, high, usual) or 1.0

    def across(number: float) -> float:
        return edge + inner * min(1.0, max(0.0, number / most))

    near_end = across(usual) > width - 95
    parts = [
        Markup('<path class="scale" d="M{} 14H{}"/>').format(edge, width - edge),
        Markup('<path class="range" d="M{:.1f} 14H{:.1f}"/>').format(across(low), across(high)),
        Markup('<circle class="dot one ring" cx="{:.1f}" cy="14" r="5"/>').format(across(value)),
        Markup('<path class="mark" d="M{0:.1f} 7V21"/>').format(across(usual)),
        Markup('<text x="{}" y="40">0</text>').format(edge),
        Markup('<text x="{:.1f}" y="40" class="{}">always the mean {}</text>').format(
            width - edge if near_end else max(across(usual), edge + 70), "end" if near_end else "mid", decimal(usual)
        ),
    ]
    spoken = f"{decimal(value)} off on average, 95 % interval {decimal(low)} to {decimal(high)}"
    return svg(width, height, f"{spoken}; always answering the mean would be {decimal(usual)} off", parts)


def _histogram(
    title: str, bars: Sequence[int], low: float, high: float, x_name: str, noun: str, mark: float | None
) -> Chart:
    inner, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    most, step = max(bars), (WIDTH - LEFT - RIGHT) / len(bars)
    start, end = _widened(low, high, 0.0)

    def across(value: float) -> float:
        return LEFT + inner * (value - start) / (end - start)

    parts = []
    for value in ticks(0, most, 4):
        if value == round(value):
            y = TOP + tall * (1 - value / most)
            parts.append(
                Markup(
                    '<path class="grid" d="M{0} {1:.1f}h{2}"/><text x="{3}" y="{4:.1f}" class="end">{5}</text>'
                ).format(LEFT, y, inner, LEFT - 7, y + 3.5, count(value))
            )
    for number, height in enumerate(bars):
        if height:
            drawn = max(1.0, tall * height / most)
            parts.append(
                Markup('<rect class="count" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    LEFT + number * step + 0.75, TOP + tall - drawn, max(1.0, step - 1.5), drawn
                )
            )
    for value in ticks(start, end, 5) if high > low else [low]:
        x = across(value) if high > low else LEFT + inner / 2
        parts.append(Markup('<text x="{:.1f}" y="{}" class="mid">{}</text>').format(x, HEIGHT - 19, _tick(value)))
    if mark is not None and start <= mark <= end:
        parts.append(Markup('<path class="mark" d="M{:.1f} {}V{}"/>').format(across(mark), TOP, TOP + tall))
    parts.append(_named(LEFT + inner / 2, HEIGHT - 4, x_name))
    told = f"{title}: {counted(sum(bars), noun)} from {decimal(low)} to {decimal(high)}"
    return Chart(title=title, svg=svg(WIDTH, HEIGHT, told, parts))


def _widened(low: float, high: float, share: float = 0.04) -> tuple[float, float]:
    """A range with a margin; one of no width gets one about it."""
    margin = share * (high - low) if high > low else (abs(high) or 1.0) * 0.5
    return low - margin, high + margin


def _frame(left: float, top: float, width: float, height: float) -> Markup:
    return Markup('<path class="axis" d="M{0:.1f} {1:.1f}v{3:.1f}h{2:.1f}"/>').format(left, top, width, height)


def _named(x: float, y: float, name: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" class="mid name">{}</text>').format(x, y, name)


def _tick(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:g}" if 1e-3 <= abs(value) < 1e5 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
