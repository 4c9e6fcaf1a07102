"""What a training gave, arranged for the page: the answer first, figures, curves, classes, certainty.

Takes a `TrainingReport`, gives texts and drawings that the template puts in their places. Legend: K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from striate.reports import confusion, drawing, lines, text
from striate.reports.reliability import Bin, interval_strip, reliability_chart
from striate.reports.training_report import TrainingReport
from striate.words import counted

VALIDATION = "validation_"  # how the columns of a history begin that were measured on validation
UPDATES = "update_ratio"  # alone, or followed by ":" and the layer
TABLE_CLASSES = 30  # more classes than this are shown as pairs and a picture instead of a table


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure with its 95 % interval, as it was given."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, given: Any) -> Figure:
        if isinstance(given, Mapping):
            return cls(**{key: text.finite(given.get(key)) for key in ("value", "low", "high")})
        return cls(value=text.finite(given))

    @property
    def bounded(self) -> bool:
        """Whether there is an interval. One of no width is none: without a mistake resampling finds no spread."""
        return self.value is not None and self.low is not None and self.high is not None and self.low < self.high

    def percent(self) -> str:
        return text.percent(self.value)

    def percent_interval(self) -> str:
        to = " to " if self.low is not None and self.low < 0 else "–"
        return f"{text.percent(self.low, sign=False)}{to}{text.percent(self.high)}" if self.bounded else ""

    def decimal(self) -> str:
        return text.decimal(self.value)

    def decimal_interval(self) -> str:
        to = " to " if self.low is not None and self.low < 0 else "–"
        return f"{text.decimal(self.low)}{to}{text.decimal(self.high)}" if self.bounded else ""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A figure of the overview: its name, its text, and what it means in one sentence."""

    name: str
    value: str
    interval: str
    meaning: str


_MEANINGS = (
    ("balanced_accuracy", "Balanced accuracy", True, "Each class counts the same, however many {noun}s it has."),
    ("top5_accuracy", "Top-5 accuracy", True, "The label is among the five most probable answers."),
    (
        "auroc",
        "AUROC",
        False,
        "A {noun} of a class gets more of that class than another {noun}; 1 is best, 0.5 a guess.",
    ),
    ("log_loss", "Log loss", False, "How surprised the model is by the labels; 0 is best."),
    ("cross_entropy", "Cross-entropy", False, "How surprised it is by the shares of the classes that were given."),
    ("brier", "Brier score", False, "Squared error of the probabilities; 0 is best."),
    ("ece", "Calibration error", True, "How far stated and real certainty lie apart; 0 is best."),
)


def overview(evaluation: Mapping[str, Any], noun: str = "picture") -> list[Shown]:
    """The figures beside the accuracy, in the order in which they are shown; those that are not given are left out."""
    return shown(evaluation, _MEANINGS, noun)


def shown(
    evaluation: Mapping[str, Any], meanings: Sequence[tuple[str, str, bool, str]], noun: str = "picture"
) -> list[Shown]:
    """The figures of `meanings`, (key, name, whether it is a share, what it means), as far as they are given. noun:
    what is answered, in the place of {noun}."""
    made = []
    for key, name, as_percent, meaning in meanings:
        if evaluation.get(key) is None:
            continue
        figure = Figure.of(evaluation[key])
        value, interval = (
            (figure.percent(), figure.percent_interval())
            if as_percent
            else (figure.decimal(), figure.decimal_interval())
        )
        made.append(Shown(name=name, value=value, interval=interval, meaning=meaning.format(noun=noun)))
    return made


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The answer first: "97.5 %" "of 200 test pictures right", and the interval, drawn and told."""

    value: str
    rest: str
    interval: str
    strip: Markup | None


def headline(report: TrainingReport) -> Headline | None:
    """The share of pictures that were answered right; None where no answers were counted."""
    if not report.evaluation or report.evaluation.get("accuracy") is None:
        return None
    figure = Figure.of(report.evaluation["accuracy"])
    number, one = _tested(report), f"{report.split} {report.noun}"
    strip = None
    if figure.bounded and figure.value is not None and figure.low is not None and figure.high is not None:
        chance = 1 / len(report.class_names) if report.class_names else None
        strip = interval_strip(figure.value, figure.low, figure.high, chance)
    pictures = f"of {counted(number, one, f'{one}s')}" if number else f"of the {one}s"
    return Headline(value=figure.percent(), rest=f"{pictures} right", interval=figure.percent_interval(), strip=strip)


def _tested(report: TrainingReport) -> int:
    """How many pictures the figures rest on."""
    return round(text.finite((report.evaluation or {}).get("n")) or 0)


def confusion_matrix(report: TrainingReport) -> np.ndarray | None:
    """The confusion matrix (K, K) int64 of its cells (target, prediction, pictures), None where there is none."""
    cells = (report.evaluation or {}).get("confusion")
    if not cells:
        return None
    classes = len(report.class_names)
    targets, predictions, numbers = np.asarray(cells, dtype=np.int64).reshape(len(cells), 3).T
    if min(targets.min(), predictions.min()) < 0 or max(targets.max(), predictions.max()) >= classes:
        raise ValueError(f"the confusion matrix has cells beyond its {classes} classes")
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (targets, predictions), numbers)
    return matrix


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """A class in the table: its figures, and what it is most often taken for."""

    name: str
    support: int
    precision: Figure
    recall: Figure
    f1: Figure
    taken_for: str
    taken_count: int


def class_rows(report: TrainingReport, matrix: np.ndarray | None) -> list[ClassRow]:
    """The classes, lowest F1 first; those without a figure last."""
    rows = []
    for position, given in enumerate((report.evaluation or {}).get("by_class") or ()):
        taken, number = "", 0
        if matrix is not None:
            wrong = matrix[position].copy()
            wrong[position] = 0
            worst = int(wrong.argmax())
            if wrong[worst] > 0:
                taken, number = report.class_names[worst], int(wrong[worst])
        rows.append(
            ClassRow(
                name=report.class_names[position],
                support=round(text.finite(given.get("count")) or 0),
                precision=Figure.of(given.get("precision")),
                recall=Figure.of(given.get("recall")),
                f1=Figure.of(given.get("f1")),
                taken_for=taken,
                taken_count=number,
            )
        )
    return sorted(rows, key=lambda row: (row.f1.value is None, row.f1.value if row.f1.value is not None else 0.0))


def curves(report: TrainingReport) -> list[drawing.Chart]:
    """The curves that the history has: loss, metrics, learning rate, size of the updates."""
    history = report.history
    if len(history) < 2:
        return []
    names = list(dict.fromkeys(key for row in history for key in row))
    epochs = [text.finite(row.get("epoch")) or float(number) for number, row in enumerate(history, 1)]

    def line(column: str, name: str, style: str = "one") -> lines.Series:
        return lines.Series(name=name, values=[text.finite(row.get(column)) for row in history], style=style)

    # Both are in nats and belong into one drawing.
    losses = [line(name, "validation") for name in ("validation_loss", "validation_log_loss") if name in names][:1]
    charts = [_loss_chart(epochs, [line("loss", "training", "two"), *losses], report.best_epoch)]
    for name in names:
        metric = name.removeprefix(VALIDATION)
        if metric == name or metric in ("loss", "log_loss"):
            continue
        series = [line(name, "validation")]
        if metric in names:
            series.insert(0, line(metric, "training", "two"))
        values = [value for one in series for value in one.values if value is not None]
        charts.append(
            lines.line_chart(
                metric.replace("top5", "top-5").replace("_", " ").capitalize(),
                epochs,
                series,
                as_percent=bool(values) and min(values) >= 0 and max(values) <= 1,
                mark=report.best_epoch,
            )
        )
    if "learning_rate" in names:
        charts.append(lines.line_chart("Learning rate", epochs, [line("learning_rate", "learning rate")]))
    charts.append(_updates_chart(epochs, history, [name for name in names if name.startswith(UPDATES)]))
    return [chart for chart in charts if chart is not None]


def _loss_chart(epochs: list[float], series: list[lines.Series], best: int | None) -> drawing.Chart | None:
    values = [value for one in series for value in one.values if value is not None]
    # A loss that falls by far would lie flat on the ground of a linear axis.
    wide = bool(values) and min(values) > 0 and max(values) > 50 * min(values)
    return lines.line_chart("Loss", epochs, series, logarithmic=wide, mark=best)


def _updates_chart(
    epochs: list[float], history: Sequence[Mapping[str, Any]], layers: Sequence[str]
) -> drawing.Chart | None:
    """Norm of the updates over norm of the weights: the middle layer and the two at the ends."""
    found = [sorted(value for one in layers if (value := text.finite(row.get(one))) is not None) for row in history]
    series = [
        lines.Series(name="middle layer", values=[float(np.median(row)) if row else None for row in found]),
    ]
    if len(layers) > 1:
        series.append(
            lines.Series(name="lowest, highest", values=[row[0] if row else None for row in found], style="two")
        )
        series.append(lines.Series(name="", values=[row[-1] if row else None for row in found], style="two"))
    title = "Size of the updates, as a share of the weights"
    return lines.line_chart(title, epochs, series, logarithmic=True, reference=1e-3)


@dataclass(frozen=True, kw_only=True)
class LayerUpdates:
    """A layer and the size of its updates over the size of its weights, at the start, midway and at the end."""

    layer: str
    first: float | None
    middle: float | None
    last: float | None


def layer_updates(history: Sequence[Mapping[str, Any]]) -> list[LayerUpdates]:
    """The layers in the order of the network; none where there is one row or only one number a row."""
    layers = [name for name in dict.fromkeys(key for row in history for key in row) if name.startswith(f"{UPDATES}:")]
    found = []
    for name in layers if len(history) > 1 else []:
        values = [value for row in history if (value := text.finite(row.get(name))) is not None]
        if values:
            ends = (values[0], values[len(values) // 2], values[-1])
            found.append(LayerUpdates(layer=name.partition(":")[2], first=ends[0], middle=ends[1], last=ends[2]))
    return found


def history_columns(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names that any row of the history has, in order of first appearance, but for those of single layers."""
    names = dict.fromkeys(key for row in history for key in row)
    return [name for name in names if not name.startswith(f"{UPDATES}:")]


def history_rows(history: Sequence[Mapping[str, Any]], most: int = 200) -> list[list[str]]:
    """The history as texts, at most about `most` rows of it, evenly spaced, the last among them."""
    columns = history_columns(history)
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


def context(report: TrainingReport) -> dict[str, Any]:
    """What the template of classes takes beside what every report has."""
    given = report.evaluation or {}
    matrix = confusion_matrix(report)
    small = matrix is not None and len(matrix) <= TABLE_CLASSES
    rows = class_rows(report, matrix)
    pairs = [] if matrix is None else confusion.pairs(matrix, report.class_names)
    contents = [("confusion", "What is taken for what")] if matrix is not None else []
    return {
        "part": "report_classes.html",
        "contents": [*contents, *([("classes", "Class by class")] if rows else [])],
        "answer": headline(report),
        "lead": "",
        "figures": overview(given, report.noun),
        "matrix": confusion.cells(matrix, report.class_names) if matrix is not None and small else None,
        "heat": confusion.heat_picture(matrix) if matrix is not None and not small else None,
        "pairs": pairs,
        "rows": rows,
        "wrong": bool(pairs),
        "reliability": reliability(given, unit=report.noun),
        "labelled": "Labelled",
        "unit": "class",
        "mistakes_lead": "The wrong answers that it was surest of. Beside each, smaller, are the training "
        f"{report.noun}s nearest to it, as the network sees them, with their labels: where those are of the answer's "
        "class, the label itself may be wrong.",
        "unsure_lead": "The answers with the least certainty, right or wrong. The label is in bold with a tick; a "
        f"person should look at {report.noun}s like these.",
    }
