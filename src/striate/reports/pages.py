"""The two pages: what a training gave (`training_report`) and what a source holds (`inspect_page`).

Plain values in, one HTML document out, as text that encodes to UTF-8. A page has no script, asks for nothing
from anywhere (its own policy forbids it), and shows every name as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.data.contact_sheet import Thumbnail
from striate.reports import classes, labels, learning, numbers, text
from striate.reports.distributions import MOST_DRAWN, distribution_rows
from striate.reports.environment import OPEN_ROWS, environment
from striate.reports.inventory import Inventory, class_counts
from striate.reports.training_report import TrainingReport

MOST_MISTAKES = 24
MOST_UNSURE = 24
MOST_LISTED = 500  # rows of a list of file names
PICTURE_BYTES = 5_000_000  # pictures of one page, before base64: the page stays under 10 MB


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """A picture and what training would see of it in several epochs."""

    name: str
    label: str
    picture: bytes
    drawn: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class Varied:
    """A part of augmentation alone: a picture as it is, and as that part draws it in several epochs."""

    name: str
    says: str
    settings: str  # as flags
    picture: bytes
    drawn: tuple[bytes, ...]


# What is shown of the answers of each task.
ANSWERS: dict[str, Callable[[TrainingReport], dict[str, Any]]] = {
    "classification": classes.context,
    "multilabel": labels.context,
    "regression": numbers.context,
}


def training_report(report: TrainingReport) -> str:
    """The report of a training as one HTML document, under 10 MB.

    Raises ValueError where a picture is neither PNG nor JPEG, or a cell of the confusion
    matrix lies beyond the classes.
    """
    budget = _Budget()
    mistakes = [one for one in report.mistakes[:MOST_MISTAKES] if budget.takes(one)]
    unsure = [one for one in report.unsure[:MOST_UNSURE] if budget.takes(one)]
    left_out_count = len(report.left_out) if report.left_out_count is None else report.left_out_count
    return (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            noun=report.noun,
            **ANSWERS[report.task](report),
            charts=learning.curves(report),
            notes=tuple((report.evaluation or {}).get("notes") or ()),
            mistakes=mistakes,
            unsure=unsure,
            data_rows=[] if report.task == "regression" else class_counts(report.class_names, report.counts),
            totals=_totals(report),
            distributions=distribution_rows(report.distributions, report.noun),
            most_drawn=MOST_DRAWN,
            history_columns=learning.history_columns(report.history),
            layers=learning.layer_updates(report.history),
            history_rows=learning.history_rows(report.history),
            splits=list(report.counts),
            left_out_count=left_out_count,
            most_listed=MOST_LISTED,
            open_rows=OPEN_ROWS,
        )
    )


def _totals(report: TrainingReport) -> list[int]:
    """Pictures of each split: a picture may be counted under several labels."""
    if report.pictures:
        return [report.pictures.get(split, 0) for split in report.counts]
    return [sum(round(text.finite(value) or 0) for value in column) for column in report.counts.values()]


def inspect_page(
    survey: Mapping[str, Any],
    thumbnails: Sequence[Thumbnail] = (),
    augmented: Sequence[Augmented] = (),
    varied: Sequence[Varied] = (),
) -> str:
    """What a source holds, before any training, as one HTML document, under 10 MB.

    survey: `Survey.to_json()` of `striate.data.survey`; thumbnails: its contact sheet, by class; augmented, varied:
    what training would see by default, and what each part of augmentation does.
    Raises ValueError where a picture is neither PNG nor JPEG.
    """
    budget = _Budget()
    given = Inventory(survey)
    sheet: dict[str, list[Thumbnail]] = {}
    for one in thumbnails:
        if budget.takes(one):
            sheet.setdefault(one.label, []).append(one)
    return (
        environment()
        .get_template("inspect.html")
        .render(
            survey=given,
            sheet=sheet,
            most_drawn=MOST_DRAWN,
            augmented=[one for one in augmented if budget.takes(one)],
            varied=[one for one in varied if budget.takes(one)],
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
