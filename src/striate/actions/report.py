"""`striate report`: the page of a run made anew from what it holds, or one page that compares several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.actions.page import compose
from striate.actions.page_pictures import Thumbnails
from striate.actions.places import page_place
from striate.actions.run_source import source_of
from striate.errors import InputError, require
from striate.models.run import Run
from striate.models.run_files import CHECKPOINTS, METRICS, RECIPE, REPORT, read_config
from striate.observer import SILENT, Observer
from striate.tasks import TASKS
from striate.words import counted

if TYPE_CHECKING:
    from striate.actions.compared import Changed, Comparison
    from striate.reports.comparison import Compared, Pairing

MOST_RUNS = 50
TRAINING_REPORT = "<span>Training report</span>"  # in every report of a run


@dataclass(frozen=True)
class Reported:
    """A page, and of several runs what it tells of them, two and two; not_compared: why it does not."""

    page: Path
    several: bool = False
    comparisons: tuple[Comparison, ...] = ()
    not_compared: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values: of one run the place of its page alone."""
        told = {"comparisons": [one.to_json() for one in self.comparisons], "not_compared": self.not_compared}
        return {"page": str(self.page), **(told if self.several else {})}


def report(
    runs: Run | str | Path | Sequence[Run | str | Path],
    *,
    out: str | Path | None = None,
    observer: Observer = SILENT,
) -> Path:
    """The page, and where it lies: of one run its own `report.html`, made anew; of several a page that compares them.

    out: a file; for one run None means the run's own, for several `comparison.html` in the current folder, with a
    number where that name is taken. The pictures on a page are read from the run's source; the observer is told how
    many are not there any more. Runs that were tested on the same pictures are compared picture by picture; where they
    were not, the page says what differs, and runs of other targets are not ranked. Raises InputError where a folder
    holds no run with results or is named twice, and for runs of different tasks.
    """
    return reported(runs, out=out, observer=observer).page


def reported(
    runs: Run | str | Path | Sequence[Run | str | Path],
    *,
    out: str | Path | None = None,
    observer: Observer = SILENT,
) -> Reported:
    """`report`, with what the page tells of several runs."""
    from striate.machine.files import write_atomically
    from striate.reports.pages import training_report

    named = [runs] if isinstance(runs, Run | str | Path) else list(runs)
    require(1 <= len(named) <= MOST_RUNS, f"name 1 to {MOST_RUNS} runs, got {len(named)}")
    folders = [one if isinstance(one, Run) else Run(one) for one in named]
    seen: set[Path] = set()
    for one in folders:
        place = one.folder.resolve()
        require(place not in seen, f"{one} is named twice; name runs that differ, or the run once for its own page")
        seen.add(place)
    if len(folders) > 1:
        place = page_place(out, name="comparison", command="report")
        html, comparisons, why = _side_by_side(folders, observer)
        write_atomically(place, html)
        return Reported(place, several=True, comparisons=tuple(comparisons), not_compared=why)
    (run,) = folders
    page_at = None if out is None else page_place(out, name="report", command="report", mark=TRAINING_REPORT)
    _require_results(run)
    page, missing = compose(run, source_of(run, observer))
    if missing:
        noun = run.noun
        there = counted(len(missing), f"{noun} that belongs on the page is", f"{noun}s that belong on the page are")
        observer.warn(f"{there} not there any more, and left out; the first is {missing[0]}")
    if page_at is not None:
        write_atomically(page_at, training_report(page))
        return Reported(page_at)
    run.write(REPORT, training_report(page))
    return Reported(run.report)


def _require_results(run: Run) -> None:
    """Refuse what has no results, or has only those of an earlier end. Raises InputError."""
    from striate.training.checkpoint import latest, read_progress
    from striate.training.loop import is_done
    from striate.training.recipe_file import read_recipe
    from striate.training.resolved import Resolved

    read_config(run.folder)
    unfinished = f"{run}: has not come to its end; go on with it by 'striate resume {run}'"
    require((run.folder / METRICS).is_file(), unfinished)
    last = latest(run.folder / CHECKPOINTS)
    _, values = read_recipe(run.folder / RECIPE)
    if values and last is not None:
        resolved = Resolved.from_mapping(values, str(run.folder / RECIPE))
        require(resolved.method != "steps" or is_done(read_progress(last), resolved), unfinished)


def _side_by_side(runs: Sequence[Run], observer: Observer) -> tuple[str, list[Comparison], str]:
    """The page that compares runs, the best first; of two also which pictures changed sides; with the comparisons, or
    why there are none. Raises InputError."""
    from striate.actions.compared import Measured, compare, measured, raised, unlike
    from striate.reports.comparison import UNRANKED, comparison_page

    columns = [_compared(run) for run in runs]
    for run, column in zip(runs[1:], columns[1:], strict=True):
        require(
            column.task == columns[0].task,
            f"{runs[0]} answers {TASKS[columns[0].task].kinds} and {run} {TASKS[column.task].kinds}; "
            "name runs of one task",
        )
    order = sorted(range(len(runs)), key=lambda place: -columns[place].rank)
    found: dict[int, Measured] = {}
    what = why = ""
    for place in order:
        try:
            found[place] = measured(runs[place], columns[place].split)
        except InputError as error:
            what, why = what or "unread", why or str(error)
    first = order[0] if len(runs) > 2 else 0  # of two in the order in which they were named
    others = [place for place in order if place != first]
    if not why:
        differing = [pair for place in others if any(pair := unlike(found[first], found[place]))]
        # What forbids an order weighs more than what only makes it less sure.
        what, why = min(differing, key=lambda pair: pair[0] not in UNRANKED, default=("", ""))
    if what in UNRANKED:
        order = list(range(len(runs)))
    comparisons = [] if why else raised([compare(found[first], found[place]) for place in others])
    page = comparison_page(
        [columns[place] for place in order],
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        unlike=what,
        not_compared=why,
        pairings=[_pairing(one, runs[first], observer, pictures=len(runs) == 2) for one in comparisons],
    )
    return page, comparisons, why


def _compared(run: Run) -> Compared:
    from striate.reports.comparison import Compared

    _require_results(run)
    page, _ = compose(run, None)
    seconds = run.metrics.get("seconds")
    return Compared(
        name=str(run),
        source=page.source,
        network=str(run.config["network"]["name"]),
        task=page.task,
        noun=page.noun,
        class_names=page.class_names,
        split=page.split,
        evaluation=page.evaluation,
        history=page.history,
        learned_from=page.pictures.get("train") or sum(page.counts.get("train", ())),
        seconds=seconds.get("total") if isinstance(seconds, dict) else None,
    )


def _pairing(found: Comparison, run: Run, observer: Observer, *, pictures: bool) -> Pairing:
    """A comparison as the page shows it, with the pictures that changed sides where these are wanted."""
    from striate.reports.comparison import ChangedPicture, PairedPart, PairedPrecision, Pairing

    shown = (*found.only_first, *found.only_second) if pictures else ()
    drawn = Thumbnails(source_of(run, observer) if shown else None)

    def of(changed: Sequence[Changed]) -> tuple[ChangedPicture, ...]:
        return tuple(
            ChangedPicture(
                picture=drawn.of(one.name), name=one.name, target=one.target, first=one.first, second=one.second
            )
            for one in (changed if pictures else ())
        )

    precision = None
    if found.precision is not None:
        test = found.precision
        precision = PairedPrecision(
            values=(test.first, test.second), difference=test.difference.to_json(), p=test.p, exact=test.exact
        )
    pairing = Pairing(
        first=found.first,
        second=found.second,
        task=found.task,
        n=found.n,
        measure=found.measure,
        more_is_better=found.more_is_better,
        values=found.values,
        difference=found.test.difference.to_json(),
        p=found.p,
        parts=tuple(
            PairedPart(name=one.name, count=one.count, first=one.first, second=one.second, p=one.p)
            for one in found.parts
        ),
        changed=found.changed,
        noun=found.noun,
        only_first=of(found.only_first),
        only_second=of(found.only_second),
        precision=precision,
    )
    if drawn.missing:
        one, many = f"{found.noun} that changed sides is", f"{found.noun}s that changed sides are"
        observer.warn(f"{counted(len(drawn.missing), one, many)} not there any more; the first is {drawn.missing[0]}")
    return pairing
