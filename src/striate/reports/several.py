"""Pages about several trainings by one recipe: a cross-validation, a learning curve. Plain values in, HTML out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from striate.reports import text
from striate.reports.environment import environment
from striate.reports.lines import Series, line_chart
from striate.words import counted

if TYPE_CHECKING:
    from striate.evaluation.figure import Figure
    from striate.evaluation.headlines import Headline
    from striate.evaluation.power_law import Forecast

ALLOWED_FOR = "the interval allows for it (Nadeau and Bengio 2003)."


def folds_page(
    *,
    source: str,
    headline: Headline,
    noun: str,
    mean: Figure,
    folds: Sequence[tuple[str, Figure]],
    errors: Sequence[float] = (),
) -> str:
    """headline: what the figures are; noun: "picture" or "row", as was answered; folds: each run's name, figure.
    errors: mean absolute errors of one number, by fold, in its units."""
    share, name = headline.share, headline.name
    rows: list[tuple[object, ...]] = [
        (run, _told(one.value, share), _range(one.low, one.high, share), one.n) for run, one in folds
    ]
    if errors:
        rows = [(*row, text.decimal(error)) for row, error in zip(rows, errors, strict=True)]
    off = text.decimal(sum(errors) / len(errors)) if errors else ""
    values = [one.value for _, one in folds]
    return _page(
        kind="Cross-validation",
        source=source,
        value=_told(mean.value, share),
        words=f"{name}, the mean of {counted(len(folds), 'fold')}",
        interval=f"95 % interval {_range(mean.low, mean.high, share)}" if mean.low is not None else "",
        trust=(
            f"Every {noun} was answered once, by a network that had not seen it.",
            (
                "All folds are equal, so that their spread tells no interval."
                if mean.low is None
                else f"The folds lie between {_told(min(values), share)} and {_told(max(values), share)}."
            ),
            *((f"Its answers are {off} off on average (mean absolute error).",) if errors else ()),
            *((f"The networks have most of their {noun}s in common; {ALLOWED_FOR}",) if mean.low is not None else ()),
        ),
        headings=("run", name, "95 % interval", f"{noun}s answered", *(("off on average",) if errors else ())),
        rows=rows,
        chart=None,
    )


def curve_page(
    *,
    source: str,
    headline: Headline,
    noun: str,
    points: Sequence[tuple[int, Figure]],
    forecast: Forecast,
    line: Sequence[tuple[int, float]],
) -> str:
    """headline: what the figures are; noun: "picture" or "row". points: how many were learned from and the figure of
    each run; line: the law that was fitted, up to the forecast."""
    share, name, learned = headline.share, headline.name, f"training {noun}s"
    at = sorted({*(count for count, _ in points), *(count for count, _ in line)})
    measured, law = {count: figure.value for count, figure in points}, dict(line)
    ranges = {count: (one.low, one.high) for count, one in points if one.low is not None and one.high is not None}
    ahead = {forecast.pictures: (forecast.low, forecast.high)}
    chart = line_chart(
        f"{name[0].upper()}{name[1:]} by {learned}, with 95 % intervals",
        at,
        [
            Series(
                name="measured",
                values=[measured.get(count) for count in at],
                ranges=[ranges.get(count) for count in at],
            ),
            Series(
                name="power law",
                values=[law.get(count) for count in at],
                style="two",
                ranges=[ahead.get(count) for count in at],
            ),
        ],
        x_name=learned,
        as_percent=share,
    )
    rows = [(f"{count:,}", _told(one.value, share), _range(one.low, one.high, share), one.n) for count, one in points]
    last = points[-1]
    inside = forecast.low <= last[1].value <= forecast.high
    return _page(
        kind="Learning curve",
        source=source,
        value=_told(forecast.value, share),
        words=f"{name} is what {forecast.pictures:,} {learned} would bring, twice as many as there are",
        interval=f"95 of 100 such trainings lie within {_range(forecast.low, forecast.high, share)}",
        trust=(
            f"With the {last[0]:,} that there are it is {_told(last[1].value, share)}"
            + (", which the band holds, too: that more would help is not shown." if inside else "."),
            f"The forecast is a power law through the points, and holds as far as new {noun}s are like these.",
            f"All points were tested on the same {noun}s.",
        ),
        headings=(learned, name, "95 % interval", f"{noun}s answered"),
        rows=rows,
        chart=chart,
    )


def _page(**values: object) -> str:
    return environment().get_template("several.html").render(values)


def _told(value: float, share: bool) -> str:
    return text.percent(value) if share else text.decimal(value)


def _range(low: float | None, high: float | None, share: bool) -> str:
    return "" if low is None or high is None else f"{_told(low, share)} to {_told(high, share)}"
