"""How a training step is computed on this machine: number format, layout, threads, compiled or not.

What a flag fixes is fixed. The rest is decided by rule, or for runs that are long enough by measuring: a few steps of
a copy of the network on a real batch, one thing changed at a time, in turns of the one way and the other. It is
decided once for a network and a machine and then remembered. Nothing here changes the network, its weights or any
random number, so a run depends on what was chosen and not on how.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import torch

from striate.actions import measured_steps
from striate.actions.job import Job, Machine
from striate.data.batches import Batches
from striate.errors import InputError
from striate.machine.allocator import pick_allocator, use_allocator
from striate.machine.choices import Choice, Wanted, alternatives, choice_by_rule, question, recall, remember
from striate.machine.devices import pick_device
from striate.machine.precision import CHANNELS_LAST, memory_format, pick_precision
from striate.machine.ranks import placed, told
from striate.machine.threads import available_memory, usable_cores
from striate.models.model import Model
from striate.taps.multiply_adds import multiply_adds
from striate.training.recipe import REFERENCE, Recipe
from striate.training.resolved import Resolved


def machine_for(job: Job) -> Machine:
    """Device, threads, precision, layout and allocator as asked, as resolved before, or by rule.

    The allocator is told here, since it holds for the whole process.
    """
    recipe, resolved = job.recipe, job.resolved
    if resolved is not None:
        use_allocator(resolved.allocator)
        return Machine(
            device=placed(job.ranks, pick_device(resolved.device)),
            threads=resolved.threads,
            precision=resolved.precision,
            layout=resolved.layout,
            allocator=resolved.allocator,
            reference=resolved.reference,
        )
    wanted = wanted_by(recipe)
    device = placed(job.ranks, pick_device(recipe.device))
    # Machines differ, and ranks must not.
    precision: str = told(job.ranks, pick_precision(wanted.precision or "auto", device)[0])
    allocator = pick_allocator(REFERENCE["allocator"] if recipe.reference else recipe.allocator, available_memory())
    use_allocator(allocator)
    return Machine(
        device=device,
        threads=wanted.threads or max(1, usable_cores() // job.ranks.local_count),
        precision=precision,
        layout=wanted.layout or CHANNELS_LAST,
        allocator=allocator,
        reference=recipe.reference,
    )


def is_reference(job: Job) -> bool:
    """Whether the job is to be computed as `--reference` says."""
    return job.recipe.reference if job.resolved is None else job.resolved.reference


def wanted_by(recipe: Recipe) -> Wanted:
    """What the recipe fixes of it; L-BFGS, which compares losses to the last digit, fixes the number format."""
    if recipe.reference:
        return Wanted(
            precision=REFERENCE["precision"],
            layout=REFERENCE["layout"],
            # Sums are divided among the threads: one fixed number of them.
            threads=recipe.threads or 1,
            compile=False,
        )
    precision = "float32" if recipe.optimizer.name == "lbfgs" else recipe.precision
    return Wanted(
        precision=None if precision == "auto" else precision,
        layout=None if recipe.layout == "auto" else recipe.layout,
        threads=recipe.threads,
        compile=recipe.compile,
    )


def choose_step(
    job: Job, resolved: Resolved, model: Model, batches: Batches, machine: Machine, seconds: float | None = None
) -> tuple[Resolved, str]:
    """`resolved` with what was chosen, and a line for the log: what, and why.

    model: around the network that is to be trained, which is left as it is. seconds: of the whole run where they are
    known; otherwise they are those of `resolved.steps`.
    """
    if job.resolved is not None:
        return _decided(resolved, _choice_of(resolved), "as resolved before")
    wanted, device, cores = wanted_by(job.recipe), machine.device, machine.threads
    if model.input_spec.fields is not None and wanted.precision is None:
        wanted = replace(wanted, precision="float32")  # rows of numbers: nothing is gained by fewer digits
    ours = job.network is None
    step = None
    if ours:
        spec = model.input_spec
        one = torch.zeros(1, spec.channels, spec.height, spec.width)
        step = multiply_adds(model.network, one) * resolved.batch_size / job.ranks.count
    rule = choice_by_rule(wanted, device, cores, ours=ours, step=step)
    others = alternatives(rule, wanted, device, cores, ours=ours)
    if machine.reference:
        return _decided(resolved, rule, "reference")
    if not wanted.open:
        return _decided(resolved, rule, "as asked")
    # Of what a rule decides, the number format is what a person asks about.
    why = "" if wanted.precision else f"{pick_precision('auto', device)[1]}; "
    if not ours:
        # Its forward pass may do more than compute, so it is not run before its training.
        return _decided(resolved, rule, f"{why}a network of your own is not measured")
    if job.ranks.several:
        return _decided(resolved, rule, f"{why}not measured where processes share the machine")
    if seconds is not None and seconds < measured_steps.LEAST_RUN:
        return _decided(resolved, rule, f"{why}not measured, the run is short")
    asked = question(
        device,
        cores,
        wanted,
        name=resolved.network,
        arguments=resolved.arguments,
        pictures=[resolved.batch_size, resolved.channels, resolved.height, resolved.width],
        optimizer=resolved.optimizer.name,
        averaged=resolved.averaging > 0,
    )
    try:
        known = recall(asked, wanted)
    except InputError:
        known = None  # there is no cache folder: it is said below, where nothing can be kept either
    if known is not None:
        return _decided(resolved, known, "remembered from an earlier measurement")

    found = measured_steps.measured(
        model, batches, resolved, rule, others, seconds=seconds, may_compile="compile" in wanted.open
    )
    if found.choice is None:
        return _decided(resolved, rule, f"{why}{found.words}")
    words = found.words
    if found.steady:
        try:
            remember(asked, found.choice)
        except InputError as error:
            words += f"; it cannot be remembered: {error}"
    return _decided(resolved, found.choice, words)


def laid_out(job: Job, model: Model, resolved: Resolved) -> Model:
    """The model on its device, with its network and its pictures in the layout that was chosen.

    A network of the user's own may look at its memory (`view`): it is left alone unless channels-last was asked for.
    """
    channels_last = resolved.layout == CHANNELS_LAST
    network = model.network.to(model.device)
    if job.network is None or channels_last:
        network = network.to(memory_format=memory_format(resolved.layout))
    return replace(model, network=network, channels_last=channels_last)


def _choice_of(resolved: Resolved) -> Choice:
    return Choice(
        precision=resolved.precision, layout=resolved.layout, threads=resolved.threads, compile=resolved.compile
    )


def _decided(resolved: Resolved, choice: Choice, why: str) -> tuple[Resolved, str]:
    return replace(resolved, **asdict(choice)), f"steps in {choice.words()} ({why})"
