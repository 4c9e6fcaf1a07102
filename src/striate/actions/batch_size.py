"""`--batch-size auto`: the batch is doubled while that makes training faster and memory lasts.

Measured on real batches of the run itself, from the size that the network's defaults name. Larger batches take fewer
steps an epoch, so it ends where an epoch would have fewer than FEWEST_STEPS.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import nn

from striate.data.batches import Batches
from striate.machine.memory import is_out_of_memory, resident_memory
from striate.machine.threads import available_memory
from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.tasks.task import Task
from striate.training.loop import Loop
from striate.training.resolved import Resolved

WARM_UP, MEASURED = 1, 3  # steps
GAIN = 1.05  # what a doubling must bring, in pictures a second
FEWEST_STEPS = 20  # of an epoch
LARGEST = 65_536
# Of the memory that is free; the rest is for what comes to life later (validation, the report).
MEMORY_SHARE = 0.8


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """The size that was chosen, and why, as a clause for the log."""

    size: int
    words: str


def choose_batch_size(
    network: nn.Module,
    spec: InputSpec,
    task: Task,
    resolved: Resolved,
    batches_of: Callable[[int], Batches],
    *,
    pictures: int,
    channels_last: bool,
) -> BatchSize:
    """The largest batch that still makes training faster, from `resolved.batch_size` on.

    batches_of: (size) -> batches of that size. pictures: of training. `network` is left as it was. Raises InputError
    where not even one picture fits into memory.
    """
    size = chosen = resolved.batch_size
    best, measured = 0.0, []
    while True:
        before = resident_memory()
        speed = _speed(network, spec, task, replace(resolved, batch_size=size), batches_of(size), channels_last)
        if speed is None:
            why = f"{size:,} at once do not fit into memory"
            break
        measured.append(f"{size:,} ({speed:,.0f} a second)")
        if speed < GAIN * best:
            why = "larger ones are not faster"
            break
        chosen, best = size, speed
        if 2 * size > min(LARGEST, pictures // FEWEST_STEPS):
            why = "larger ones would leave too few steps an epoch"
            break
        # A batch of twice the size takes about as much again. The system promises more than it has, and ends the
        # process that asks for what was promised: such a size is not tried.
        if resolved.device == "cpu" and resident_memory() - before > MEMORY_SHARE * available_memory():
            why = "larger ones would not fit into memory"
            break
        size *= 2
    words = f"batches of {chosen:,}" + (f" of those measured: {', '.join(measured)}" if measured else "")
    return BatchSize(size=chosen, words=f"{words}; {why}")


def _speed(
    network: nn.Module, spec: InputSpec, task: Task, resolved: Resolved, batches: Batches, channels_last: bool
) -> float | None:
    """Pictures a second of the quickest of some steps on a copy of the network; None where a batch does not fit."""
    copied = copy.deepcopy(network).to(resolved.device)
    if channels_last:
        copied = copied.to(memory_format=torch.channels_last)
    model = Model(copied, spec, task, resolved.device, channels_last=channels_last)
    # The rate changes no time; at a tiny one nothing can diverge.
    loop = Loop(model, batches, None, replace(resolved, learning_rate=1e-12))
    copied.train()
    times: list[float] = []
    try:
        with torch.random.fork_rng(devices=[]), closing(batches.epoch(0)) as epoch:
            for number, batch in enumerate(islice(epoch, WARM_UP + MEASURED)):
                began = time.monotonic()
                float(loop.step(batch))  # to read it is to wait for the device
                if loop.splits:
                    return None
                if number >= WARM_UP or batches.steps_per_epoch == 1:
                    times.append(time.monotonic() - began)
    except (RuntimeError, MemoryError) as error:  # putting a batch together takes memory too
        if not is_out_of_memory(error):
            raise
        return None
    return resolved.batch_size / min(times)
