"""`striate runs`: the runs below a folder, side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from striate.data.samples import CLASSIFICATION, natural_key
from striate.errors import InputError, require
from striate.evaluation.headlines import HEADLINES
from striate.models.run import Run
from striate.models.run_files import METRICS, RECIPE, is_run

LOWEST = -1e15  # what no figure is below, also one without a bound


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One line of the list. `figure` names what stands for the task (`striate.evaluation.headlines`): accuracy, mean
    average precision or R2; `value` is it, from `low` to `high`. All None where the run has none; so is `accuracy`, the
    value again, where that is no accuracy.
    """

    run: str
    state: str  # "finished", "unfinished", "broken"
    network: str | None = None
    source: str | None = None
    figure: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    pictures: int | None = None
    log_loss: float | None = None
    seconds: float | None = None
    accuracy: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def runs(folder: str | Path = "runs") -> list[RunSummary]:
    """The runs in `folder`: those of classes, of labels and of numbers, the best of each first; a folder that is a run
    itself is listed alone.

    Raises InputError where there is no such folder.
    """
    place = Path(folder)
    if not os.path.isdir(place):  # noqa: PTH112 - False for any name that cannot be one
        what = "is a file; name a folder of runs" if os.path.lexists(place) else "there is no such folder"
        raise InputError(f"{place}: {what}; striate train SOURCE makes a run in runs/")
    try:
        entries = sorted(place.iterdir(), key=lambda entry: natural_key(entry.name))
    except OSError as error:
        raise InputError(f"{place}: cannot be looked into ({error.strerror})") from error
    found = [place] if is_run(place) else [entry for entry in entries if is_run(entry)]
    listed = [_summary(Run(entry)) for entry in found]
    # Of equals, and of those without a figure, in the order of their names.
    return sorted(listed, key=_rank)


def _rank(one: RunSummary) -> tuple[int, float]:
    """Classes, labels, numbers, and what has no figure; the best first."""
    for place, headline in enumerate(HEADLINES.values()):
        if one.figure == headline.figure and one.value is not None:
            return place, -one.value
    return len(HEADLINES), 0.0


def _summary(run: Run) -> RunSummary:
    """A broken run is listed as such: one bad folder must not hide the others."""
    try:
        network, source = _recipe_words(run)
        if not os.path.isfile(run.folder / METRICS):  # noqa: PTH113
            return RunSummary(run=str(run), state="unfinished", network=network, source=source)
        metrics = run.metrics
        evaluation = _table(metrics, "test") or _table(metrics, "validation")
        headline = HEADLINES.get(str(evaluation.get("task", CLASSIFICATION)))
        require(headline is not None, f"{METRICS}: names no task")
        assert headline is not None
        measured, lowest = _table(evaluation, headline.figure), max(LOWEST, headline.lowest)
        value = _number(measured, "value", lowest, 1.0)
        pictures = _number(evaluation, "n")
        return RunSummary(
            run=str(run),
            # A run that was trained further and stopped has the figures of its earlier end.
            state="finished" if run.finished else "unfinished",
            network=network,
            source=source,
            figure=None if value is None else headline.figure,
            value=value,
            low=_number(measured, "low", lowest, 1.0),
            high=_number(measured, "high", lowest, 1.0),
            accuracy=value if headline.figure == "accuracy" else None,
            pictures=None if pictures is None else int(pictures),
            log_loss=_number(_table(evaluation, "log_loss"), "value"),
            seconds=_number(_table(metrics, "seconds"), "total"),
        )
    except InputError:
        return RunSummary(run=str(run), state="broken")


def _table(values: Any, name: str) -> Mapping[str, Any]:
    """The table under `name`; an empty one where there is none. Raises InputError for anything else."""
    found = values.get(name) if isinstance(values, Mapping) else values
    require(found is None or isinstance(found, Mapping), f"{METRICS}: {name} is no table")
    return found or {}


def _number(values: Mapping[str, Any], name: str, at_least: float = 0.0, at_most: float = 1e15) -> float | None:
    """The number in [at_least, at_most] under `name`, None where there is none. Raises InputError for anything else."""
    found = values.get(name)
    fine = isinstance(found, int | float) and not isinstance(found, bool) and at_least <= found <= at_most
    require(found is None or fine, f"{METRICS}: {name} is no number that can be")
    return found


def _recipe_words(run: Run) -> tuple[str | None, str | None]:
    from striate.training.recipe_file import read_recipe, read_source

    path = run.folder / RECIPE
    if not os.path.isfile(path):  # noqa: PTH113
        return str(run.config["network"]["name"]), None
    _, resolved = read_recipe(path)
    network = resolved.get("network")
    return (str(network) if network is not None else None), read_source(path)
