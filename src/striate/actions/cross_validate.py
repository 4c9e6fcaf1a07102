"""`striate train --folds K`: every picture answered once, by a network that has not seen it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.actions.several import Trainings, figure_of, open_folder, require_open
from striate.data.parts import MOST_FOLDS
from striate.data.samples import REGRESSION, TEST
from striate.errors import require
from striate.evaluation.figure import Figure
from striate.evaluation.folds import mean_over_folds
from striate.evaluation.headlines import HEADLINES
from striate.machine.files import write_atomically
from striate.models.run import Run
from striate.observer import SILENT, Observer

if TYPE_CHECKING:
    from torch import nn

RESULT, PAGE = "folds.json", "report.html"


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """What came out: the figure of each fold's run, and their mean with its interval.

    metric: the figure of `HEADLINES` that stands for the task. errors: where one number is learned the mean absolute
    error of each fold, in its units; else none. page: an HTML file in `folder`.
    """

    folder: Path
    task: str
    metric: str
    mean: Figure
    figures: tuple[Figure, ...]
    runs: tuple[Run, ...]
    page: Path
    errors: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "folder": str(self.folder),
            "task": self.task,
            "metric": self.metric,
            "mean": self.mean.to_json(),
            "folds": [
                {"run": str(run), **figure.to_json(), **({"mae": self.errors[place]} if self.errors else {})}
                for place, (run, figure) in enumerate(zip(self.runs, self.figures, strict=True))
            ],
        }


def cross_validate(
    source: Any,
    *,
    folds: int,
    out: str | Path | None = None,
    network: str | nn.Module | None = None,
    observer: Observer = SILENT,
    **settings: Any,
) -> CrossValidation:
    """Train `folds` times on all but one part of the pictures and answer the part that was left out.

    source, network, settings: as for `train`. out: a new folder for the runs and the page (None:
    `runs/<source>-folds-<n>`), or one in which the same was begun, and goes on. Parts are drawn by class, label or
    group; test pictures that the source itself has play no part. Each run is one of its own: `fold-1`, `fold-2`, ...

    Raises InputError for what cannot be used, and where there are too few pictures for so many folds.
    """
    require(isinstance(folds, int) and 2 <= folds <= MOST_FOLDS, f"folds must be 2 to {MOST_FOLDS}, got {folds!r}")
    require_open(settings, ("fold", "share", "minutes"), "folds")
    given = {**settings, **({} if network is None else {"network": network})}
    folder, made = open_folder("folds", source, out, given, {"folds": folds})
    changes = {f"fold-{number}": {"fold": f"{number}/{folds}"} for number in range(1, folds + 1)}
    trainings = Trainings(
        kind="folds", source=source, folder=folder, settings=given, changes=changes, made=made, observer=observer
    )
    runs = tuple(trainings.carry_out().values())
    found = [figure_of(run) for run in runs]
    task = found[0][0]
    figures = tuple(Figure.from_json(figure) for _, figure in found)
    headline = HEADLINES[task]
    values = [one.value for one in figures]
    mean = mean_over_folds(values, held_back=1 / folds, lowest=headline.lowest, highest=1.0)
    result = CrossValidation(
        folder=folder,
        task=task,
        metric=headline.figure,
        mean=mean,
        figures=figures,
        runs=runs,
        page=folder / PAGE,
        errors=_errors(runs),
    )
    from striate.reports.several import folds_page

    write_atomically(folder / RESULT, json.dumps(result.to_json(), indent=2) + "\n")
    write_atomically(
        result.page,
        folds_page(
            source=str(source) if isinstance(source, str | Path) else "arrays",
            headline=headline,
            noun=runs[0].noun,
            mean=mean,
            errors=result.errors,
            folds=[(run.folder.name, figure) for run, figure in zip(runs, figures, strict=True)],
        ),
    )
    return result


def _errors(runs: Sequence[Run]) -> tuple[float, ...]:
    """Of one number the mean absolute errors; several are of several units, whose mean says nothing."""
    tested = [run.metrics[TEST] for run in runs]
    if any(one.get("task") != REGRESSION or len(one["by_number"]) != 1 for one in tested):
        return ()
    return tuple(float(one["mae"]["value"]) for one in tested)
