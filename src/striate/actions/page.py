"""The report of a run, made from what lies in its folder and the pictures where they still are."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from striate.actions.kept_page import Page
from striate.actions.page_pictures import Thumbnails
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
    from striate.reports.training_report import TrainingReport

LARGE = 256  # side of a mistake on the page, in pixels
LARGEST_HISTORY = 64 * 2**20  # bytes


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
