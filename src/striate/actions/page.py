"""The report of a run, made from what lies in its folder and the pictures where they still are.

What the page tells beside the figures is kept in `metrics.json` under "page", with the names of the pictures that it
shows and not the pictures: so it can be made anew, and there is one way to make it.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from striate.data.distribution import Distribution
from striate.data.reading import load_pixels
from striate.data.row_pictures import RowPictures
from striate.data.samples import Samples
from striate.errors import InputError, require, unknown
from striate.evaluation import EVALUATIONS, evaluation_from_json
from striate.models.run import Run
from striate.models.run_files import HISTORY, METRICS, RECIPE
from striate.tasks import task_from_json
from striate.tasks.task import TableTask
from striate.training.history import read_history
from striate.training.recipe_file import read_recipe, read_source
from striate.training.settings import to_mapping

if TYPE_CHECKING:
    import numpy as np

    from striate.reports.training_report import TrainingReport

LARGE = 256  # side of a mistake on the page, in pixels
LARGEST_HISTORY = 64 * 2**20  # bytes
# Positions (n,) in a split -> for each of them the nearest training rows with their distances.
Nearest = Callable[["np.ndarray"], dict[int, list[tuple[int, float]]]]


@dataclass(frozen=True, kw_only=True)
class Near:
    """A training picture that lies near a mistake, by cosine distance of features."""

    name: str
    label: str
    distance: float

    @classmethod
    def of(cls, samples: Samples, found: Sequence[tuple[int, float]], label: Callable[[int], str]) -> tuple[Near, ...]:
        """Training rows with their distances; `label` says what a row is."""
        return tuple(cls(name=samples.names[row], label=label(row), distance=distance) for row, distance in found)


@dataclass(frozen=True, kw_only=True)
class Mistaken:
    """A held-back picture whose answer is not its label; `probability` is that of the answer, None where that is a
    number. note: how far off it is, where that can be said."""

    name: str
    target: str
    prediction: str
    probability: float | None
    neighbours: tuple[Near, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Unsure:
    """A held-back picture and its most probable classes, most probable first; or the labels that are least certain,
    of which it has `targets`."""

    name: str
    target: str
    top: tuple[tuple[str, float], ...]
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the report tells beside figures: sentences, counts by split (K,) each, and which pictures are shown.

    pictures: by split; runs of early versions, all of classes, have none. distributions, points: of numbers, as in
    `TrainingReport`.
    """

    title: str
    created: str
    split: str
    summary: tuple[str, ...]
    trust: tuple[str, ...]
    reasons: tuple[str, ...]
    counts: Mapping[str, Sequence[int]]
    mistakes: tuple[Mistaken, ...]
    unsure: tuple[Unsure, ...]
    pictures: Mapping[str, int] = field(default_factory=dict)
    distributions: tuple[Distribution, ...] = ()
    points: tuple[tuple[tuple[float, float], ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Page:
        """What `to_json` gave. Raises InputError where it is none."""
        try:
            counts = {str(name): [int(number) for number in column] for name, column in values["counts"].items()}
            return cls(
                title=_text(values["title"]),
                created=_text(values["created"]),
                split=_text(values["split"]),
                summary=tuple(map(_text, values["summary"])),
                trust=tuple(map(_text, values["trust"])),
                reasons=tuple(map(_text, values["reasons"])),
                counts=counts,
                mistakes=tuple(
                    Mistaken(
                        name=_text(one["name"]),
                        target=_text(one["target"]),
                        prediction=_text(one["prediction"]),
                        probability=None if one["probability"] is None else _finite(one["probability"]),
                        note=_text(one.get("note", "")),
                        neighbours=tuple(
                            Near(name=_text(near["name"]), label=_text(near["label"]), distance=float(near["distance"]))
                            for near in one["neighbours"]
                        ),
                    )
                    for one in values["mistakes"]
                ),
                unsure=tuple(
                    Unsure(
                        name=_text(one["name"]),
                        target=_text(one["target"]),
                        top=tuple((_text(name), float(probability)) for name, probability in one["top"]),
                        targets=tuple(map(_text, one.get("targets", ()))),
                    )
                    for one in values["unsure"]
                ),
                pictures={str(name): int(number) for name, number in values.get("pictures", {}).items()},
                distributions=tuple(Distribution.from_json(one) for one in values.get("distributions", ())),
                points=tuple(
                    tuple((_finite(target), _finite(answer)) for target, answer in pairs)
                    for pairs in values.get("points", ())
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"{METRICS}: what it keeps of the page cannot be read ({error!r})") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _finite(value: Any) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{value!r} is not finite")
    return number


def repeat_command(run: Run, source: str) -> str:
    """The command that does the same again."""
    return f"striate train {shlex.quote(source)} --recipe {shlex.quote(str(run.folder / RECIPE))}"


def compose(run: Run, samples: Samples | None) -> tuple[TrainingReport, list[str]]:
    """The report of a run, and the names of the pictures that should be on it and are not in `samples` any more.

    samples: the source that the run learned from; None where it cannot be opened. Raises InputError where the
    folder holds no finished run, or one that is older than "page".
    """
    from striate.reports.training_report import Answer, Mistake, Neighbour, TrainingReport

    metrics, config = run.metrics, run.config
    if "page" not in metrics:
        raise InputError(f"{run}: was written by a version that kept too little for a new report; it stays as it is")
    page = Page.from_json(metrics["page"])
    recipe, resolved = read_recipe(run.folder / RECIPE)
    source = read_source(run.folder / RECIPE)
    pictures = Thumbnails(samples)
    mistakes = [
        Mistake(
            picture=picture,
            name=one.name,
            target=one.target,
            prediction=one.prediction,
            probability=one.probability,
            note=one.note,
            neighbours=tuple(
                Neighbour(picture=small, name=near.name, label=near.label, distance=near.distance)
                for near in one.neighbours
                if (small := pictures.of(near.name)) is not None
            ),
        )
        for one in page.mistakes
        if (picture := pictures.of(one.name, LARGE)) is not None
    ]
    unsure = [
        Answer(picture=picture, name=one.name, target=one.target, top=one.top, targets=one.targets)
        for one in page.unsure
        if (picture := pictures.of(one.name)) is not None
    ]
    task, names = task_of(run)
    require(
        all(len(column) == len(names) for column in page.counts.values()),
        f"{run.folder / METRICS}: its counts are not those of {len(names)} classes",
    )
    evaluation = _evaluation(run, metrics, page.split, task, names)
    equal = _table(run, metrics, "equal_pictures") or {}
    counts = _table(run, metrics, "counts") or {}
    report = TrainingReport(
        title=page.title,
        source=source,
        created=page.created,
        command=repeat_command(run, source),
        class_names=names,
        task=task,
        noun=run.noun,
        summary=page.summary,
        trust=page.trust,
        evaluation=evaluation,
        split=page.split,
        history=_history(run),
        best_epoch=_best_epoch(run, metrics),
        counts=page.counts,
        pictures=page.pictures,
        distributions=[one.to_json() for one in page.distributions],
        points=page.points,
        mistakes=tuple(mistakes),
        unsure=tuple(unsure),
        pictures_missing=len(pictures.missing),
        found=counts.get("found"),
        used=counts.get("used"),
        left_out=[(path, reason) for path, reason in _rows(run, metrics.get("left_out"), "path", "reason")],
        duplicates=_groups(run, equal.get("inside")),
        leaks=_groups(run, equal.get("across")),
        conflicts=_groups(run, equal.get("conflicting")),
        recipe=to_mapping(recipe),
        resolved={name: value for name, value in resolved.items() if name != "reasons"},
        reasons=page.reasons,
        machine=_table(run, metrics, "machine") or {},
        versions=_table(run, config, "versions") or {},
        times={name: value for name, value in (_table(run, metrics, "seconds") or {}).items() if name != "total"},
    )
    return report, pictures.missing


class Thumbnails:
    """Thumbnails of the pictures of a source, by name; `missing` are those that were asked for and not there."""

    def __init__(self, samples: Samples | None) -> None:
        self.samples = samples
        self.rows = {} if samples is None else {name: row for row, name in enumerate(samples.names)}
        self.missing: list[str] = []
        self.drawn: RowPictures | None = None  # of a table of numbers

    def of(self, name: str, side: int = 160) -> bytes | None:
        """None where it is not there or cannot be read any more."""
        from striate.reports.thumbnails import thumbnail

        if self.samples is not None and name in self.rows and self.samples.fields:
            self.drawn = self.drawn or RowPictures(self.samples)
            return thumbnail(self.drawn.of(self.rows[name]), side=side)
        if self.samples is not None and name in self.rows:
            try:
                return thumbnail(load_pixels(self.samples, self.rows[name], at_least=2 * side), side=side)
            except InputError:
                pass  # counted as missing: the page says how many are
        self.missing.append(name)
        return None


def task_of(run: Run) -> tuple[str, tuple[str, ...]]:
    """The task of a run by its name, and the names of its classes, labels or numbers. Raises InputError."""
    task = task_from_json(run.config["task"])
    if not isinstance(task, TableTask) or task.name not in EVALUATIONS:
        raise unknown("task", task.name, EVALUATIONS)
    return task.name, task.names


def _evaluation(
    run: Run, metrics: Mapping[str, Any], split: str, task: str, names: tuple[str, ...]
) -> dict[str, Any] | None:
    given = _table(run, metrics, split)
    if given is None:
        return None
    found = evaluation_from_json(given)
    plain = found.to_json()
    require(
        plain["task"] == task and found.class_names == names,
        f"{run.folder / METRICS}: the figures are of other classes than the model's",
    )
    return plain


def _best_epoch(run: Run, metrics: Mapping[str, Any]) -> int | None:
    best = metrics.get("best_epoch")
    require(best is None or type(best) is int, f"{run.folder / METRICS}: best_epoch is no number of an epoch")
    return best


def _history(run: Run) -> list[dict[str, float]]:
    path = run.folder / HISTORY
    try:
        require(path.stat().st_size <= LARGEST_HISTORY, f"{path}: too large to be what striate writes there")
        return read_history(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _table(run: Run, values: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    found = values.get(name)
    require(found is None or isinstance(found, Mapping), f"{run}: {name} is no table")
    return found


def _list(run: Run, values: Any) -> list[Any]:
    require(values is None or isinstance(values, list), f"{run.folder / METRICS}: not what striate writes there")
    return values or []


def _groups(run: Run, values: Any) -> list[list[str]]:
    return [[path for (path,) in _rows(run, group, "path")] for group in _list(run, values)]


def _rows(run: Run, values: Any, *keys: str) -> list[tuple[str, ...]]:
    """The texts under `keys` in each of a list of tables."""
    rows = _list(run, values)
    sound = all(isinstance(row, Mapping) and all(isinstance(row.get(key), str) for key in keys) for row in rows)
    require(sound, f"{run.folder / METRICS}: not what striate writes there")
    return [tuple(row[key] for key in keys) for row in rows]
