"""`striate report`: the page of a run made anew from what it holds, or one page that compares several runs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from striate.actions.page import compose
from striate.actions.places import page_place
from striate.errors import InputError, require
from striate.models.run import Run
from striate.models.run_files import CHECKPOINTS, METRICS, PREDICTIONS, RECIPE, REPORT, read_config
from striate.observer import SILENT, Observer
from striate.words import counted

if TYPE_CHECKING:
    from striate.data.samples import Samples
    from striate.reports.comparison import Compared

MOST_RUNS = 50
TRAINING_REPORT = "<span>Training report</span>"  # in every report of a run


def report(
    runs: Run | str | Path | Sequence[Run | str | Path],
    *,
    out: str | Path | None = None,
    observer: Observer = SILENT,
) -> Path:
    """The page, and where it lies: of one run its own `report.html`, made anew; of several a page that compares them.

    out: a file; for one run None means the run's own, for several `comparison.html` in the current folder, with a
    number where that name is taken. The pictures on a run's page are read from its source; the observer is told how
    many are not there any more. Raises InputError where a folder holds no run with results.
    """
    from striate.machine.files import write_atomically
    from striate.reports.comparison import comparison_page
    from striate.reports.pages import training_report

    named = [runs] if isinstance(runs, Run | str | Path) else list(runs)
    require(1 <= len(named) <= MOST_RUNS, f"name 1 to {MOST_RUNS} runs, got {len(named)}")
    folders = [one if isinstance(one, Run) else Run(Path(one)) for one in named]
    if len(folders) > 1:
        place = page_place(out, name="comparison", command="report")
        columns = [_compared(run, observer) for run in folders]
        created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        write_atomically(place, comparison_page(columns, created=created, same_test=_same_test(folders)))
        return place
    (run,) = folders
    page_at = None if out is None else page_place(out, name="report", command="report", mark=TRAINING_REPORT)
    _require_results(run)
    page, missing = compose(run, source_of(run, observer))
    if missing:
        observer.warn(
            f"{counted(len(missing), 'picture that belongs on the page is', 'pictures that belong on the page are')} "
            f"not there any more, and left out; the first is {missing[0]}"
        )
    if page_at is not None:
        write_atomically(page_at, training_report(page))
        return page_at
    run.write(REPORT, training_report(page))
    return run.report


def _require_results(run: Run) -> None:
    """Refuse what has no results, or has only those of an earlier end. Raises InputError."""
    from striate.training.checkpoint import latest, read_progress
    from striate.training.loop import is_done
    from striate.training.recipe import read_recipe
    from striate.training.resolved import Resolved

    read_config(run.folder)
    unfinished = f"{run}: has not come to its end; go on with it by 'striate resume {run}'"
    require((run.folder / METRICS).is_file(), unfinished)
    last = latest(run.folder / CHECKPOINTS)
    _, values = read_recipe(run.folder / RECIPE)
    if values and last is not None:
        resolved = Resolved.from_mapping(values, str(run.folder / RECIPE))
        require(resolved.method != "steps" or is_done(read_progress(last), resolved), unfinished)


def source_of(run: Run, observer: Observer) -> Samples | None:
    """The table of the pictures that the run learned from; None, and said, where it cannot be had any more."""
    from striate.data.sources import open_dataset
    from striate.training.recipe import read_recipe, read_source

    recipe, resolved = read_recipe(run.folder / RECIPE)
    stream = bool(recipe.stream) or "buffer" in resolved
    try:
        return open_dataset(
            read_source(run.folder / RECIPE),
            labels=recipe.labels,
            root=recipe.root,
            stream=stream,
            task=recipe.task_asked,
            targets=recipe.targets,
        )
    except InputError as error:
        observer.warn(f"its pictures cannot be had any more ({error})")
        return None


def _compared(run: Run, observer: Observer) -> Compared:
    from striate.reports.comparison import Compared

    _require_results(run)
    page, _ = compose(run, None)
    metrics = run.metrics
    seconds = metrics.get("seconds")
    return Compared(
        name=str(run),
        source=page.source,
        network=str(run.config["network"]["name"]),
        class_names=page.class_names,
        split=page.split,
        evaluation=page.evaluation,
        history=page.history,
        learned_from=sum(page.counts.get("train", ())),
        seconds=seconds.get("total") if isinstance(seconds, dict) else None,
    )


def _same_test(runs: Sequence[Run]) -> bool:
    """Whether all were tested on the same pictures with the same labels, by what `predictions.csv` lists."""
    tested = [_tested(run) for run in runs]
    return all(one is not None and one == tested[0] for one in tested)


def _tested(run: Run) -> frozenset[tuple[str, str]] | None:
    """(picture, label) of each line; None where there is no such file, or it is something else."""
    path = run.folder / PREDICTIONS
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return frozenset((row["path"], row["target"]) for row in csv.DictReader(file))
    except (OSError, csv.Error, KeyError):
        return None
