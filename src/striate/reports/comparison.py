"""Several runs side by side on one page: figures with their intervals, whether they differ, curves over each other.

Plain values in, one HTML document out, as in `pages.py`. Legend: K classes, labels or numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from striate.evaluation.headlines import HEADLINES, Headline
from striate.reports import drawing, lines, text
from striate.reports.environment import environment
from striate.reports.figures import Figure
from striate.tasks import TASKS
from striate.words import counted

COLOURS = 8  # of lines that can be told apart; further runs are in the table alone
MOST_PARTS = 40
MEAN_AVERAGE_PRECISION = "mean average precision"
SURE = 0.05  # a difference that chance makes less often than this is told as one


UNLIKE = {
    "names": "They do not answer the same {kinds}, so their figures do not say which is better",
    "targets": "The same {noun}s have other targets in these runs, so their figures do not say which is better",
    "pictures": "They were not all tested on the same {noun}s: a difference may be one of the tests, not of the runs",
    "unread": "They could not be compared {noun} by {noun}",
}  # why runs are not compared one picture, or row, after the other
UNRANKED = ("names", "targets")  # of these none is the best


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What the page shows of a task beside its headline: further figures, (key, name, whether it is a share), and what
    is drawn by epochs, (column, title, whether it is a share)."""

    figures: tuple[tuple[str, str, bool], ...]
    curves: tuple[tuple[str, str, bool], ...]


KINDS = {
    "classification": Kind(
        figures=(
            ("balanced_accuracy", "balanced accuracy", True),
            ("macro_f1", "F1", True),
            ("ece", "calibration error", True),
            ("auroc", "AUROC", False),
            ("log_loss", "log loss", False),
            ("brier", "Brier score", False),
        ),
        curves=(
            ("loss", "Loss in training", False),
            ("validation_log_loss", "Log loss on validation", False),
            ("validation_accuracy", "Accuracy on validation", True),
        ),
    ),
    "multilabel": Kind(
        figures=(
            ("label_accuracy", "labels right", True),
            ("all_right", "all labels right", True),
            ("micro_f1", "F1, all answers", False),
            ("macro_f1", "F1, mean over labels", False),
            ("log_loss", "log loss", False),
        ),
        curves=(
            ("loss", "Loss in training", False),
            ("validation_log_loss", "Log loss on validation", False),
            ("validation_accuracy", "Labels right on validation", True),
        ),
    ),
    "regression": Kind(
        figures=(
            ("mae", "mean absolute error", False),
            ("rmse", "root mean squared error", False),
            ("usual_mae", "always the mean", False),
        ),
        curves=(
            ("loss", "Loss in training", False),
            ("validation_squared_error", "Squared error on validation", False),
            ("validation_absolute_error", "Absolute error on validation", False),
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A run as the comparison shows it. evaluation: an evaluation's `to_json()` of `split`, None where nothing was held
    out. history: one row an epoch. learned_from: training pictures, or rows: `noun` says which."""

    name: str
    source: str
    network: str
    class_names: tuple[str, ...]
    task: str = "classification"
    noun: str = "picture"
    split: str = "test"
    evaluation: Mapping[str, Any] | None = None
    history: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    learned_from: int | None = None
    seconds: Any = None

    @property
    def kind(self) -> Kind:
        """What is shown of its task beside the headline."""
        return KINDS[self.task]

    @property
    def headline(self) -> Headline:
        """Which figure ranks runs of its task."""
        return HEADLINES[self.task]

    @property
    def main(self) -> Figure:
        """The figure that ranks runs, with its interval; without a value where nothing was held out."""
        return Figure.of((self.evaluation or {}).get(self.headline.figure))

    @property
    def rank(self) -> float:
        """Larger is better; -infinity where there is no figure."""
        value = self.main.value
        return float("-inf") if value is None else value

    @property
    def tested(self) -> int:
        """Pictures that the figures rest on."""
        return round(text.finite((self.evaluation or {}).get("n")) or 0)

    def shown(self) -> tuple[str, str]:
        """The main figure as texts: (value, interval)."""
        return _texts(self.main, self.headline.share)

    def bar(self) -> tuple[float, float, float] | None:
        """The main figure and its interval in [0, 1], to be drawn; None where there are none."""
        main = self.main
        if main.value is None:
            return None
        value, low, high = (
            min(1.0, max(0.0, one if one is not None else main.value)) for one in (main.value, main.low, main.high)
        )
        return value, low, high

    def figures(self) -> list[tuple[str, str]]:
        """The other figures as texts: (value, interval), in the order of the headings."""
        given = self.evaluation or {}
        return [_texts(Figure.of(given.get(key)), share) for key, _, share in self.kind.figures]


@dataclass(frozen=True, kw_only=True)
class PairedPart:
    """A class, label or number: what two runs reached there (a share that is right, or a mean error), and the p of
    their difference."""

    name: str
    count: int
    first: float
    second: float
    p: float


@dataclass(frozen=True, kw_only=True)
class ChangedPicture:
    """A picture that one of two runs answered rightly or better; `picture` PNG or JPEG, None where it is gone."""

    picture: bytes | None
    name: str
    target: str
    first: str
    second: str


@dataclass(frozen=True, kw_only=True)
class PairedPrecision:
    """Mean average precision of two runs of labels; difference: second less first, with its interval, as
    `Figure.to_json`; p: how often chance alone makes so large a one; exact: whether all ways were counted."""

    values: tuple[float, float]
    difference: Mapping[str, Any]
    p: float
    exact: bool


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Two runs compared picture by picture. values: what `measure` names, of each; difference: second less first, with
    its interval, as `Figure.to_json`; p: how often chance alone makes so large a one. changed: pictures that the first
    alone, and the second alone, answered rightly or better, of which some are shown. precision: of labels, the test of
    what ranks runs."""

    first: str
    second: str
    task: str
    n: int
    measure: str
    more_is_better: bool
    values: tuple[float, float]
    difference: Mapping[str, Any]
    p: float
    parts: tuple[PairedPart, ...]
    changed: tuple[int, int]
    only_first: tuple[ChangedPicture, ...] = ()
    only_second: tuple[ChangedPicture, ...] = ()
    noun: str = "picture"  # what was answered
    precision: PairedPrecision | None = None

    @property
    def better(self) -> str:
        """The name of the run that did better; of equal ones the first."""
        more = self.values[1] > self.values[0]
        return self.second if more == self.more_is_better and self.values[0] != self.values[1] else self.first

    @property
    def more_precise(self) -> str:
        """The name of the run of the larger mean average precision; of equal ones the first."""
        return self.second if self.precision and self.precision.values[1] > self.precision.values[0] else self.first

    def chance(self) -> str:
        """ "0.3 %", "less than 0.1 %"."""
        return _chance(self.p)

    def verdict(self) -> str:
        """Whether they differ, in a sentence: where chance alone would make so large a difference in less than one case
        of twenty."""
        tests = [(self.p < SURE, self.measure, self.better)]
        if self.precision is not None:
            tests.append((self.precision.p < SURE, MEAN_AVERAGE_PRECISION, self.more_precise))
        sure = [(measure, better) for differs, measure, better in tests if differs]
        if not sure:
            return f"these {counted(self.n, self.noun)} do not tell {self.first} and {self.second} apart"
        if len({better for _, better in sure}) > 1:
            told = ", ".join(f"the larger {measure} is that of {better}" for measure, better in sure)
            return f"{told}: chance alone hardly makes either difference"
        if len(sure) == len(tests):
            return f"the better one is {self.better}: chance alone hardly makes such a difference"
        ((measure, better),) = sure
        (other,) = (measure for differs, measure, _ in tests if not differs)
        return (
            f"the larger {measure} is that of {better}: chance alone hardly makes such a difference. In the {other} "
            f"these {self.noun}s do not tell them apart"
        )

    def evidence_of_precision(self) -> str:
        """What the mean average precisions are, and what the test says, in sentences; "" where there is no test."""
        if self.precision is None:
            return ""
        one, two = (text.decimal(value) for value in self.precision.values)
        figure = Figure.of(self.precision.difference)
        interval = figure.decimal_interval().replace("–", " to ")
        ways = "all ways" if self.precision.exact else "10,000 draws of ways"
        return (
            f"mean average precision: {one} and {two}, a difference of {figure.decimal()}"
            f"{f' (95 % interval {interval})' if interval else ''}. Were they equally good, so large a difference "
            f"would come about in {_chance(self.precision.p)} of all tests ({ways} to swap what the two answered for a "
            f"{self.noun}). For two tests that are made at once, what is told of both is raised (Holm)"
        )

    def evidence(self) -> str:
        """What was counted or measured, and by which test, in sentences."""
        how = "rightly" if self.task == "classification" else "better"
        one, two = self.changed
        figure = Figure.of(self.difference)
        share = self.task != "regression"
        value, interval = self._difference(figure)
        test = "McNemar's exact test" if self.task == "classification" else "a sign-flip test of 10,000 draws"
        measured = (
            f"{self.measure}: {text.percent(self.values[0])} and {text.percent(self.values[1])}"
            if share
            else f"{self.measure}: {text.decimal(self.values[0])} and {text.decimal(self.values[1])}"
        )
        return (
            f"of {counted(self.n, self.noun)} {self.first} alone answered {one:,} {how}, {self.second} alone {two:,}. "
            f"{measured[0].upper()}{measured[1:]}, a difference of {value}"
            f"{f' (95 % interval {interval})' if interval else ''}. Were they equally good, so large a difference "
            f"would come about in {self.chance()} of all tests ({test})"
        )

    def _difference(self, figure: Figure) -> tuple[str, str]:
        if self.task == "regression":
            return figure.decimal(), figure.decimal_interval().replace("–", " to ")
        ends = [text.percent(one, sign=False) for one in (figure.low, figure.high)]
        points = f"{text.percent(figure.value, sign=False)} points"
        return points, f"{ends[0]} to {ends[1]}" if figure.bounded else ""

    def rows(self) -> list[tuple[PairedPart, str, str, str, str, str]]:
        """The parts by how much they changed, the greatest gain first: (part, first, second, change, "gain" or
        "loss", by chance)."""
        share = self.task != "regression"
        sign = 1 if self.more_is_better else -1
        ordered = sorted(self.parts, key=lambda one: -sign * (one.second - one.first))
        made = []
        for one in ordered:
            change = one.second - one.first
            told = [text.percent(value) if share else text.decimal(value) for value in (one.first, one.second)]
            by = f"{100 * change:+.1f}" if share else f"{'+' if change > 0 else ''}{text.decimal(change)}"
            by = by if change else "0"
            kind = "" if change == 0 else "gain" if sign * change > 0 else "loss"
            made.append((one, told[0], told[1], by.replace("-", "−"), kind, _chance(one.p)))
        return made


def comparison_page(
    runs: Sequence[Compared],
    *,
    created: str,
    unlike: str = "",
    not_compared: str = "",
    pairings: Sequence[Pairing] = (),
) -> str:
    """The runs, in the order given, the best first, as one HTML document.

    unlike: a key of `UNLIKE`, and not_compared: what differs between their tests, in a sentence; "" where all were
    tested alike. Runs of an `UNRANKED` difference have no best.
    """
    kind, task = runs[0].kind, TASKS[runs[0].task]
    return (
        environment()
        .get_template("comparison.html")
        .render(
            runs=runs,
            created=created,
            sentences=_sentences(runs, unlike, not_compared, pairings),
            ranked=unlike not in UNRANKED,
            main=runs[0].headline.name,
            noun=runs[0].noun,
            headings=[name for _, name, _ in kind.figures],
            pairings=pairings,
            charts=_charts(runs),
            colours=COLOURS,
            most_parts=MOST_PARTS,
            unit=task.kind,
            units=task.kinds,
        )
    )


def _chance(p: float) -> str:
    return "less than 0.1 %" if p < 0.001 else text.percent(p)


def _texts(figure: Figure, share: bool) -> tuple[str, str]:
    return (figure.percent(), figure.percent_interval()) if share else (figure.decimal(), figure.decimal_interval())


def _sentences(runs: Sequence[Compared], unlike: str, not_compared: str, pairings: Sequence[Pairing]) -> list[str]:
    """What the figures can tell and what they cannot."""
    said = []
    noun = runs[0].noun
    if not unlike:
        said.append(f"All were tested on the same {noun}s, so the figures can be compared.")
    else:
        said.append(UNLIKE[unlike].format(kinds=TASKS[runs[0].task].kinds, noun=noun))
        said.append(f"{'Why' if unlike == 'unread' else 'What differs'}: {not_compared}")
    if unlike in UNRANKED:
        return said
    said += [one.verdict() for one in pairings]
    bounded = [run.main for run in runs if run.main.bounded]
    if not pairings and len(bounded) > 1 and bounded[0].low is not None and bounded[1].high is not None:
        if bounded[0].low > bounded[1].high:
            said.append(f"{runs[0].name} is best, and its interval lies above all others.")
        else:
            said.append("The intervals of the best two overlap: these figures alone do not tell which is better.")
    if len(pairings) > 1:
        said.append("Each is compared with the best; the more runs, the more a difference has to be to count (Holm).")
    if len({run.class_names for run in runs}) > 1:
        said.append(f"Their {TASKS[runs[0].task].kinds} differ.")
    return said


def _charts(runs: Sequence[Compared]) -> list[drawing.Chart]:
    """One chart for each figure that any run has by epochs."""
    drawn = []
    for column, title, as_percent in runs[0].kind.curves:
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
