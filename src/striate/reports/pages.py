"""The two pages: what a training gave (`training_report`) and what a source holds (`inspect_page`).

Plain values in, one HTML document out, as text that encodes to UTF-8. A page has no script, asks for nothing
from anywhere (its own policy forbids it), and shows every name as text. Legend: K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from striate.reports import confusion, figures, text
from striate.reports.inventory import Inventory, class_counts

TABLE_CLASSES = 30  # more classes than this are shown as pairs and a picture instead of a table
OPEN_ROWS = 20  # rows of a long table that are seen at once; the rest unfolds
MOST_MISTAKES = 24
MOST_UNSURE = 24
MOST_LISTED = 500  # rows of a list of file names
PICTURE_BYTES = 5_000_000  # pictures of one page, before base64: the page stays under 10 MB


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A training picture that is near to a mistake, in the network's own features."""

    picture: bytes  # PNG or JPEG
    name: str
    label: str
    distance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A picture whose answer is not its label, with the training pictures nearest to it, nearest first."""

    picture: bytes  # PNG or JPEG
    name: str
    target: str
    prediction: str
    probability: float  # of `prediction`
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def doubtful_label(self) -> bool:
        """Whether most of its neighbours carry the answer's class: then the label may be what is wrong."""
        agreeing = sum(one.label == self.prediction for one in self.neighbours)
        return len(self.neighbours) >= 2 and agreeing * 2 > len(self.neighbours)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A picture and the classes that were most probable for it: (name, probability), most probable first."""

    picture: bytes  # PNG or JPEG
    name: str
    target: str
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """All that the report of a training shows. Plain values; an empty part says so on the page or is left away.

    evaluation: `to_json()` of `striate.evaluation`: figures {"value", "low", "high"} in their own units, "per_class",
    "confusion", "reliability". None where nothing was held out. history: one row an epoch. counts: pictures a
    class (K,) by split name. found = used + left out, where `left_out` may list fewer than `left_out_count`.
    duplicates, leaks and conflicts: groups of names of equal pictures, inside a split, across splits, and with
    different labels.
    """

    title: str
    source: str
    created: str
    command: str
    class_names: tuple[str, ...]
    summary: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    evaluation: Mapping[str, Any] | None = None
    split: str = "test"
    history: Sequence[Mapping[str, Any]] = ()
    best_epoch: int | None = None
    counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()
    unsure: tuple[Answer, ...] = ()
    found: int | None = None
    used: int | None = None
    left_out: Sequence[tuple[str, str]] = ()
    left_out_count: int | None = None
    duplicates: Sequence[Sequence[str]] = ()
    leaks: Sequence[Sequence[str]] = ()
    conflicts: Sequence[Sequence[str]] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    resolved: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A picture of the contact sheet; `label` "" where it has none."""

    name: str
    label: str
    picture: bytes  # PNG or JPEG


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """A picture and what training would see of it in several epochs."""

    name: str
    label: str
    picture: bytes
    drawn: tuple[bytes, ...]


def training_report(report: TrainingReport) -> str:
    """The report of a training as one HTML document, under 10 MB.

    Raises ValueError where a picture is neither PNG nor JPEG, or a matrix is not (K, K).
    """
    budget = _Budget()
    matrix = _matrix(report)
    rows = _class_rows(report, matrix)
    mistakes = [one for one in report.mistakes[:MOST_MISTAKES] if budget.takes(one)]
    unsure = [one for one in report.unsure[:MOST_UNSURE] if budget.takes(one)]
    left_out_count = len(report.left_out) if report.left_out_count is None else report.left_out_count
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            answer=_answer(report),
            figures=_figures(report.evaluation or {}),
            charts=_charts(report),
            matrix=None
            if matrix is None or len(matrix) > TABLE_CLASSES
            else confusion.cells(matrix, report.class_names),
            pairs=[] if matrix is None else confusion.pairs(matrix, report.class_names),
            heat=None if matrix is None or len(matrix) <= TABLE_CLASSES else confusion.heat_picture(matrix),
            rows=rows,
            mistakes=mistakes,
            unsure=unsure,
            reliability=_reliability(report.evaluation or {}),
            data_rows=class_counts(report.class_names, report.counts),
            totals=[sum(round(text.finite(value) or 0) for value in column) for column in report.counts.values()],
            history_columns=list(dict.fromkeys(key for row in report.history for key in row)),
            history_rows=_history_rows(report.history),
            splits=list(report.counts),
            left_out_count=left_out_count,
            most_listed=MOST_LISTED,
            open_rows=OPEN_ROWS,
        )
    )


def inspect_page(
    survey: Mapping[str, Any], thumbnails: Sequence[Thumbnail] = (), augmented: Sequence[Augmented] = ()
) -> str:
    """What a source holds, before any training, as one HTML document, under 10 MB.

    survey: the JSON of `striate.data.survey.Survey`. Raises ValueError where a picture is neither PNG nor JPEG.
    """
    budget = _Budget()
    given = Inventory(survey)
    sheet: dict[str, list[Thumbnail]] = {}
    for one in thumbnails:
        if budget.takes(one):
            sheet.setdefault(one.label, []).append(one)
    return (
        _environment()
        .get_template("inspect.html")
        .render(
            survey=given,
            sheet=sheet,
            augmented=[one for one in augmented if budget.takes(one)],
            most_listed=MOST_LISTED,
            open_rows=OPEN_ROWS,
        )
    )


class _Budget:
    """Keeps the pictures of a page under `PICTURE_BYTES`: what no longer fits is left away, whole."""

    def __init__(self) -> None:
        self.left = PICTURE_BYTES

    def takes(self, item: Any) -> bool:
        size = len(item.picture) + sum(len(one.picture) for one in getattr(item, "neighbours", ()))
        size += sum(len(one) for one in getattr(item, "drawn", ()))
        if size > self.left:
            return False
        self.left -= size
        return True


@cache
def _environment() -> jinja2.Environment:
    folder = Path(__file__).parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every name passes here before it is escaped, so that none can hold what UTF-8 cannot.
        finalize=lambda value: text.visible(value) if type(value) is str else value,
    )
    environment.filters.update(
        percent=text.percent,
        count=text.count,
        decimal=text.decimal,
        duration=text.duration,
        setting=text.setting,
        flat=text.flat,
        clip=text.clip,
    )
    environment.globals.update(image=figures.image, style=Markup((folder / "style.css").read_text(encoding="utf-8")))
    return environment


@dataclass(frozen=True, kw_only=True)
class _Figure:
    """A figure with its 95 % interval, as it was given."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, given: Any) -> _Figure:
        if isinstance(given, Mapping):
            return cls(**{key: text.finite(given.get(key)) for key in ("value", "low", "high")})
        return cls(value=text.finite(given))

    @property
    def bounded(self) -> bool:
        return None not in (self.value, self.low, self.high)

    def percent(self) -> str:
        return text.percent(self.value)

    def percent_interval(self) -> str:
        return f"{text.percent(self.low, sign=False)}–{text.percent(self.high)}" if self.bounded else ""

    def decimal(self) -> str:
        return text.decimal(self.value)

    def decimal_interval(self) -> str:
        return f"{text.decimal(self.low)}–{text.decimal(self.high)}" if self.bounded else ""


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """A figure of the overview: its name, its text, and what it means in one sentence."""

    name: str
    value: str
    interval: str
    meaning: str


_MEANINGS = (
    ("balanced_accuracy", "Balanced accuracy", True, "Each class counts the same, however many pictures it has."),
    ("top5", "Top-5 accuracy", True, "The label is among the five most probable answers."),
    (
        "auroc",
        "AUROC",
        False,
        "A picture of a class gets more of that class than another picture; 1 is best, 0.5 a guess.",
    ),
    ("log_loss", "Log loss", False, "How surprised the model is by the labels; 0 is best."),
    ("brier", "Brier score", False, "Squared error of the probabilities; 0 is best."),
    ("ece", "Calibration error", True, "How far stated and real certainty lie apart; 0 is best."),
)


def _figures(evaluation: Mapping[str, Any]) -> list[_Shown]:
    shown = []
    for key, name, as_percent, meaning in _MEANINGS:
        if evaluation.get(key) is None:
            continue
        figure = _Figure.of(evaluation[key])
        value, interval = (
            (figure.percent(), figure.percent_interval())
            if as_percent
            else (figure.decimal(), figure.decimal_interval())
        )
        shown.append(_Shown(name=name, value=value, interval=interval, meaning=meaning))
    return shown


@dataclass(frozen=True, kw_only=True)
class _Headline:
    """The answer first: "97.5 %" "of 200 test pictures right", and the interval, drawn and told."""

    value: str
    rest: str
    interval: str
    strip: Markup | None


def _answer(report: TrainingReport) -> _Headline | None:
    if not report.evaluation or report.evaluation.get("accuracy") is None:
        return None
    figure = _Figure.of(report.evaluation["accuracy"])
    number = _tested(report)
    strip = None
    if figure.value is not None and figure.low is not None and figure.high is not None:
        chance = 1 / len(report.class_names) if report.class_names else None
        strip = figures.interval_strip(figure.value, figure.low, figure.high, chance)
    pictures = f"of {text.count(number)} {report.split} pictures" if number else f"of the {report.split} pictures"
    return _Headline(value=figure.percent(), rest=f"{pictures} right", interval=figure.percent_interval(), strip=strip)


def _tested(report: TrainingReport) -> int:
    """How many pictures the figures rest on."""
    evaluation = report.evaluation or {}
    for key in ("count", "pictures"):
        if (number := text.finite(evaluation.get(key))) is not None:
            return round(number)
    matrix = evaluation.get("confusion")
    return 0 if matrix is None else int(np.sum(matrix))


def _matrix(report: TrainingReport) -> np.ndarray | None:
    """The confusion matrix (K, K) int64, None where there is none."""
    given = (report.evaluation or {}).get("confusion")
    if given is None:
        return None
    matrix = np.asarray(given, dtype=np.int64)
    classes = len(report.class_names)
    if matrix.shape != (classes, classes):
        raise ValueError(f"the confusion matrix must be ({classes}, {classes}), got {matrix.shape}")
    return matrix


@dataclass(frozen=True, kw_only=True)
class _ClassRow:
    """A class in the table: its figures, and what it is most often taken for."""

    name: str
    support: int
    precision: _Figure
    recall: _Figure
    f1: _Figure
    taken_for: str
    taken_count: int


def _class_rows(report: TrainingReport, matrix: np.ndarray | None) -> list[_ClassRow]:
    """The classes, lowest F1 first; those without a figure last."""
    rows = []
    for position, given in enumerate((report.evaluation or {}).get("per_class") or ()):
        taken, number = "", 0
        if matrix is not None:
            wrong = matrix[position].copy()
            wrong[position] = 0
            worst = int(wrong.argmax())
            if wrong[worst] > 0:
                taken, number = report.class_names[worst], int(wrong[worst])
        rows.append(
            _ClassRow(
                name=report.class_names[position],
                support=round(text.finite(_value(given.get("support"))) or 0),
                precision=_Figure.of(given.get("precision")),
                recall=_Figure.of(given.get("recall")),
                f1=_Figure.of(given.get("f1")),
                taken_for=taken,
                taken_count=number,
            )
        )
    return sorted(rows, key=lambda row: (row.f1.value is None, row.f1.value if row.f1.value is not None else 0.0))


def _value(given: Any) -> Any:
    return given.get("value") if isinstance(given, Mapping) else given


def _charts(report: TrainingReport) -> list[figures.Chart]:
    """The curves that the history has: loss, metrics, learning rate, size of the updates."""
    history = report.history
    if len(history) < 2:
        return []
    names = list(dict.fromkeys(key for row in history for key in row))
    epochs = [text.finite(row.get("epoch")) or float(number) for number, row in enumerate(history, 1)]

    def column(name: str) -> list[float | None]:
        return [text.finite(row.get(name)) for row in history]

    def lines(trained: Sequence[str], validated: str) -> list[figures.Series]:
        found = [figures.Series(name="training", values=column(name), style="two") for name in trained if name in names]
        if validated in names:
            found.append(figures.Series(name="validation", values=column(validated)))
        return found

    charts = [_loss_chart(epochs, lines(("loss", "train_loss", "training_loss"), "validation_loss"), report.best_epoch)]
    for name in names:
        metric = name.removeprefix("validation_")
        if metric == name or metric == "loss":
            continue
        series = lines((metric, f"train_{metric}", f"training_{metric}"), name)
        values = [value for one in series for value in one.values if value is not None]
        charts.append(
            figures.line_chart(
                metric.replace("_", " ").capitalize(),
                epochs,
                series,
                as_percent=bool(values) and min(values) >= 0 and max(values) <= 1,
                mark=report.best_epoch,
            )
        )
    if "learning_rate" in names:
        rate = figures.Series(name="learning rate", values=column("learning_rate"))
        charts.append(figures.line_chart("Learning rate", epochs, [rate]))
    ratio = next((name for name in names if "ratio" in name), None)
    if ratio is not None:
        updates = figures.Series(name="update norm / weight norm", values=column(ratio))
        charts.append(figures.line_chart("Size of the updates", epochs, [updates], logarithmic=True, reference=1e-3))
    return [chart for chart in charts if chart is not None]


def _loss_chart(epochs: list[float], series: list[figures.Series], best: int | None) -> figures.Chart | None:
    values = [value for one in series for value in one.values if value is not None]
    # A loss that falls by far would lie flat on the ground of a linear axis.
    wide = bool(values) and min(values) > 0 and max(values) > 50 * min(values)
    return figures.line_chart("Loss", epochs, series, logarithmic=wide, mark=best)


def _history_rows(history: Sequence[Mapping[str, Any]], most: int = 200) -> list[list[str]]:
    """The history as texts, at most about `most` rows of it, evenly spaced, the last among them."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    stride = max(1, -(-len(history) // most))
    chosen = [row for number, row in enumerate(history, 1) if number % stride == 0 or number == len(history)]
    return [[_entry(column, row.get(column)) for column in columns] for row in chosen]


def _entry(column: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if column == "seconds":
        return text.duration(value)
    number = text.finite(value)
    return text.count(number) if number is not None and number.is_integer() else text.decimal(number, 4)


@dataclass(frozen=True, kw_only=True)
class _Reliability:
    """The diagram, its numbers, and what they say in one sentence."""

    chart: figures.Chart
    rows: list[tuple[float, float, figures.Bin]]
    sentence: str


def _reliability(evaluation: Mapping[str, Any]) -> _Reliability | None:
    rows = []
    for given in evaluation.get("reliability") or ():
        number = round(text.finite(given.get("count")) or 0)
        confidence, accuracy = text.finite(given.get("confidence")), text.finite(given.get("accuracy"))
        if number == 0 or confidence is None or accuracy is None:
            continue
        low, high = text.finite(given.get("low")) or 0.0, text.finite(given.get("high")) or 1.0
        bounds = _wilson(accuracy, number)
        rows.append(
            (
                low,
                high,
                figures.Bin(confidence=confidence, accuracy=accuracy, count=number, low=bounds[0], high=bounds[1]),
            )
        )
    chart = figures.reliability_chart([row[2] for row in rows], [row[:2] for row in rows])
    if chart is None:
        return None
    total = sum(row[2].count for row in rows)
    sure = sum(row[2].count * row[2].confidence for row in rows) / total
    right = sum(row[2].count * row[2].accuracy for row in rows) / total
    told = f"On average it was {text.percent(sure)} sure and {text.percent(right)} right"
    gap = 100 * (sure - right)
    if abs(gap) < 1:
        sentence = f"{told}: its certainty can be taken at its word."
    else:
        sentence = f"{told}: {abs(gap):.1f} points too {'sure of itself' if gap > 0 else 'modest'}."
    return _Reliability(chart=chart, rows=rows, sentence=sentence)


def _wilson(share: float, number: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share of `number` pictures (Wilson 1927)."""
    middle = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z / (1 + z * z / number) * (share * (1 - share) / number + z * z / (4 * number * number)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
