"""How sure a model is, and how often it is right then, arranged for the page: diagram, numbers, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from striate.reports import drawing, text
from striate.reports.figures import Figure
from striate.reports.reliability import Bin, reliability_chart
from striate.words import counted


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The diagram, its numbers, and what they say in one sentence. unit: what is answered."""

    unit: str
    chart: drawing.Chart
    rows: list[tuple[float, float, Bin]]
    sentence: str


def reliability(evaluation: Mapping[str, Any], overall: Any = None, unit: str = "picture") -> Reliability | None:
    """The diagram, its rows and its sentence; None where there are no bins. overall: how often it is right in all, the
    accuracy where None. unit: what is answered."""
    rows = []
    for given in evaluation.get("bins") or ():
        number = round(text.finite(given.get("count")) or 0)
        confidence, accuracy = text.finite(given.get("confidence")), Figure.of(given.get("accuracy"))
        if number == 0 or confidence is None or accuracy.value is None:
            continue
        low, high = text.finite(given.get("low")) or 0.0, text.finite(given.get("high")) or 1.0
        shown = Bin(confidence=confidence, accuracy=accuracy.value, count=number, low=accuracy.low, high=accuracy.high)
        rows.append((low, high, shown))
    chart = reliability_chart([row[2] for row in rows], [row[:2] for row in rows], unit)
    if chart is None:
        return None
    total = sum(row[2].count for row in rows)
    sure = sum(row[2].count * row[2].confidence for row in rows) / total
    right = sum(row[2].count * row[2].accuracy for row in rows) / total
    told = f"On average it was {text.percent(sure)} sure and {text.percent(right)} right"
    gap, known = 100 * (sure - right), Figure.of(overall or evaluation.get("accuracy"))
    if abs(gap) < 1:
        sentence = f"{told}: by and large its certainty is what it should be."
    elif known.low is not None and known.high is not None and known.low <= sure <= known.high:
        sentence = f"{told}: {abs(gap):.1f} points apart, which chance alone can make of {counted(total, unit)}."
    else:
        sentence = f"{told}: {abs(gap):.1f} points too {'sure of itself' if gap > 0 else 'modest'}."
    return Reliability(unit=unit, chart=chart, rows=rows, sentence=sentence)
