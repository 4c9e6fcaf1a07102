"""The way from samples to a trained model, shared by `train` and `resume`: what is there, which way, the results."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from striate.actions.asked_parts import require_parts
from striate.actions.choose import is_reference, machine_for
from striate.actions.few import can_fit_head_on, train_frozen
from striate.actions.first_look import decoded_bytes, first_look, usable_side
from striate.actions.job import Job, Machine, Material, Trained, require_classes
from striate.actions.material import validation_of
from striate.actions.results import write_results
from striate.actions.rows import check_settings
from striate.actions.run_source import divided
from striate.actions.steps import Prepared, prepare, task_of, write_down
from striate.actions.streamed import asked_to_stream, must_stream, without_failures
from striate.data.samples import CLASSIFICATION, TRAIN, VALIDATION, Samples
from striate.errors import require
from striate.machine.precision import reference_computing
from striate.machine.ranks import gathered, told
from striate.machine.threads import with_threads
from striate.models.model import Model
from striate.models.run_files import CHECKPOINTS
from striate.tasks.task import TableTask
from striate.training.checkpoint import latest
from striate.training.defaults import PRETRAINED, Facts, choose_network
from striate.training.parallel import share_weights, shared_rows
from striate.training.resolved import Resolved
from striate.words import counted


@with_threads()
def carry_out(job: Job, samples: Samples) -> None:
    """Train as the job says and write everything into its run."""
    job = _for_these_ranks(job)
    with reference_computing(is_reference(job)):
        samples, facts, machine, frozen, stream = _first_decisions(job, samples)
        if frozen:
            trained = train_frozen(job, samples, facts, machine)
        else:
            trained = train_by_steps(job, samples, facts, machine, stream=stream)
        write_results(job, trained)


def prepare_by_steps(job: Job, samples: Samples) -> Prepared:
    """A training by steps as the job says, before its first step. Writes nothing."""
    samples, facts, machine, _, stream = _first_decisions(job, samples)
    return prepare(job, samples, facts, machine, stream=stream)


def _first_decisions(job: Job, samples: Samples) -> tuple[Samples, Facts, Machine, bool, bool]:
    """The samples with their splits, what is known of them, the machine, whether the network stays as it is, and
    whether the training pictures are streamed."""
    machine = machine_for(job)
    recipe, say, ranks = job.recipe, job.observer.say, job.ranks
    torch.set_num_threads(machine.threads)
    say(samples.how)
    for doubt in samples.doubts:
        job.observer.warn(doubt)
    check_settings(recipe, samples, job.start)
    samples, division = divided(samples, recipe)
    for words in division:
        say(words)
    require(len(samples.rows(TRAIN)) > 0, f"{samples.source}: there are no training {samples.noun}s")
    require(
        ranks.count <= len(samples.rows(TRAIN)),
        f"{samples.source}: {ranks.count} processes cannot share {len(samples.rows(TRAIN))} training {samples.noun}s; "
        f"start {len(samples.rows(TRAIN))} at most",
    )
    require_classes(samples)
    task_of(samples, recipe, recipe)  # raises what it cannot be made for
    asked = asked_to_stream(job, samples)
    longer_side, grey, sides = first_look(job, samples, forward=asked is not None and asked[0])
    facts = Facts(
        pictures=len(samples.rows(TRAIN)),
        classes=len(samples.class_names),
        smallest_class=_smallest_class(samples),
        longer_side=longer_side,
        aspect=float(np.median(sides[:, 1] / sides[:, 0])),
        grey=grey,
        task=samples.task,
        turning=set(recipe.angle_names) == set(samples.class_names),
        fields=len(samples.fields),
    )
    picture_bytes = decoded_bytes(sides, usable_side(job, facts), grey=grey)
    # Memory and disk are those of each machine: the first decides.
    stream, why_stream = told(ranks, asked or must_stream(samples, picture_bytes, ranks.local_count))
    if stream:
        say(f"the training pictures are streamed ({why_stream})")
    name, pretrained, _ = choose_network(recipe, facts)
    frozen = (
        job.network is None and name == PRETRAINED and pretrained and recipe.epochs is None and recipe.weights is None
    )
    if job.start is not None:
        frozen = recipe.epochs is None and can_fit_head_on(job.start)
    frozen = frozen and not stream and job.own.loss is None
    if job.resolved is not None:
        frozen = job.resolved.method == "frozen"
    require_parts(job, samples, stream=stream)
    how = " in float32 (features are answers)" if frozen else ""
    say(f"working on {machine.device} with {'' if frozen else 'up to '}{counted(machine.threads, 'thread')}{how}")
    if ranks.several:
        say(
            f"{ranks.count} processes share the work, {ranks.local_count} of them on this machine; the first one speaks"
        )
    return samples, facts, machine, frozen, stream


def _smallest_class(samples: Samples) -> int:
    rows = samples.rows(TRAIN)
    if samples.task != CLASSIFICATION:
        return len(rows)
    return int(np.bincount(samples.classes[rows], minlength=len(samples.class_names)).min())


def train_by_steps(job: Job, samples: Samples, facts: Facts, machine: Machine, *, stream: bool) -> Trained:
    """Prepare, then run the loop from wherever its last checkpoint stands."""
    began = time.monotonic()
    prepared = prepare(job, samples, facts, machine, stream=stream)
    loop, material = prepared.loop, prepared.material
    if job.resuming:
        # Before anything of the run is changed: a checkpoint that cannot be read leaves it as it is.
        loop.checkpoints = job.run.folder / CHECKPOINTS
        if told(job.ranks, latest(loop.checkpoints) is not None):
            loop.restore()
            gathered(job.ranks, None)  # nothing is written there before all have read it
            job.observer.say(f"going on after step {loop.progress.step:,} of {loop.total_steps:,}")
        else:
            job.observer.say("there is no checkpoint yet: from the beginning")
    write_down(job, loop, material)
    loop.checkpoints = job.run.checkpoints()
    reading_seconds, began = time.monotonic() - began, time.monotonic()
    progress, resolved = loop.run(), loop.decided()
    share_weights(job.ranks, loop.network)
    if prepared.streamed is not None:
        # Each has met those of its own shards.
        unread = [pair for some in gathered(job.ranks, list(progress.unread.items())) for pair in some]
        material = without_failures(material, {int(row): reason for row, reason in unread})
    model, scores = _calibrated(job, loop.model, material)
    return Trained(
        model=model,
        scores=scores,
        resolved=resolved,
        material=material,
        history=progress.history,
        best_epoch=progress.best_epoch + 1 if progress.best_epoch >= 0 else None,
        weights_words=_weights_words(resolved, progress.best_epoch, loop.model.task.monitor),
        reasons=prepared.reasons,
        seconds={"reading": reading_seconds, "training": time.monotonic() - began},
    )


def _for_these_ranks(job: Job) -> Job:
    """The job with what was resolved for another number of processes adapted to this one, which is said."""
    before, now = job.resolved, job.ranks.count
    if before is None or before.processes == now:
        return job
    job.observer.say(
        f"begun by {counted(before.processes, 'process', 'processes')}, goes on with {now}: the same draws, sums in "
        "another order, so no longer bit for bit"
    )
    return replace(job, resolved=replace(before, processes=now))


def _calibrated(job: Job, model: Model, material: Material) -> tuple[Model, dict[str, torch.Tensor]]:
    """The model whose answers fit the validation pictures best, which class or label is the likeliest stays the same;
    and the scores of the splits that it has looked at."""
    validation = validation_of(material)
    if validation is None or not isinstance(model.task, TableTask):
        return model, {}
    scores = shared_rows(job.ranks, validation.pictures, lambda part: model.outputs(part, model.network))
    answers = model.task.decode(scores).numpy()
    return replace(model, task=model.task.calibrated(answers, validation.targets)), {VALIDATION: scores}


def _weights_words(resolved: Resolved, best_epoch: int, monitor: str) -> str:
    averaged = "averaged over steps" if resolved.averaging else "as trained"
    if resolved.swa is not None and (best_epoch < 0 or best_epoch + 1 > resolved.epochs * (1 - resolved.swa)):
        averaged = "averaged over the last epochs"
    if best_epoch < 0:
        return f"{averaged}, of the last step (nothing was held back for validation)"
    return f"{averaged}, of epoch {best_epoch + 1}, the best by validation {monitor.replace('_', ' ')}"
