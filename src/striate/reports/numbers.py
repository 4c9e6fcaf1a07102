"""What a training on numbers gave, arranged for the page: how far answers lie from their targets, and where.

As `classes.py` does for classes. Legend: K numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from striate.reports import text
from striate.reports.figures import Figure, Headline, Shown, shown
from striate.reports.reliability import interval_strip
from striate.reports.spread import error_chart, error_strip, scatter_chart
from striate.reports.training_report import TrainingReport
from striate.words import counted

MOST_DRAWN = 12  # numbers that have drawings; the table has all

_MEANINGS = (
    ("mae", "Mean absolute error", "How far an answer lies from its target on average; 0 is best."),
    ("rmse", "Root mean squared error", "The same, large errors counting more; 0 is best."),
    ("usual_mae", "Always the mean", "The mean absolute error of always answering the mean of these targets."),
)


@dataclass(frozen=True, kw_only=True)
class NumberRow:
    """A number in the table, beside what always answering the mean gives (`usual`), and `share`, its error by that."""

    name: str
    mae: Figure
    usual: Figure
    share: float | None
    rmse: Figure
    r2: Figure
    bias: Figure
    half: str
    most: str


def context(report: TrainingReport) -> dict[str, Any]:
    """What the template of numbers takes beside what every report has."""
    given = report.evaluation or {}
    rows = number_rows(given)
    points = dict(zip(report.class_names, report.points, strict=False))
    drawn = list(points.items())[:MOST_DRAWN]
    scatters = [chart for name, pairs in drawn if (chart := scatter_chart(name, pairs, report.noun)) is not None]
    errors = [chart for name, pairs in drawn if (chart := error_chart(name, pairs, report.noun)) is not None]
    contents = [("numbers", "Number by number")] if rows else []
    if scatters:
        contents.append(("scatter", "Answers over targets"))
    return {
        "part": "report_numbers.html",
        "contents": contents,
        "answer": headline(report),
        "lead": sentence(report),
        "figures": _figures(given),
        "rows": rows,
        "scatters": scatters,
        "errors": errors,
        "numbers_drawn": len(drawn),
        "wrong": bool(rows),
        "reliability": None,
        "labelled": "Target",
        "unit": "number",
        "mistakes_lead": "The answers that lie farthest from their targets, beside the spread of each number. "
        f"Beside each, smaller, are the training {report.noun}s nearest to it, as the network sees them, with what "
        "they were given: where those agree with the answer, the target itself may be wrong.",
        "unsure_lead": "",
    }


def headline(report: TrainingReport) -> Headline | None:
    """Of one number how far off its answers are, of several what share of their variation is explained; None where no
    answers were counted."""
    given = report.evaluation or {}
    if given.get("mae") is None:
        return None
    tested = counted(round(text.finite(given.get("n")) or 0), f"{report.split} {report.noun}")
    if len(report.class_names) == 1:
        figure, usual = Figure.of(given["mae"]), Figure.of(given.get("usual_mae")).value
        strip = None
        if figure.bounded and figure.value is not None and figure.low is not None and figure.high is not None:
            strip = error_strip(figure.value, figure.low, figure.high, usual or 0.0)
        name = text.clip(report.class_names[0], 40)
        return Headline(
            value=figure.decimal(),
            rest=f"off on average: {name}, on {tested}",
            interval=figure.decimal_interval(),
            strip=strip,
        )
    figure = Figure.of(given.get("r2"))
    strip = None
    if figure.bounded and figure.value is not None and figure.low is not None and figure.high is not None:
        strip = interval_strip(figure.value, figure.low, figure.high) if figure.low >= 0 else None
    useless = figure.value is not None and figure.value <= 0
    said = ", no better than always answering the mean" if useless else ""
    return Headline(
        value=figure.percent(),
        rest=f"of the variation of {counted(len(report.class_names), 'number')} explained (R²){said}, on {tested}",
        interval=figure.percent_interval(),
        strip=strip,
    )


def sentence(report: TrainingReport) -> str:
    """What the figures say, in plain words; "" where there are none."""
    rows = number_rows(report.evaluation or {})
    known = [row for row in rows if row.share is not None]
    if not known:
        return ""
    if len(rows) == 1:
        (row,) = rows
        said = f"Half of its answers lie within {row.half} of the target, nine of ten within {row.most}"
        if row.share is not None and row.share >= 1:
            return f"{said}; always answering the mean would be no worse ({row.usual.decimal()} off on average)"
        return f"{said}; always answering the mean would be {row.usual.decimal()} off on average"
    best, worst = (pick(known, key=lambda row: row.share or 0.0) for pick in (min, max))
    return (
        "Beside always answering the mean, the errors are "
        f"{text.percent(sum(row.share or 0.0 for row in known) / len(known), 0)} as large on average: "
        f"{text.percent(best.share, 0)} for {text.clip(best.name, 40)}, the best, "
        f"{text.percent(worst.share, 0)} for {text.clip(worst.name, 40)}, the worst"
    )


def number_rows(given: Mapping[str, Any]) -> list[NumberRow]:
    """The numbers in their order."""
    rows = []
    for one in given.get("by_number") or ():
        mae, usual = Figure.of(one.get("mae")), Figure.of(one.get("usual_mae"))
        share = mae.value / usual.value if mae.value is not None and usual.value else None
        rows.append(
            NumberRow(
                name=str(one.get("name", "")),
                mae=mae,
                usual=usual,
                share=share,
                rmse=Figure.of(one.get("rmse")),
                r2=Figure.of(one.get("r2")),
                bias=Figure.of(one.get("bias")),
                half=text.decimal(one.get("half_within")),
                most=text.decimal(one.get("most_within")),
            )
        )
    return rows


def _figures(given: Mapping[str, Any]) -> list[Shown]:
    made = shown(given, [(key, name, False, meaning) for key, name, meaning in _MEANINGS])
    r2 = Figure.of(given.get("r2"))
    if r2.value is not None:
        meaning = "The share of the targets' variation that is explained; 1 is best, 0 always the mean."
        made.append(Shown(name="R²", value=r2.decimal(), interval=r2.decimal_interval(), meaning=meaning))
    return made
