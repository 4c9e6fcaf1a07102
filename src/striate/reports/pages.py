"""The two pages: what a training gave (`training_report`) and what a source holds (`inspect_page`).

Plain values in, one HTML document out, as text that encodes to UTF-8. A page has no script, asks for nothing
from anywhere (its own policy forbids it), and shows every name as text. Legend: K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from striate.data.survey import Thumbnail as Thumbnail  # what `inspect_page` takes
from striate.names import visible
from striate.reports import digest, labels, numbers, text, thumbnails
from striate.reports.distributions import MOST_DRAWN, distribution_rows
from striate.reports.inventory import Inventory, class_counts

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
    probability: float | None  # of `prediction`; None where the answer is a number
    neighbours: tuple[Neighbour, ...] = ()
    note: str = ""  # how far off it is, say

    @property
    def doubtful_label(self) -> bool:
        """Whether most of its neighbours carry the answer's class: then the label may be what is wrong."""
        agreeing = sum(one.label == self.prediction for one in self.neighbours)
        return len(self.neighbours) >= 2 and agreeing * 2 > len(self.neighbours)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A picture and the classes that were most probable for it: (name, probability), most probable first; or labels,
    the least certain first, of which it has `targets`."""

    picture: bytes  # PNG or JPEG
    name: str
    target: str
    top: tuple[tuple[str, float], ...]
    targets: tuple[str, ...] = ()

    @property
    def true_names(self) -> tuple[str, ...]:
        """The class, or the labels, that the picture has."""
        return self.targets or (self.target,)


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """All that the report of a training shows. Plain values; an empty part says so on the page or is left away.

    evaluation: an evaluation's `to_json()` (`striate.evaluation`), None where nothing was held out. history: one row an
    epoch. task: as in `striate.tasks.TASKS`; class_names: of the classes, the labels or the numbers. counts: pictures a
    class, or with a label, (K,) by split name; pictures: those of each split. distributions: of numbers, `to_json()` of
    `striate.data.distribution`; points: for each number (target, answer) of pictures of `split`. left_out: (name,
    reason), which may list fewer than `left_out_count`; found = used + left out. pictures_missing: how many of the
    pictures that belong on the page could not be had. times: seconds by name. duplicates, leaks and conflicts: groups
    of names of equal pictures: inside a split, across splits, with different labels.
    """

    title: str
    source: str
    created: str
    command: str
    class_names: tuple[str, ...]
    task: str = "classification"
    noun: str = "picture"  # what it learned from one of, in sentences
    summary: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    evaluation: Mapping[str, Any] | None = None
    split: str = "test"
    history: Sequence[Mapping[str, Any]] = ()
    best_epoch: int | None = None
    counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    pictures: Mapping[str, int] = field(default_factory=dict)
    distributions: Sequence[Mapping[str, Any]] = ()
    points: Sequence[Sequence[tuple[float, float]]] = ()
    mistakes: tuple[Mistake, ...] = ()
    unsure: tuple[Answer, ...] = ()
    pictures_missing: int = 0
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
    "classification": digest.context,
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
            **ANSWERS[report.task](report),
            charts=digest.curves(report),
            notes=tuple((report.evaluation or {}).get("notes") or ()),
            mistakes=mistakes,
            unsure=unsure,
            data_rows=[] if report.task == "regression" else class_counts(report.class_names, report.counts),
            totals=_totals(report),
            distributions=distribution_rows(report.distributions),
            most_drawn=MOST_DRAWN,
            history_columns=digest.history_columns(report.history),
            layers=digest.layer_updates(report.history),
            history_rows=digest.history_rows(report.history),
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


@cache
def environment() -> jinja2.Environment:
    """The templates, with every name that passes through them made safe first."""
    folder = Path(__file__).parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every name passes here before it is escaped, so that none can hold what UTF-8 cannot.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    words = (text.percent, text.count, text.decimal, text.duration, text.setting, text.flat, text.clip, text.sentence)
    environment.filters.update({one.__name__: one for one in words})
    environment.globals.update(image=thumbnails.image, style=Markup((folder / "style.css").read_text(encoding="utf-8")))
    return environment
