"""What a training on labels gave, arranged for the page: how many answers are right, label by label, how sure.

As `classes.py` does for classes. Legend: K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.reports import certainty, text
from striate.reports.figures import Figure, Headline, shown
from striate.reports.reliability import interval_strip
from striate.reports.training_report import TrainingReport
from striate.words import counted

_MEANINGS = (
    (
        "mean_average_precision",
        "Mean average precision",
        False,
        "The {noun}s in order of a label's probability: how far those that have it come first. 1 is best.",
    ),
    ("micro_f1", "F1, all answers", False, "The balance of precision and recall, each answer counted alike."),
    ("macro_f1", "F1, mean over labels", False, "The same, each label counted alike; 1 is best."),
    ("all_right", "All labels right", True, "The share of {noun}s without a single wrong label."),
    ("log_loss", "Log loss", False, "How surprised the model is by the labels; 0 is best."),
)


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """A label in the table. `share`: of all that is answered that has it: the average precision of an order by
    chance."""

    name: str
    support: int
    share: float
    average_precision: Figure
    precision: Figure
    recall: Figure
    f1: Figure


def context(report: TrainingReport) -> dict[str, Any]:
    """What the template of labels takes beside what every report has."""
    given = report.evaluation or {}
    return {
        "part": "report_labels.html",
        "contents": [("labels", "Label by label")] if given else [],
        "answer": headline(report),
        "lead": sentence(report),
        "figures": shown(given, _MEANINGS, report.noun),
        "rows": label_rows(given),
        "wrong": headline(report) is not None and given["label_accuracy"].get("value") != 1,
        "reliability": certainty.reliability(given, overall=given.get("label_accuracy"), unit="answer"),
        "labelled": "Labelled",
        "unit": "label",
        "mistakes_lead": f"The wrong answers that it was surest of, one label a {report.noun}. Beside each, smaller, "
        f"are the training {report.noun}s nearest to it, as the network sees them, and whether they have the label: "
        "where they say what the answer says, the label itself may be wrong.",
        "unsure_lead": f"The {report.noun}s with the least certain answers, and their three least certain labels. "
        f"Those that the {report.noun} has are in bold with a tick; a person should look at {report.noun}s like these.",
    }


def headline(report: TrainingReport) -> Headline | None:
    """The share of all answers, yes or no, that are right; None where no answers were counted."""
    given = report.evaluation or {}
    if given.get("label_accuracy") is None:
        return None
    figure = Figure.of(given["label_accuracy"])
    strip = None
    if figure.bounded and figure.value is not None and figure.low is not None and figure.high is not None:
        strip = interval_strip(
            figure.value, figure.low, figure.high, text.finite(given.get("usual_accuracy")), "the usual answer"
        )
    number = round(text.finite(given.get("n")) or 0)
    answers = counted(number * len(report.class_names), "label")
    return Headline(
        value=figure.percent(),
        rest=f"of {answers} right, on {counted(number, f'{report.split} {report.noun}')}",
        interval=figure.percent_interval(),
        strip=strip,
    )


def sentence(report: TrainingReport) -> str:
    """What the figures say, in plain words; "" where there are none."""
    given = report.evaluation or {}
    right, usual = Figure.of(given.get("label_accuracy")), text.finite(given.get("usual_accuracy"))
    if right.value is None or usual is None:
        return ""
    number, labels = round(text.finite(given.get("n")) or 0), len(report.class_names)
    beside = f"always giving the more frequent answer, which would be right in {text.percent(usual)}"
    # Figures that are shown as equal are not told apart.
    equal = text.percent(usual) == text.percent(right.value)
    better = f"no better than {beside}" if equal else f"better than {beside}" if right.value > usual else ""
    said = [
        f"For each of {counted(number, report.noun)} it answered whether it has each of {counted(labels, 'label')}. "
        f"That is {better or f'worse than {beside}'}"
    ]
    area = Figure.of(given.get("mean_average_precision"))
    rows = label_rows(given)
    guessed = [row.share for row in rows if row.average_precision.value is not None]
    if area.value is not None and guessed:
        said.append(
            f"in the order of its certainty the mean average precision is {text.decimal(area.value)}, where an "
            f"order by chance gives {text.decimal(sum(guessed) / len(guessed))}"
        )
    return "; ".join(said)


def label_rows(given: Mapping[str, Any]) -> list[LabelRow]:
    """The labels, lowest average precision first; those without a figure last."""
    number = text.finite(given.get("n")) or 0
    rows = [
        LabelRow(
            name=str(one.get("name", "")),
            support=round(text.finite(one.get("count")) or 0),
            share=(text.finite(one.get("count")) or 0) / number if number else 0.0,
            average_precision=Figure.of(one.get("average_precision")),
            precision=Figure.of(one.get("precision")),
            recall=Figure.of(one.get("recall")),
            f1=Figure.of(one.get("f1")),
        )
        for one in _rows(given)
    ]
    return sorted(rows, key=lambda row: (row.average_precision.value is None, row.average_precision.value or 0.0))


def _rows(given: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    rows: Sequence[Mapping[str, Any]] = given.get("by_label") or ()
    return rows
