"""`striate resume`: a run that was stopped goes on where its last checkpoint stands."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import InputError, require
from striate.models.run import CHECKPOINTS, RECIPE, LogFile, Run
from striate.observer import SILENT, Observer, Observers
from striate.training.recipe import read_recipe, read_source

if TYPE_CHECKING:
    from torch import nn

    from striate.training.resolved import Resolved


def resume(
    run: Run | str | Path,
    *,
    epochs: int | None = None,
    network: nn.Module | None = None,
    observer: Observer = SILENT,
) -> Run:
    """Go on with a run that was stopped, by the decisions in its `recipe.toml`.

    epochs: go on to so many in all, also after the end. network: your own module, where the run was trained
    on one. A run that was stopped before its first checkpoint starts again. Raises InputError where the
    folder holds no run, where there is nothing left to do, and where the pictures have changed.
    """
    from striate.actions.job import Job
    from striate.actions.work import carry_out
    from striate.data.sources import open_dataset
    from striate.training.resolved import Resolved

    started = time.monotonic()
    run = run if isinstance(run, Run) else Run(Path(run))
    if not os.path.isfile(run.folder / RECIPE):  # noqa: PTH113 - False for any name that cannot be one
        raise InputError(f"{run.folder}: no run to go on with (it has no {RECIPE}); striate runs lists those here")
    recipe, values = read_recipe(run.folder / RECIPE)
    source = read_source(run.folder / RECIPE)
    resolved = Resolved.from_mapping(values, str(run.folder / RECIPE)) if values else None
    further = False
    if epochs is not None:
        require(resolved is not None and resolved.method == "steps", f"{run}: there are no epochs to go on with")
        assert resolved is not None
        if epochs != resolved.epochs or _came_to_its_end(run, resolved):
            require(epochs > resolved.epochs, f"{run}: has {resolved.epochs} epochs; name more than that, got {epochs}")
            resolved = replace(resolved, epochs=epochs, plans=())
            further = True
    elif _came_to_its_end(run, resolved):
        raise InputError(f"{run}: came to its end; to train further, say how far: striate resume {run} --epochs N")
    stream = bool(recipe.stream) or (resolved is not None and resolved.buffer is not None)
    samples = open_dataset(source, labels=recipe.labels, root=recipe.root, stream=stream)
    watch = Observers(LogFile(run), observer)
    watch.say("resumed")
    job = Job(
        run=run,
        recipe=recipe,
        resolved=resolved,
        network=network,
        observer=watch,
        started=started,
        resuming=True,
        further=further,
    )
    try:
        carry_out(job, samples)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(str(run)) from stop
    return run


def _came_to_its_end(run: Run, resolved: Resolved | None) -> bool:
    """A finished run that was asked to go further, and was stopped on the way, has results but is not at its end."""
    from striate.training.checkpoint import read_progress
    from striate.training.loop import is_done

    last = run.folder / CHECKPOINTS / "last.safetensors"
    if not run.finished or resolved is None or resolved.method != "steps" or not last.is_file():
        return run.finished
    return is_done(read_progress(last), resolved)
