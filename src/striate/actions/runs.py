"""`striate runs`: the runs below a folder, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from striate.errors import InputError
from striate.models.run import METRICS, RECIPE, Run, is_run


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One line of the list. Figures are None where the run has none; `accuracy` in [0, 1] with its interval."""

    run: str
    state: str  # "finished", "unfinished", "broken"
    network: str | None = None
    source: str | None = None
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    pictures: int | None = None
    log_loss: float | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def runs(folder: str | Path = "runs") -> list[RunSummary]:
    """The runs in `folder`, best test accuracy first; a folder that is a run itself is listed alone.

    Raises InputError where there is no such folder.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"{place}: there is no such folder; striate train SOURCE makes a run in runs/")
    found = [place] if is_run(place) else sorted(entry for entry in place.iterdir() if entry.is_dir() and is_run(entry))
    listed = [_summary(Run(entry)) for entry in found]
    return sorted(listed, key=lambda one: (one.accuracy is None, -(one.accuracy or 0.0), one.run))


def _summary(run: Run) -> RunSummary:
    """A broken run is listed as such: one bad folder must not hide the others."""
    try:
        network, source = _recipe_words(run)
        if not (run.folder / METRICS).is_file():
            return RunSummary(run=str(run), state="unfinished", network=network, source=source)
        metrics = run.metrics
        evaluation = metrics.get("test") or metrics.get("validation") or {}
        accuracy = _figure(evaluation, "accuracy")
        return RunSummary(
            run=str(run),
            state="finished",
            network=network,
            source=source,
            accuracy=accuracy.get("value"),
            low=accuracy.get("low"),
            high=accuracy.get("high"),
            pictures=evaluation.get("pictures") or accuracy.get("n"),
            log_loss=_figure(evaluation, "log_loss").get("value"),
            seconds=(metrics.get("seconds") or {}).get("total"),
        )
    except (InputError, AttributeError, TypeError):
        return RunSummary(run=str(run), state="broken")


def _figure(evaluation: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    figure = evaluation.get(name)
    return figure if isinstance(figure, Mapping) else {}


def _recipe_words(run: Run) -> tuple[str | None, str | None]:
    from striate.training.recipe import read_recipe, read_source

    path = run.folder / RECIPE
    if not path.is_file():
        return str(run.config["network"]["name"]), None
    _, resolved = read_recipe(path)
    network = resolved.get("network")
    return (str(network) if network is not None else None), read_source(path)
