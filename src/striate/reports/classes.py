"""What a training on classes gave, arranged for the page: the answer first, figures, class by class, certainty.

Takes a `TrainingReport`, gives texts and drawings that the template puts in their places. Legend: K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.reports import confusion, text
from striate.reports.certainty import reliability
from striate.reports.figures import Figure, Headline, Shown, shown
from striate.reports.reliability import interval_strip
from striate.reports.training_report import TrainingReport
from striate.words import counted

TABLE_CLASSES = 30  # more classes than this are shown as pairs and a picture instead of a table


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
