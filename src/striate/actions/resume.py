"""`striate resume`: a run that was stopped goes on where its last checkpoint stands."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import InputError, require
from striate.models.run import LogFile, Run
from striate.models.run_files import CHECKPOINTS, PREVIOUS, RECIPE, no_run
from striate.observer import SILENT, Observer, Observers
from striate.training.own_parts import NOTHING_OWN, Loss, Metric, OwnParts
from striate.training.recipe import Recipe
from striate.training.recipe_file import read_recipe, read_source
from striate.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from striate.actions.job import Job
    from striate.actions.run_source import Source
    from striate.data.samples import Samples
    from striate.models.start import Start
    from striate.training.resolved import Resolved


def resume(
    run: Run | str | Path,
    *,
    epochs: int | None = None,
    processes: int | str | None = None,
    network: nn.Module | None = None,
    loss: Loss | None = None,
    metrics: Mapping[str, Metric] | None = None,
    source: Source | None = None,
    observer: Observer = SILENT,
) -> Run:
    """Go on with a run that was stopped, by the decisions in its `recipe.toml`.

    epochs: go on to so many in all, also after the end. processes: so many, or "auto", where it should not be those
    that the recipe names; bit for bit only with as many as before. network, loss, metrics: your own, where the run was
    trained with them. source: where the pictures are now, if not where they were, or the arrays that `train` was given.
    A run that was stopped before its first checkpoint starts again.

    Raises InputError where the folder holds no run, where there is nothing left to do, where another process is
    training into it, and where the pictures have changed.
    """
    from striate.machine.ranks import processes_for, ranks_here

    started = time.monotonic()
    run = run if isinstance(run, Run) else Run(Path(run))
    own = OwnParts(loss=loss, metrics={} if metrics is None else metrics)
    require_run(run)
    recipe, _ = read_recipe(run.folder / RECIPE)
    here = ranks_here()
    count = processes_for(recipe.processes if processes is None else processes, recipe.device, here)
    if count == here.count:
        return _resumed(run, epochs, network, source, observer, started, own)
    require(
        network is None and own == NOTHING_OWN,
        "what is your own cannot be handed to other processes; start the program itself by torchrun instead",
    )
    from striate.actions.launch import arrays_as_files, launch

    with arrays_as_files(source) as files:
        order = {"folder": str(run), "epochs": epochs, "source": files, "started": started}
        return launch("resume", order, processes=count, observer=observer)


def resume_here(
    folder: str,
    *,
    epochs: int | None,
    source: Source | None,
    observer: Observer,
    started: float,
    began: Callable[[str], None],
) -> Run:
    """`resume` in this process, one of several. began: told the folder of the run."""
    began(folder)
    return _resumed(Run(Path(folder)), epochs, None, source, observer, started)


def _resumed(
    run: Run,
    epochs: int | None,
    network: nn.Module | None,
    source: Source | None,
    observer: Observer,
    started: float,
    own: OwnParts = NOTHING_OWN,
) -> Run:
    with taken_up(run, network, source, observer, started, epochs=epochs, own=own) as (job, samples):
        return _gone_on(job, samples)


@contextmanager
def taken_up(
    run: Run,
    network: nn.Module | None,
    source: Source | None,
    observer: Observer,
    started: float,
    *,
    epochs: int | None = None,
    verifying: bool = False,
    own: OwnParts = NOTHING_OWN,
) -> Iterator[tuple[Job, Samples]]:
    """The job of a run that was begun, and its pictures, held against others while the block runs.

    epochs: as `resume` says. verifying: nothing is gone on with, so that one that came to its end is taken up, too.
    """
    from striate.actions.job import Job
    from striate.machine.joining import joined, together
    from striate.machine.ranks import ranks_here
    from striate.training.resolved import Resolved

    here, path = ranks_here(), run.folder / RECIPE
    require_run(run)
    recipe, _ = read_recipe(path)
    with joined(here, recipe.device):
        with together(here):
            run = run.hold() if here.first else replace(run, writes=False)
        try:
            with together(here):
                recipe, values = read_recipe(path)
                if source is None:
                    read_source(path)  # a recipe that names none is refused before anything else
                resolved = Resolved.from_mapping(values, str(path)) if values else None
                if resolved is not None:
                    own.require_as_before(resolved, str(run))
                further = False
                if epochs is not None:
                    resolved, further = _further(run, resolved, epochs)
                elif not verifying and _came_to_its_end(run, resolved):
                    raise InputError(
                        f"{run}: came to its end; to train further, say how far: striate resume {run} --epochs N"
                    )
                stream = bool(recipe.stream) or (resolved is not None and resolved.buffer is not None)
                recipe, samples = _open_source(run, recipe, source, stream=stream)
                start = _start(run, recipe, resolved, network, verify=verifying)
            job = Job(
                run=run,
                recipe=recipe,
                resolved=resolved,
                network=network,
                observer=observer,
                started=started,
                resuming=True,
                further=further,
                start=start,
                ranks=here,
                own=own,
            )
            yield job, samples
        finally:
            run.let_go()


def require_run(run: Run) -> None:
    """Raise InputError where the folder holds none."""
    if not os.path.isfile(run.folder / RECIPE):  # noqa: PTH113 - False for any name that cannot be one
        raise no_run(run.folder, f"no run to go on with (it has no {RECIPE}); striate runs lists those here")


def _gone_on(job: Job, samples: Samples) -> Run:
    from striate.actions.work import carry_out

    watch: Observer = SILENT
    if job.ranks.first:
        job.run.sweep()
        watch = Observers(LogFile(job.run), job.observer)
    watch.say("resumed")
    try:
        carry_out(replace(job, observer=watch), samples)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(str(job.run)) from stop
    return job.run


def _further(run: Run, resolved: Resolved | None, epochs: int) -> tuple[Resolved, bool]:
    """What was decided, for so many epochs, and whether that is further than was planned."""
    require(resolved is not None and resolved.method == "steps", f"{run}: there are no epochs to go on with")
    assert resolved is not None
    from striate.training.checkpoint import latest

    require(
        not run.finished or latest(run.folder / CHECKPOINTS) is not None,
        f"{run}: has no checkpoint to go on from; train anew from its weights: striate train SOURCE --from {run}",
    )
    if epochs == resolved.epochs and not _came_to_its_end(run, resolved):
        return resolved, False
    require(
        epochs > resolved.epochs, f"{run}: has {counted(resolved.epochs, 'epoch')}; name more than that, got {epochs}"
    )
    return replace(resolved, epochs=epochs, plans=()), True


def _open_source(run: Run, recipe: Recipe, named: Source | None, *, stream: bool) -> tuple[Recipe, Samples]:
    """The pictures, where the run was started or where `named` says, and the recipe with names that lead there."""
    from striate.actions.run_source import found_again, open_asked

    source, recipe = found_again(run, recipe, named)
    try:
        return recipe, open_asked(source, recipe, stream=stream)
    except InputError as error:
        if named is not None or not isinstance(source, str) or os.path.lexists(source) or "://" in source:
            raise
        raise InputError(f"{error}; if the pictures are elsewhere now: striate resume {run} --source FOLDER") from error


def _came_to_its_end(run: Run, resolved: Resolved | None) -> bool:
    """A finished run that was asked to go further, and was stopped on the way, has results but is not at its end."""
    from striate.training.checkpoint import latest, read_progress
    from striate.training.loop import is_done

    last = latest(run.folder / CHECKPOINTS)
    if not run.finished or resolved is None or resolved.method != "steps" or last is None:
        return run.finished
    return is_done(read_progress(last), resolved)


def _start(run: Run, recipe: Recipe, resolved: Resolved | None, own: nn.Module | None, *, verify: bool) -> Start | None:
    """The earlier run that this one started from, where its weights are needed still. Raises InputError."""
    from striate.training.checkpoint import latest

    folder = run.folder / CHECKPOINTS
    by_steps = resolved is not None and resolved.method == "steps"
    # A checkpoint holds all of the network; to verify begins at the checkpoint before it, if there is one.
    kept = (folder / PREVIOUS).is_file() if verify else latest(folder) is not None
    brings_mean = resolved is not None and resolved.mean_picture  # which lies with the earlier run
    if recipe.from_run is None or (by_steps and kept and not brings_mean):
        return None
    from striate.models.start import read_start

    return read_start(recipe.from_run, network=recipe.network if own is None else own)
