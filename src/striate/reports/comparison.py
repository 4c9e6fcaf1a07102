"""Several runs side by side on one page: figures with their intervals, curves laid over each other.

Plain values in, one HTML document out, as in `pages.py`. Legend: K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from striate.reports import digest, drawing, lines, text
from striate.reports.pages import environment

COLOURS = 8  # of lines that can be told apart; further runs are in the table alone
SHARES = (("balanced_accuracy", "balanced accuracy"), ("macro_f1", "F1"), ("ece", "calibration error"))
NUMBERS = (("auroc", "AUROC"), ("log_loss", "log loss"), ("brier", "Brier score"))
CURVES = (
    ("loss", "Loss in training", False),
    ("validation_log_loss", "Log loss on validation", False),
    ("validation_accuracy", "Accuracy on validation", True),
)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A run as the comparison shows it. evaluation: `Evaluation.to_json()` of `split`, None where nothing was held
    out. history: one row an epoch. learned_from: training pictures."""

    name: str
    source: str
    network: str
    class_names: tuple[str, ...]
    split: str = "test"
    evaluation: Mapping[str, Any] | None = None
    history: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    learned_from: int | None = None
    seconds: Any = None

    @property
    def accuracy(self) -> digest.Figure:
        """With its interval; without a value where nothing was held out."""
        return digest.Figure.of((self.evaluation or {}).get("accuracy"))

    @property
    def tested(self) -> int:
        """Pictures that the figures rest on."""
        return round(text.finite((self.evaluation or {}).get("n")) or 0)

    def figures(self) -> list[tuple[str, str]]:
        """The other figures as texts: (value, interval), in the order of `headings`."""
        given = self.evaluation or {}
        shares = [digest.Figure.of(given.get(key)) for key, _ in SHARES]
        numbers = [digest.Figure.of(given.get(key)) for key, _ in NUMBERS]
        return [(one.percent(), one.percent_interval()) for one in shares] + [
            (one.decimal(), one.decimal_interval()) for one in numbers
        ]


def comparison_page(runs: Sequence[Compared], *, created: str, same_test: bool) -> str:
    """The runs, best accuracy first, as one HTML document. same_test: whether all were tested on the same pictures."""
    ordered = sorted(runs, key=lambda run: -(run.accuracy.value if run.accuracy.value is not None else -1.0))
    return (
        environment()
        .get_template("comparison.html")
        .render(
            runs=ordered,
            created=created,
            sentences=_sentences(ordered, same_test),
            headings=[name for _, name in (*SHARES, *NUMBERS)],
            charts=_charts(ordered),
            colours=COLOURS,
        )
    )


def _sentences(runs: Sequence[Compared], same_test: bool) -> list[str]:
    """What the figures can tell and what they cannot."""
    said = []
    if same_test:
        said.append("All were tested on the same pictures, so the figures can be compared.")
    else:
        said.append(
            "They were not all tested on the same pictures: a difference may be one of the tests, not of the runs."
        )
    bounded = [run.accuracy for run in runs if run.accuracy.bounded]
    if len(bounded) > 1 and bounded[0].low is not None and bounded[1].high is not None:
        if bounded[0].low > bounded[1].high:
            said.append(f"{runs[0].name} is best, and its interval lies above all others.")
        else:
            said.append("The intervals of the best two overlap: these figures alone do not tell which is better.")
    if len({run.class_names for run in runs}) > 1:
        said.append("Their classes differ.")
    return said


def _charts(runs: Sequence[Compared]) -> list[drawing.Chart]:
    """One chart for each figure that any run has by epochs."""
    drawn = []
    for column, title, as_percent in CURVES:
        series = [
            lines.Series(
                name=run.name, values=[text.finite(row.get(column)) for row in run.history], style=f"run{number}"
            )
            for number, run in enumerate(runs[:COLOURS], 1)
        ]
        longest = max((len(run.history) for run in runs), default=0)
        values = [value for one in series for value in one.values if value is not None and value > 0]
        wide = not as_percent and bool(values) and max(values) > 50 * min(values)
        chart = lines.line_chart(
            title, [float(epoch) for epoch in range(1, longest + 1)], series, as_percent=as_percent, logarithmic=wide
        )
        if chart is not None:
            drawn.append(chart)
    return drawn
