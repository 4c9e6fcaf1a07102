"""Measuring this machine for `--minutes`: how fast a network trains and answers, and the plan that follows."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from striate.actions.choose import laid_out
from striate.data.batches import Batches
from striate.data.samples import TEST, TRAIN, VALIDATION
from striate.models.model import Model
from striate.training.defaults import clip_of_few
from striate.training.loop import Loop
from striate.training.planning import FEWEST_EPOCHS, MOST_EPOCHS, Speed, TimePlan, choose_width, plan_steps, steps_anew
from striate.training.resolved import Resolved

if TYPE_CHECKING:
    from torch import nn

    from striate.actions.job import Job, Material
    from striate.models.input_spec import InputSpec
    from striate.tasks.task import Task

WARM_UP, MOST_MEASURED = 2, 8
MEASURING_SHARE = 0.02  # of the time, for each network that is measured
ANSWERED = 256
LATE = 0.005  # of the whole time: what is left for the process to end


def measure(model: Model, batches: Batches, resolved: Resolved, material: Material, seconds: float) -> Speed:
    """Seconds of a step on real batches and of an answer. The network is used up by it.

    The quickest of some steps: what another program takes for a moment would be planned for the whole run, and what
    it takes for longer is noticed when the rest is planned anew.
    """
    loop = Loop(model, batches, None, resolved)
    model.network.train()
    times: list[float] = []
    began = time.monotonic()
    with closing(batches.epoch(0)) as epoch:
        for number, batch in enumerate(epoch):
            start = time.monotonic()
            loop.step(batch)
            if number >= WARM_UP:
                times.append(time.monotonic() - start)
            if len(times) >= MOST_MEASURED or (times and time.monotonic() - began > seconds):
                break
    pictures = next(iter(material.held_back.values()), None)
    if pictures is None:
        side = (model.input_spec.channels, model.input_spec.height, model.input_spec.width)
        pictures = torch.zeros((ANSWERED, *side), dtype=torch.uint8)
    some = pictures[:ANSWERED]
    model.answer(some[:1])
    start = time.monotonic()
    model.answer(some)
    answer = (time.monotonic() - start) / len(some)
    return Speed(step=min(times, default=time.monotonic() - began), answer=answer)


def plan_for_time(
    job: Job,
    resolved: Resolved,
    material: Material,
    batches: Batches,
    spec: InputSpec,
    task: Task,
    build: Callable[[dict[str, Any]], nn.Module],
) -> tuple[Resolved, TimePlan]:
    """The width that this machine can train in the time, and how many steps of it. What was measured is said."""
    minutes = job.recipe.minutes
    assert minutes is not None
    whole, counts = 60 * minutes, {name: len(material.samples.rows(name)) for name in (TRAIN, VALIDATION, TEST)}

    def left() -> float:
        return whole * (1 - LATE) - (time.monotonic() - job.started)

    def plan(speed: Speed) -> TimePlan:
        return plan_steps(
            speed,
            seconds=left(),
            steps_per_epoch=batches.steps_per_epoch,
            validation=counts[VALIDATION],
            test=counts[TEST],
            training=counts[TRAIN],
        )

    def speed_of(arguments: dict[str, Any]) -> Speed:
        model = laid_out(job, Model(build(arguments), spec, task, resolved.device), resolved)
        return measure(model, batches, resolved, material, MEASURING_SHARE * whole)

    arguments = dict(resolved.arguments)
    fixed = "width" in arguments or job.start is not None
    if resolved.network in FEWEST_EPOCHS and not fixed:
        speeds: dict[int, Speed] = {}
        for width in sorted(FEWEST_EPOCHS[resolved.network]):
            speeds[width] = speed_of({**arguments, "width": width})
            epochs = {each: plan(speed).steps / batches.steps_per_epoch for each, speed in speeds.items()}
            if epochs[width] < FEWEST_EPOCHS[resolved.network][width]:
                break  # a wider one is slower still
        width = choose_width(resolved.network, epochs)
        arguments["width"], speed = width, speeds[width]
    else:
        speed = speed_of(arguments)
    planned = plan(speed)
    most = MOST_EPOCHS.get(resolved.network)
    early = most is not None and planned.steps > int(most * batches.steps_per_epoch)
    if most is not None:
        planned = replace(planned, steps=min(planned.steps, int(most * batches.steps_per_epoch)))
    epochs_planned = planned.steps / batches.steps_per_epoch
    per_second = resolved.pictures_a_step / speed.step
    job.observer.say(
        f"{minutes:g} minutes: "
        + (f"width {arguments['width']}, " if "width" in arguments else "")
        + f"{per_second:,.0f} {material.samples.noun}s a second measured, so {epochs_planned:.1f} epochs"
        + (f", the most that {resolved.network} is given: the time will not be used up" if early else "")
        + f"; {planned.reserve:.0f} s are kept for the results"
    )
    clip = clip_of_few(resolved.network, resolved.optimizer.name, epochs_planned * counts[TRAIN], resolved.batch_size)
    return (
        replace(
            resolved,
            clip=resolved.clip or clip,
            arguments=arguments,
            steps=planned.steps,
            epochs=max(1, int(np.ceil(epochs_planned))),
            validate_every=planned.validate_every,
        ),
        planned,
    )


class Replanner:
    """Called by the loop after each epoch: plans the rest anew where the machine is faster or slower than measured."""

    def __init__(self, job: Job, reserve: float, most_steps: float, write: Callable[[Loop], None]) -> None:
        minutes = job.recipe.minutes
        assert minutes is not None
        self.deadline = job.started + 60 * minutes * (1 - LATE) - reserve
        self.most_steps, self.write = most_steps, write
        self.since = (0, 0.0)  # step and second of the training when it was last looked at

    def __call__(self, loop: Loop) -> None:
        """Give the loop a new number of steps, and write it down before it takes effect."""
        progress = loop.progress
        step, second = self.since
        self.since = (progress.step, progress.seconds)
        total = steps_anew(
            step=progress.step,
            total=loop.total_steps,
            seconds_since=progress.seconds - second,
            steps_since=progress.step - step,
            seconds_left=self.deadline - time.monotonic(),
        )
        if total is not None and min(total, self.most_steps) != loop.total_steps:
            loop.plan_anew(int(min(total, self.most_steps)))
            self.write(loop)
