"""`striate train SOURCE --find-rate`: which learning rate suits, by some hundred steps in which it rises.

Everything is prepared as for a training by steps, and nothing of it is kept but a page.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.actions.places import page_place, source_name
from striate.actions.train import as_recipe, check_early, own_network, start_of
from striate.errors import InputError, require
from striate.observer import SILENT, Observer
from striate.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from striate.data.batches import Batch, Batches
    from striate.training.loop import Loop
    from striate.training.range_test import RateTest


def find_rate(
    source: Any,
    *,
    out: str | Path | None = None,
    recipe: Recipe | str | Path | None = None,
    network: str | nn.Module | None = None,
    observer: Observer = SILENT,
    **settings: Any,
) -> RateTest:
    """Let the learning rate rise through a hundred steps of a training, and more where it has to wait for the loss to
    come down again, and say which rate suits.

    source, recipe, network, settings: as for `striate.train`, of which this is the beginning; a module of your own is
    trained a little by it. The page goes to `out` (a file; a page of ours that lies there is replaced, anything else
    refused); None: `rate-<name>.html` in the current folder, with a number where that name is taken. No run is made.

    Raises InputError for what cannot be used, as `striate.train` does, and for optimizers that search their own step.
    """
    import torch

    from striate.actions.job import Job
    from striate.actions.run_source import open_asked
    from striate.actions.work import prepare_by_steps
    from striate.machine.files import write_atomically
    from striate.machine.ranks import processes_for, ranks_here
    from striate.models.claim import check_outside
    from striate.models.run import Run
    from striate.reports.rate import rate_page

    asked, _, _ = as_recipe(recipe, network if isinstance(network, str) else None, settings)
    require(
        asked.optimizer.name != "lbfgs", "optimizer lbfgs searches the length of its steps, so no rate is to be found"
    )
    require(processes_for(asked.processes, asked.device, ranks_here()) == 1, "a rate is found by one process alone")
    own = own_network(network)
    place = page_place(out, name=f"rate-{source_name(source)}", command="train --find-rate")
    if isinstance(source, (str, Path)):
        check_outside(place, str(source), "the page would lie")
    check_early(asked)
    start = start_of(asked, own, None)
    # By steps, whatever a whole training would do, and as long as it takes.
    asked = replace(asked, minutes=None, epochs=asked.epochs or 1)
    samples = open_asked(source, asked, stream=bool(asked.stream))
    threads = torch.get_num_threads()
    try:
        job = Job(
            run=Run("no run"),  # nothing is written there
            recipe=asked,
            resolved=None,
            network=own,
            observer=observer,
            started=time.monotonic(),
            start=start,
        )
        loop = prepare_by_steps(job, samples).loop
        loop.on_split = None
        found = risen(loop, observer)
    finally:
        torch.set_num_threads(threads)
    plan = loop.plan
    found = replace(
        found,
        network=plan.network,
        optimizer=str(plan.optimizer.name),
        batch_size=plan.pictures_a_step,
        chosen=plan.learning_rate,
    )
    write_atomically(place, rate_page(found, samples.source))
    observer.say(f"page: {place}")
    return found


def risen(loop: Loop, observer: Observer = SILENT) -> RateTest:
    """The test on a loop that stands at its beginning, whose network it trains.

    Raises InputError where already the first loss is no number.
    """
    import torch

    from striate.training.diverged import Diverged
    from striate.training.optimizers import set_rate
    from striate.training.range_test import STEPS, Ramp, told_by

    ramp = Ramp()
    loop.network.train()
    with torch.random.fork_rng(devices=[]), closing(_endless(loop.batches)) as batches:
        for step, batch in enumerate(batches):
            set_rate(loop.optimizer, ramp.rate)
            loop.progress.step = step
            try:
                ramp.took(float(loop.step(batch)))
            except Diverged:
                ramp.took(math.nan)
            observer.progress("finding the rate", ramp.place, STEPS)
            if ramp.over:
                break
    if not ramp.losses:
        raise InputError("the loss of the first step is no number, so no rate can be found; try --precision float32")
    return told_by(ramp)


def _endless(batches: Batches) -> Generator[Batch, None, None]:
    """Epoch after epoch."""
    epoch = 0
    while True:
        with closing(batches.epoch(epoch)) as some:
            yield from some
        epoch += 1
