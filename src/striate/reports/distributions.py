"""How numbers are spread, as rows of a table with a histogram each, for the report and for `striate inspect`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.reports import text
from striate.reports.drawing import Chart
from striate.reports.spread import histogram_chart

MOST_DRAWN = 12


@dataclass(frozen=True, kw_only=True)
class DistributionRow:
    """A number in a split. `first`: its name stands here. chart: its histogram, of all of them."""

    name: str
    split: str
    count: float | None
    quartiles: tuple[float | None, ...]
    mean: float | None
    first: bool
    chart: Chart | None


def distribution_rows(given: Sequence[Mapping[str, Any]], noun: str = "picture") -> list[DistributionRow]:
    """Rows in the order given; `given`: `Distribution.to_json()` of `striate.data.distribution`, each number in all and
    then by split. noun: what has the numbers."""
    rows: list[DistributionRow] = []
    drawn = 0
    for one in given:
        name = str(one.get("name", ""))
        quartiles = tuple(text.finite(value) for value in one.get("quartiles") or ())
        bars = [round(text.finite(value) or 0) for value in one.get("bars") or ()]
        chart = None
        if bars and quartiles and quartiles[0] is not None and quartiles[-1] is not None and drawn < MOST_DRAWN:
            chart, drawn = histogram_chart(name, bars, quartiles[0], quartiles[-1], noun), drawn + 1
        rows.append(
            DistributionRow(
                name=name,
                split=str(one.get("split") or "all"),
                count=text.finite(one.get("count")),
                quartiles=quartiles,
                mean=text.finite(one.get("mean")),
                first=not rows or rows[-1].name != name,
                chart=chart,
            )
        )
    return rows
