"""A training by steps, prepared: pictures decoded or streamed, network built, everything decided, the loop ready."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from striate.actions.agreement import decided_by_first
from striate.actions.batch_size import choose_batch_size
from striate.actions.building import (
    as_asked,
    ask_mirrors,
    chosen_network,
    fit_stem,
    network_and_input,
    network_for,
    with_colour_axes,
)
from striate.actions.choose import choose_step, laid_out
from striate.actions.first_look import known_size, usable_side
from striate.actions.job import Job, Machine, Material, fingerprint, require_same_pictures
from striate.actions.material import hold_back, validation_of
from striate.actions.streamed import Telling
from striate.actions.timing import Replanner, plan_for_time
from striate.data import kept
from striate.data.augmentation import Augmentation
from striate.data.batches import Batches
from striate.data.samples import TRAIN, VALIDATION, Samples
from striate.data.store import STORE_SHARE, StoreResult, build_store
from striate.data.streaming import Streamed, buffer_for, first_pictures
from striate.errors import require
from striate.machine.beside import made_on
from striate.machine.ranks import first_here, told
from striate.machine.threads import available_memory
from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.models.run_files import OWN_NETWORK, RECIPE
from striate.observer import Observers
from striate.tasks import task_named
from striate.tasks.regression import Regression
from striate.tasks.task import TableTask, TaskSettings
from striate.training.defaults import Facts, choose_augmentation, resolve_steps
from striate.training.loop import Loop
from striate.training.parallel import has_batch_norm, share_weights
from striate.training.planning import MOST_EPOCHS
from striate.training.recipe import Recipe
from striate.training.recipe_file import recipe_text
from striate.training.resolved import Resolved
from striate.training.schedules import require_watched
from striate.words import counted

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A training by steps with everything decided, before its first step."""

    loop: Loop
    material: Material
    streamed: Streamed | None
    reasons: tuple[str, ...]


def prepare(job: Job, samples: Samples, facts: Facts, machine: Machine, *, stream: bool) -> Prepared:
    """Decode once (or stream), fit the input, build the network, decide what is open. Writes nothing into the run."""
    recipe, observer, resolved = job.recipe, job.observer, job.resolved
    size, shrink = known_size(job, facts), usable_side(job, facts)
    scaled = recipe.augment.name != "none"
    reading = _training_pictures(job, samples, machine, shrink=shrink, scaled=scaled, stream=stream)
    store = reading.store
    require(len(store) > 0, f"{samples.source}: no training {samples.noun} can be read; striate inspect names them")
    pictures = len(samples.rows(TRAIN)) - len(reading.failures)
    facts = replace(facts, pictures=pictures, grey=bool((store.shapes[:, 2] == 1).all()))
    chosen = chosen_network(job, facts)
    network, spec, spec_words = network_and_input(job, chosen, samples, reading, size)
    observer.say(spec_words)
    if stream:
        observer.say(
            f"that, and all else that depends on pixels, was decided by the first {counted(len(store), samples.noun)}"
        )
    material = hold_back(job, samples, spec, reading, machine, stream=stream)
    require_same_pictures(job, material)
    used, train_rows = material.samples, material.samples.rows(TRAIN)
    mirrors_words = ""

    def decide(asked: Recipe) -> Resolved:
        decided = resolve_steps(
            asked,
            facts,
            spec,
            choose_augmentation(asked, facts, chosen.name, spec),
            network=OWN_NETWORK if job.network is not None else chosen.name,
            arguments=chosen.arguments,
            pretrained=chosen.pretrained,
            device=machine.device.partition(":")[0] if job.ranks.several else machine.device,
            precision=machine.precision,
            threads=machine.threads,
        )
        return replace(
            decided,
            allocator=machine.allocator,
            own_loss=job.own.loss is not None,
            reference=machine.reference,
            augment=told(job.ranks, with_colour_axes(decided.augment, store, spec.channels)),
        )

    if resolved is None:
        facts, mirrors_words = ask_mirrors(recipe, facts, spec, store, samples.targets[reading.rows])
        resolved = decide(recipe)
        if stream:
            resolved = replace(resolved, buffer=buffer_for(used, train_rows))
        resolved = replace(resolved, processes=job.ranks.count)
        observer.say(f"network: {resolved.network}{' (pretrained)' if chosen.pretrained else ''}, {chosen.why}")
    require_watched(resolved.schedule, held_back=VALIDATION in material.held_back)
    task, augmentation = task_of(used, recipe, resolved), Augmentation(**resolved.augment)
    if job.start is not None:
        observer.say(job.start.put_into(network, task))
    for note in as_asked(recipe, network):
        observer.say(note)
    streamed = None
    if resolved.buffer is not None:
        streamed = Streamed(
            used,
            train_rows,
            buffer=resolved.buffer,
            threads=machine.threads,
            like=tuple(store.shapes[0].tolist()) if store.uniform else None,
            shrink=shrink,
            scaled=scaled,
            strict=recipe.strict,
        )
        observer = Observers(observer, Telling(streamed, observer))
    seed, weights = resolved.seed, None if used.weights is None else used.weights[train_rows]
    classes = used.classes[train_rows] if resolved.balance else None
    accumulate = resolved.accumulate
    if classes is not None:
        share = counted(round(len(classes) / len(np.unique(classes))), samples.noun)
        observer.say(f"classes are drawn equally often: {share} of each an epoch, rare ones more than once")

    def batches_of(size: int) -> Batches:
        return Batches(
            store if streamed is None else streamed,
            task=task,
            frame=spec,
            batch_size=size * accumulate,
            seed=seed,
            augmentation=augmentation,
            weights=weights,
            classes=classes,
            turns=task.turns if isinstance(task, Regression) else None,
            # On a processor a step has all cores: a thread beside it makes both wait (LeNet-5 on digits, two cores:
            # 8.2 to 9.4 ms a step with it, 5.8 without; ResNet-18 at 128 pixels: no difference).
            ahead=machine.device != "cpu" or streamed is not None,
            # What is done to pictures there keeps values in [0, 255].
            device=None if samples.fields else made_on(machine.device),
            rank=job.ranks.rank,
            ranks=job.ranks.count,
        )

    if job.resolved is None and recipe.batch_size == "auto":
        batch_size = 0
        if job.ranks.first:
            found = choose_batch_size(
                network,
                spec,
                task,
                resolved,
                batches_of,
                pictures=facts.pictures,
                channels_last=job.network is None,
            )
            observer.say(found.words)
            batch_size = found.size
        decided = decide(replace(recipe, batch_size=told(job.ranks, batch_size)))
        resolved = replace(decided, buffer=resolved.buffer, processes=job.ranks.count)
    batches = batches_of(resolved.batch_size)
    replan: Callable[[Loop], None] | None = None
    if job.resolved is None:
        resolved = replace(resolved, steps=resolved.epochs * batches.steps_per_epoch, fingerprint=fingerprint(material))
    elif job.further:
        resolved = replace(resolved, steps=resolved.epochs * batches.steps_per_epoch)
    seconds = None if recipe.minutes is None else 60 * recipe.minutes
    resolved, words = choose_step(job, resolved, Model(network, spec, task, machine.device), batches, machine, seconds)
    observer.say(words)
    torch.set_num_threads(resolved.threads)
    if job.resolved is None and recipe.minutes is not None:
        resolved, network, replan = _plan_minutes(job, resolved, material, batches, spec, task, network)
    if job.resolved is None:
        resolved = decided_by_first(job.ranks, resolved)
    if recipe.from_run is None and recipe.weights is None:
        fit_stem(network, spec, store)
    model = laid_out(job, Model(network, spec, task, machine.device), resolved)
    observer.say(
        f"{counted(resolved.epochs, 'epoch')} of {counted(batches.steps_per_epoch, 'step')}, "
        f"{'batches' if accumulate == 1 else f'{accumulate} batches'} of {resolved.batch_size}, "
        f"{resolved.optimizer.name} at {resolved.learning_rate:.3g} ({resolved.schedule.name}), "
        f"varied by {augmentation.in_words()}{mirrors_words}"
    )
    if not resolved.reasons:
        resolved = replace(resolved, reasons=(spec_words, f"network: {resolved.network}, {chosen.why}"))
    if made_on(machine.device) is not None and augmentation.by_processor:
        observer.say(f"the processor makes the batches, for a GPU does no {' or '.join(augmentation.by_processor)}")
    share_weights(job.ranks, network)
    if job.ranks.several and has_batch_norm(network):
        observer.say(
            "batch norm: each process takes its statistics from its own part of a batch, about "
            f"{counted(resolved.batch_size // job.ranks.count, samples.noun)}, so the result is not quite that of one "
            "process; those of the first process answer"
        )
    loop = Loop(
        model,
        batches,
        validation_of(material),
        resolved,
        observer=observer,
        replan=replan,
        on_split=lambda loop: write_down(job, loop, material),
        keep_epochs=recipe.keep_epochs,
        ranks=job.ranks,
        own=job.own,
    )
    return Prepared(loop=loop, material=material, streamed=streamed, reasons=resolved.reasons)


def _training_pictures(
    job: Job, samples: Samples, machine: Machine, *, shrink: int | None, scaled: bool, stream: bool
) -> StoreResult:
    """All of the training pictures, decoded; of a stream the first ones, by which the rest is decided."""
    rows = samples.rows(TRAIN)
    if stream:
        return first_pictures(
            samples,
            rows,
            seed=job.recipe.seed,
            threads=machine.threads,
            shrink=shrink,
            scaled=scaled,
            observer=job.observer,
        )
    with first_here(job.ranks):  # what it decodes and keeps, the others of this machine find
        return build_store(
            samples,
            rows,
            threads=machine.threads,
            shrink=shrink,
            scaled=scaled,
            keep_from=kept.KEEP_FROM,
            observer=job.observer,
            # Each process of a machine holds all of them.
            room=int(available_memory() * STORE_SHARE / job.ranks.local_count) if job.ranks.several else None,
        )


def _plan_minutes(
    job: Job,
    resolved: Resolved,
    material: Material,
    batches: Batches,
    spec: InputSpec,
    task: TableTask,
    network: nn.Module,
) -> tuple[Resolved, nn.Module, Callable[[Loop], None]]:
    """The plan for the time, the network of the width that was planned, and what plans the rest anew."""

    def build(arguments: dict[str, Any]) -> nn.Module:
        if job.network is not None:
            return copy.deepcopy(job.network)
        built = network_for(job, resolved.network, task.num_outputs, spec, resolved.pretrained, arguments).network
        as_asked(job.recipe, built)
        return built

    if not job.ranks.first:
        planned = decided_by_first(job.ranks, resolved)
        return planned, build(planned.arguments), _followed(job)
    planned, time_plan = plan_for_time(job, resolved, material, batches, spec, task, build)
    planned = decided_by_first(job.ranks, planned)
    if planned.arguments != resolved.arguments:
        network = build(planned.arguments)
    most = MOST_EPOCHS.get(planned.network, math.inf) * batches.steps_per_epoch

    replan = Replanner(job, time_plan.reserve, most, lambda loop: write_down(job, loop, material))
    return planned, network, _followed(job, replan)


def _followed(job: Job, replan: Callable[[Loop], None] | None = None) -> Callable[[Loop], None]:
    """`replan` on the first rank, whose plans all of them then follow."""

    def follow(loop: Loop) -> None:
        if replan is not None:
            replan(loop)
        loop.progress.plans = told(job.ranks, loop.progress.plans)

    return follow


def write_down(job: Job, loop: Loop, material: Material) -> None:
    """What was asked and what is decided by now, before it takes effect."""
    job.run.write(RECIPE, recipe_text(job.recipe, loop.decided().to_mapping(), material.samples.source))


def task_of(samples: Samples, recipe: Recipe, settings: Resolved | Recipe) -> TableTask:
    """The task, made for and bound to the targets of the training pictures. Raises InputError.

    settings: what says how targets are smoothed and weighed.
    """
    asked = TaskSettings(
        label_smoothing=settings.label_smoothing or 0.0,
        class_weights=settings.class_weights,
        loss=settings.loss,
        angles=recipe.angle_names,
        noun=samples.noun,
    )
    return task_named(samples.task).load().made_for(samples.class_names, samples.targets[samples.rows(TRAIN)], asked)
