"""How sure and how right: the reliability of answers by their confidence, and a figure with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from striate.reports.drawing import Chart, svg
from striate.reports.text import count, percent


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Answers of one range of confidence: how sure they were on average, how many were right, how many there are.

    `low` and `high`, where given, are the ends of the interval of `accuracy`.
    """

    confidence: float
    accuracy: float
    count: int
    low: float | None = None
    high: float | None = None


def reliability_chart(bins: Sequence[Bin], edges: Sequence[tuple[float, float]], unit: str = "picture") -> Chart | None:
    """How often answers of a stated confidence are right, with the counts below. edges: (low, high) of each bin; unit:
    what is counted."""
    filled = [one for one in bins if one.count > 0]
    if not filled:
        return None
    side, left, top, gap, tall = 292.0, 46.0, 10.0, 16.0, 58.0
    width, height = int(left + side + 16), int(top + side + gap + tall + 36)
    base = top + side + gap + tall
    most = max(one.count for one in filled)

    def across(value: float) -> float:
        return left + side * value

    def down(value: float) -> float:
        return top + side * (1 - value)

    parts: list[Markup] = []
    for tenth in range(0, 11, 2):
        value = tenth / 10
        parts.append(
            Markup(
                '<path class="grid" d="M{0:.1f} {1:.1f}h{2}"/><text x="{3}" y="{4:.1f}" class="end">{5}</text>'
            ).format(left, down(value), side, left - 7, down(value) + 3.5, tenth * 10)
        )
        parts.append(
            Markup('<text x="{:.1f}" y="{:.1f}" class="mid">{}</text>').format(across(value), base + 14, tenth * 10)
        )
    parts.append(Markup('<path class="rule" d="M{} {}L{} {}"/>').format(left, top + side, left + side, top))
    for one in filled:
        if one.low is not None and one.high is not None:
            parts.append(
                Markup('<path class="whisker" d="M{:.1f} {:.1f}V{:.1f}"/>').format(
                    across(one.confidence), down(one.low), down(one.high)
                )
            )
    road = "L".join(f"{across(one.confidence):.1f} {down(one.accuracy):.1f}" for one in filled)
    if len(filled) > 1:
        parts.append(Markup('<path class="line one thin" d="M{}"/>').format(road))
    for one in filled:
        radius = 3 + 5 * math.sqrt(one.count / most)
        parts.append(
            Markup('<circle class="dot one" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{}</title></circle>').format(
                across(one.confidence),
                down(one.accuracy),
                radius,
                f"said {percent(one.confidence)}, right {percent(one.accuracy)} of {count(one.count)}",
            )
        )
    parts.append(Markup('<path class="axis" d="M{} {}h{}"/>').format(left, base, side))
    parts.append(Markup('<text x="{}" y="{}" class="end">{}</text>').format(left - 7, base - 2, f"{unit}s"))
    for one, (low, high) in zip(bins, edges, strict=True):
        if one.count == 0:
            continue
        bar = max(1.0, (tall - 14) * one.count / most)
        parts.append(
            Markup('<rect class="count" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                across(low) + 1, base - bar, max(1.0, side * (high - low) - 2), bar
            )
        )
        parts.append(
            Markup('<text x="{:.1f}" y="{:.1f}" class="mid small">{}</text>').format(
                across((low + high) / 2), base - bar - 3, _short(one.count)
            )
        )
    parts.append(
        Markup('<text x="{}" y="{}" class="mid name">{}</text>').format(
            left + side / 2, base + 30, "how sure it was, %"
        )
    )
    parts.append(
        Markup('<text transform="translate(11 {}) rotate(-90)" class="mid name">{}</text>').format(
            top + side / 2, "how often it was right, %"
        )
    )
    spoken = "; ".join(
        f"said {percent(one.confidence, 0)}: right {percent(one.accuracy, 0)} of {count(one.count)}" for one in filled
    )
    return Chart(title="Reliability", svg=svg(width, height, f"Reliability diagram. {spoken}", parts))


def _short(number: int) -> str:
    return f"{number:,}" if number < 1000 else f"{number / 1000:.1f}k" if number < 10000 else f"{number / 1000:.0f}k"


def interval_strip(
    value: float, low: float, high: float, chance: float | None = None, chance_name: str = "guessing"
) -> Markup:
    """A figure in [0, 1] on its scale from 0 to 100 %, with its interval, and where guessing would be."""
    width, height, edge = 360, 44, 6
    inner = width - 2 * edge

    def across(share: float) -> float:
        return edge + inner * min(1.0, max(0.0, share))

    parts = [
        Markup('<path class="scale" d="M{} 14H{}"/>').format(edge, width - edge),
        Markup('<path class="range" d="M{:.1f} 14H{:.1f}"/>').format(across(low), across(high)),
        Markup('<circle class="dot one ring" cx="{:.1f}" cy="14" r="5"/>').format(across(value)),
        Markup('<text x="{}" y="40">0</text><text x="{}" y="40" class="end">100 %</text>').format(edge, width - edge),
    ]
    spoken = f"{percent(value)}, 95 % interval {percent(low)} to {percent(high)}"
    if chance is not None:
        parts.append(Markup('<path class="mark" d="M{0:.1f} 7V21"/>').format(across(chance)))
        near_end = across(chance) >= width - 110  # keep clear of the label of 100 %, and of that of 0
        shift = across(chance) < edge + 60
        parts.append(
            Markup('<text x="{:.1f}" y="40" class="{}">{} {}</text>').format(
                width - 50 if near_end else max(across(chance), edge + 18),
                "end" if near_end else "" if shift else "mid",
                chance_name,
                percent(chance, 0 if chance >= 0.1 else 1),
            )
        )
        spoken += f"; {chance_name} would give {percent(chance)}"
    return svg(width, height, spoken, parts)
