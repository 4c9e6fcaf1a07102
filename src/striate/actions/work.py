"""The way from samples to a trained model, shared by `train` and `resume`: what is there, what is decided, the loop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from striate.actions.batch_size import choose_batch_size
from striate.actions.choose import choose_step, is_reference, laid_out, machine_for
from striate.actions.few import can_fit_head_on, train_frozen
from striate.actions.job import (
    Job,
    Machine,
    Material,
    Trained,
    fingerprint,
    report_left_out,
    require_classes,
    require_same_pictures,
)
from striate.actions.results import write_results
from striate.actions.streamed import Telling, asked_to_stream, identities, must_stream, prepare_split, without_failures
from striate.actions.timing import Replanner, plan_for_time
from striate.data import kept
from striate.data.augment import Augmentation
from striate.data.batches import Batches
from striate.data.decode import probe
from striate.data.mirrors import mirror_evidence, sample_rows
from striate.data.pixel_store import PixelStore
from striate.data.reading import decoded
from striate.data.samples import TEST, TRAIN, VALIDATION, Samples
from striate.data.sources.listing import counted
from striate.data.splits import assign_splits
from striate.data.store import STORE_SHARE, StoreResult, build_store
from striate.data.streaming import Streamed, buffer_for, first_pictures, first_rows, in_turn
from striate.errors import InputError, require
from striate.machine.precision import reference_computing
from striate.machine.ranks import first_here, gathered, told
from striate.machine.threads import available_memory
from striate.models.input_spec import InputSpec, fit_input_spec
from striate.models.model import Model, PreparedLike
from striate.models.run import OWN_NETWORK, RECIPE
from striate.networks import BuiltNetwork, InputDefaults, build_network, own_input
from striate.networks.small_resnet import SmallResNet
from striate.observer import Observers
from striate.tasks.classification import Classification
from striate.training.checkpoint import latest
from striate.training.defaults import (
    PRETRAINED,
    SMALL_SIDE,
    Facts,
    choose_augmentation,
    choose_network,
    resolve_steps,
)
from striate.training.loop import Loop, Validation
from striate.training.parallel import has_batch_norm, share_weights, shared_rows
from striate.training.planning import MOST_EPOCHS, width_for
from striate.training.recipe import Recipe, recipe_text
from striate.training.resolved import Resolved

if TYPE_CHECKING:
    from torch import nn


# Side of the input for photographs and a network that starts from nothing.
SIDE_FROM_NOTHING = 128
STEM_PICTURES = 2000
LOOKED_AT = 32  # pictures that are decoded to see whether they are grey
PROBED = 200  # pictures whose headers tell how large pictures are


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
    return _prepared(job, samples, facts, machine, stream=stream)


def _first_decisions(job: Job, samples: Samples) -> tuple[Samples, Facts, Machine, bool, bool]:
    """The samples with their splits, what is known of them, the machine, whether the network stays as it is, and
    whether the training pictures are streamed."""
    machine = machine_for(job)
    recipe, say, ranks = job.recipe, job.observer.say, job.ranks
    torch.set_num_threads(machine.threads)
    say(samples.how)
    for doubt in samples.doubts:
        job.observer.warn(doubt)
    samples, split_words = assign_splits(samples, seed=recipe.seed)
    say(split_words)
    require(len(samples.rows(TRAIN)) > 0, f"{samples.source}: there are no training pictures")
    require(
        ranks.count <= len(samples.rows(TRAIN)),
        f"{samples.source}: {ranks.count} processes cannot share {len(samples.rows(TRAIN))} training pictures; "
        f"start {len(samples.rows(TRAIN))} at most",
    )
    asked = asked_to_stream(job, samples)
    longer_side, grey, sides = _first_look(job, samples, forward=asked is not None and asked[0])
    facts = Facts(
        pictures=len(samples.rows(TRAIN)),
        classes=len(samples.class_names),
        smallest_class=int(np.bincount(samples.targets[samples.rows(TRAIN)], minlength=len(samples.class_names)).min()),
        longer_side=longer_side,
        grey=grey,
    )
    picture_bytes = _decoded_bytes(sides, _shrink(job, facts), grey=grey)
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
    frozen = frozen and not stream
    if job.resolved is not None:
        frozen = job.resolved.method == "frozen"
    how = " in float32 (features are answers)" if frozen else ""
    say(f"working on {machine.device} with {'' if frozen else 'up to '}{counted(machine.threads, 'thread')}{how}")
    if ranks.several:
        say(
            f"{ranks.count} processes share the work, {ranks.local_count} of them on this machine; the first one speaks"
        )
    return samples, facts, machine, frozen, stream


def train_by_steps(job: Job, samples: Samples, facts: Facts, machine: Machine, *, stream: bool) -> Trained:
    """Prepare, then run the loop from wherever its last checkpoint stands."""
    began = time.monotonic()
    prepared = _prepared(job, samples, facts, machine, stream=stream)
    loop, material = prepared.loop, prepared.material
    _write_down(job, loop, material)
    loop.checkpoints = job.run.checkpoints()
    if job.resuming and told(job.ranks, latest(loop.checkpoints) is not None):
        loop.restore()
        gathered(job.ranks, None)  # nothing is written there before all have read it
        job.observer.say(f"going on after step {loop.progress.step:,} of {loop.total_steps:,}")
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
        described={"name": resolved.network, "arguments": resolved.arguments},
        resolved=resolved,
        material=material,
        history=progress.history,
        best_epoch=progress.best_epoch + 1 if progress.best_epoch >= 0 else None,
        weights_words=_weights_words(resolved, progress.best_epoch, loop.model.task.monitor),
        reasons=prepared.reasons,
        seconds={"reading": reading_seconds, "training": time.monotonic() - began},
    )


def _write_down(job: Job, loop: Loop, material: Material) -> None:
    """What was asked and what is decided by now, before it takes effect."""
    job.run.write(RECIPE, recipe_text(job.recipe, loop.decided().to_mapping(), material.samples.source))


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A training by steps with everything decided, before its first step."""

    loop: Loop
    material: Material
    streamed: Streamed | None
    reasons: tuple[str, ...]


def _prepared(job: Job, samples: Samples, facts: Facts, machine: Machine, *, stream: bool) -> Prepared:
    """Decode once (or stream), fit the input, build the network, decide what is open. Writes nothing into the run."""
    recipe, observer, resolved = job.recipe, job.observer, job.resolved
    size, shrink = _known_size(job, facts), _shrink(job, facts)
    scaled = recipe.augment.name != "none"
    if stream:
        reading = first_pictures(
            samples,
            samples.rows(TRAIN),
            seed=recipe.seed,
            threads=machine.threads,
            shrink=shrink,
            scaled=scaled,
            observer=observer,
        )
    else:
        with first_here(job.ranks):  # what it decodes and keeps, the others of this machine find
            reading = build_store(
                samples,
                samples.rows(TRAIN),
                threads=machine.threads,
                shrink=shrink,
                scaled=scaled,
                keep_from=kept.KEEP_FROM,
                observer=observer,
                # Each process of a machine holds all of them.
                room=int(available_memory() * STORE_SHARE / job.ranks.local_count) if job.ranks.several else None,
            )
    store = reading.store
    require(len(store) > 0, f"{samples.source}: no training picture can be read; striate inspect names them")
    pictures = len(samples.rows(TRAIN)) - len(reading.failures)
    facts = replace(facts, pictures=pictures, grey=bool((store.shapes[:, 2] == 1).all()))
    name, pretrained, why = choose_network(recipe, facts)
    arguments: dict[str, Any] = {} if recipe.width is None else {"width": recipe.width}
    if job.start is not None:
        name, pretrained, why = job.start.network, False, f"that of {job.start.run}"
        arguments = dict(job.start.arguments)
    elif job.network is None and recipe.network is None and recipe.width is None and recipe.epochs is not None:
        narrow = width_for(name, recipe.epochs)
        if narrow is not None:
            arguments = {"width": narrow}
            why += f"; width {narrow} for so few epochs, in which a wider one learns little more and takes longer"
    if resolved is not None:
        name, pretrained, arguments = resolved.network, resolved.pretrained, resolved.arguments
    own = own_input(name) if job.network is None and (pretrained or recipe.weights is not None) else None
    spec, spec_words = _fit_spec(job, reading, size, own)
    network = job.network
    if network is None:
        built = _build(job, name, len(samples.class_names), spec, pretrained, arguments)
        network = built.network
        if built.size != (spec.height, spec.width):
            spec, spec_words = _fit_spec(job, reading, built.size, built.input_defaults)
        for note in built.notes:
            observer.say(note)
    if job.start is not None:
        observer.say(job.start.put_into(network, samples.class_names))
    observer.say(spec_words)
    if stream:
        observer.say(
            f"that, and all else that depends on pixels, was decided by the first {counted(len(store), 'picture')}"
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
            choose_augmentation(asked, facts, name, spec),
            network=OWN_NETWORK if job.network is not None else name,
            arguments=arguments,
            pretrained=pretrained,
            device=machine.device.partition(":")[0] if job.ranks.several else machine.device,
            precision=machine.precision,
            threads=machine.threads,
        )
        return replace(decided, allocator=machine.allocator, reference=machine.reference)

    if resolved is None:
        facts, mirrors_words = _ask_mirrors(recipe, facts, spec, store, samples.targets[reading.rows])
        resolved = decide(recipe)
        if stream:
            resolved = replace(resolved, buffer=buffer_for(used, train_rows))
        resolved = replace(resolved, processes=job.ranks.count)
        observer.say(f"network: {resolved.network}{' (pretrained)' if pretrained else ''}, {why}")
    task, augmentation = _task(resolved, used), Augmentation(**resolved.augment)
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

    def batches_of(size: int) -> Batches:
        return Batches(
            store if streamed is None else streamed,
            task=task,
            frame=spec,
            batch_size=size,
            seed=seed,
            augmentation=augmentation,
            weights=weights,
            rank=job.ranks.rank,
            ranks=job.ranks.count,
        )

    if job.resolved is None and recipe.batch_size == "auto":
        ours = job.network is None
        chosen = 0
        if job.ranks.first:
            found = choose_batch_size(
                network, spec, task, resolved, batches_of, pictures=facts.pictures, channels_last=ours
            )
            observer.say(found.words)
            chosen = found.size
        decided = decide(replace(recipe, batch_size=told(job.ranks, chosen)))
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
        resolved = _decided_by_first(job, resolved)
    if recipe.from_run is None and recipe.weights is None:
        _fit_stem(network, spec, store)
    model = laid_out(job, Model(network, spec, task, machine.device), resolved)
    observer.say(
        f"{counted(resolved.epochs, 'epoch')} of {counted(batches.steps_per_epoch, 'step')}, "
        f"batches of {resolved.batch_size}, "
        f"{resolved.optimizer.name} at {resolved.learning_rate:.3g} ({resolved.schedule.name}), "
        f"varied by {augmentation.in_words()}{mirrors_words}"
    )
    if not resolved.reasons:
        resolved = replace(resolved, reasons=(spec_words, f"network: {why}"))
    share_weights(job.ranks, network)
    if job.ranks.several and has_batch_norm(network):
        observer.say(
            "batch norm: each process takes its statistics from its own part of a batch, about "
            f"{counted(resolved.batch_size // job.ranks.count, 'picture')}, so the result is not quite that of one "
            "process; those of the first process answer"
        )
    loop = Loop(
        model,
        batches,
        _validation(material),
        resolved,
        observer=observer,
        replan=replan,
        on_split=lambda loop: _write_down(job, loop, material),
        ranks=job.ranks,
    )
    return Prepared(loop=loop, material=material, streamed=streamed, reasons=resolved.reasons)


def _plan_minutes(
    job: Job,
    resolved: Resolved,
    material: Material,
    batches: Batches,
    spec: InputSpec,
    task: Classification,
    network: nn.Module,
) -> tuple[Resolved, nn.Module, Callable[[Loop], None]]:
    """The plan for the time, the network of the width that was planned, and what plans the rest anew."""

    def build(arguments: dict[str, Any]) -> nn.Module:
        if job.network is not None:
            return copy.deepcopy(job.network)
        return _build(job, resolved.network, task.num_outputs, spec, resolved.pretrained, arguments).network

    if not job.ranks.first:
        planned = _decided_by_first(job, resolved)
        return planned, build(planned.arguments), _followed(job)
    planned, time_plan = plan_for_time(job, resolved, material, batches, spec, task, build)
    planned = _decided_by_first(job, planned)
    if planned.arguments != resolved.arguments:
        network = build(planned.arguments)
    most = MOST_EPOCHS.get(planned.network, math.inf) * batches.steps_per_epoch

    replan = Replanner(job, time_plan.reserve, most, lambda loop: _write_down(job, loop, material))
    return planned, network, _followed(job, replan)


def _followed(job: Job, replan: Callable[[Loop], None] | None = None) -> Callable[[Loop], None]:
    """`replan` on the first rank, whose plans all of them then follow."""

    def follow(loop: Loop) -> None:
        if replan is not None:
            replan(loop)
        loop.progress.plans = told(job.ranks, loop.progress.plans)

    return follow


def _decided_by_first(job: Job, resolved: Resolved) -> Resolved:
    """What the first rank has resolved: clocks and machines differ, and the ranks must not."""
    if not job.ranks.several:
        return resolved
    return Resolved.from_mapping(told(job.ranks, resolved.to_mapping()), "process 0")


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


def _ask_mirrors(
    recipe: Recipe, facts: Facts, spec: InputSpec, store: PixelStore, targets: np.ndarray
) -> tuple[Facts, str]:
    """Whether mirrored training pictures keep their label, where that is not said in the recipe."""
    # Grey pictures are not mirrored in any case (see `choose_augmentation`).
    if recipe.augment.flip_horizontal is not None or recipe.augment.name == "none" or facts.grey:
        return facts, ""
    chosen = sample_rows(len(store), recipe.seed)
    side = replace(spec, height=min(spec.height, 32), width=min(spec.width, 32), fit="squash")
    pictures = torch.stack([side.prepare(store.pixels(int(index))) for index in chosen])
    evidence = mirror_evidence(pictures, targets[chosen], grey=bool(facts.grey))
    words = "keeps its label" if evidence.harmless else "may look like another class"
    return replace(facts, mirrors=evidence.harmless), f" (a mirrored picture {words} here)"


def _fit_stem(network: nn.Module, spec: InputSpec, store: PixelStore) -> None:
    """Let a network that starts from the statistics of its pictures see some of them."""
    if isinstance(network, SmallResNet):
        some = np.linspace(0, len(store) - 1, min(STEM_PICTURES, len(store))).astype(np.int64)
        pictures = torch.stack([spec.prepare(store.pixels(int(index))) for index in some])
        network.fit_stem(spec.normalize(pictures))


def _calibrated(job: Job, model: Model, material: Material) -> tuple[Model, dict[str, torch.Tensor]]:
    """The model whose probabilities fit the validation pictures best, its answers stay the same; and the scores of
    the splits that it has looked at."""
    validation = _validation(material)
    if validation is None or not isinstance(model.task, Classification):
        return model, {}
    scores = shared_rows(job.ranks, validation.pictures, lambda part: model.outputs(part, model.network))
    answers = model.task.decode(scores).numpy()
    return replace(model, task=model.task.calibrated(answers, validation.targets)), {VALIDATION: scores}


def _weights_words(resolved: Resolved, best_epoch: int, monitor: str) -> str:
    averaged = "averaged over steps" if resolved.averaging else "as trained"
    if best_epoch < 0:
        return f"{averaged}, of the last step (nothing was held back for validation)"
    return f"{averaged}, of epoch {best_epoch + 1}, the best by validation {monitor.replace('_', ' ')}"


def _first_look(job: Job, samples: Samples, *, forward: bool) -> tuple[float, bool, np.ndarray]:
    """Median of the longer sides of up to PROBED training pictures, from their headers; whether all of up to
    LOOKED_AT of them are grey; and their heights and widths (n, 2). `forward`: of those that are read
    first, where looking further would mean reading all."""
    rows = samples.rows(TRAIN)
    chosen = rows[np.linspace(0, len(rows) - 1, min(PROBED, len(rows))).astype(np.int64)]
    if forward:
        chosen = first_rows(samples, rows, job.recipe.seed, PROBED)
    sides: list[tuple[int, int]] = []
    colours: list[bool] = []
    with in_turn(samples, chosen) as turned:
        for row in chosen:
            try:
                data = turned.pictures.load(int(samples.index[row]))
                if isinstance(data, np.ndarray):
                    sides.append((data.shape[0], data.shape[1]))
                else:
                    header = probe(data)
                    sides.append((header.height, header.width))
                if len(colours) < LOOKED_AT and not any(colours):
                    colours.append(decoded(data).shape[2] > 1)
            except InputError:
                continue  # it is named when it is decoded
    require(bool(sides), f"{samples.source}: none of its pictures can be read; striate inspect names them")
    longer = float(np.median([max(pair) for pair in sides]))
    return longer, not any(colours), np.array(sides)


def _decoded_bytes(sides: np.ndarray, shrink: int | None, *, grey: bool) -> float:
    """Mean bytes of pictures of these sides (n, 2) as the store would keep them."""
    factor = 1 if shrink is None else np.maximum(1, sides.min(axis=1) // shrink)
    return float((sides.prod(axis=1) / factor**2).mean()) * (1 if grey else 3)


def _shrink(job: Job, facts: Facts) -> int | None:
    """What training can use of a picture's shorter side, twice the side of the input; None: all of it.

    It follows from what was asked and from the pictures alone, so that a run which goes on reads the same pixels.
    """
    side = job.recipe.size
    if side is None and job.recipe.from_run is not None:
        known = job.resolved if job.start is None else job.start.input_spec
        assert known is not None  # a run that goes on without the one it started from has been resolved
        side = max(known.height, known.width)
    elif side is None:
        name, pretrained, _ = choose_network(job.recipe, facts)
        own = own_input(name) if job.network is None and (pretrained or job.recipe.weights is not None) else None
        side = max(own.size) if own is not None else None if facts.longer_side <= SMALL_SIDE else SIDE_FROM_NOTHING
    return None if side is None else 2 * side


def _known_size(job: Job, facts: Facts) -> int | None:
    """The side of the input where it does not depend on the pixels; None for small pictures, which keep theirs."""
    if job.recipe.size is not None:
        return job.recipe.size
    if job.start is not None:
        return max(job.start.input_spec.height, job.start.input_spec.width)
    return None if facts.longer_side <= SMALL_SIDE else SIDE_FROM_NOTHING


def _fit_spec(
    job: Job, reading: StoreResult, size: int | tuple[int, int] | None, own: InputDefaults | None
) -> tuple[InputSpec, str]:
    recipe, resolved = job.recipe, job.resolved
    store, sizes = reading.store, reading.sizes
    if resolved is not None:
        spec, _ = fit_input_spec(
            store,
            sizes=sizes,
            size=(resolved.height, resolved.width),
            fit=resolved.fit,
            channels=resolved.channels,
            crop_share=resolved.crop_share,
            interpolation=resolved.interpolation,
            mean=resolved.mean or (None if own is None else own.mean),
            deviation=resolved.deviation or (None if own is None else own.deviation),
        )
        return spec, f"the network's input is {resolved.width}x{resolved.height}, as resolved before"
    if job.start is not None:
        known = job.start.input_spec
        spec, _ = fit_input_spec(
            store,
            size=size if isinstance(size, tuple) else recipe.size or (known.height, known.width),
            fit=recipe.fit or known.fit,
            channels=known.channels,
            mean=known.mean,
            deviation=known.deviation,
            crop_share=known.crop_share,
            interpolation=known.interpolation,
        )
        shape = f"{spec.width}x{spec.height} with {counted(spec.channels, 'channel')}"
        return spec, f"the network's input is {shape} ({spec.fit}), mean and deviation those of {job.start.run}"
    if own is not None and own.mean is not None:
        return fit_input_spec(
            store,
            sizes=sizes,
            size=recipe.size or own.size,
            fit=recipe.fit,
            channels=3,
            mean=own.mean,
            deviation=own.deviation,
            interpolation=own.interpolation,
        )
    if isinstance(size, tuple):  # a network of one size only
        return fit_input_spec(store, sizes=sizes, size=size, fit=recipe.fit)
    return fit_input_spec(store, sizes=sizes, size=recipe.size, fit=recipe.fit, largest=size or SIDE_FROM_NOTHING)


def _build(
    job: Job, name: str, num_outputs: int, spec: InputSpec, pretrained: bool, arguments: dict[str, Any]
) -> BuiltNetwork:
    return build_network(
        name,
        num_outputs=num_outputs,
        channels=spec.channels,
        size=(spec.height, spec.width),
        pretrained=pretrained,
        weights=None if job.recipe.weights is None else Path(job.recipe.weights),
        arguments=arguments,
        seed=job.recipe.seed,
    )


def hold_back(
    job: Job, samples: Samples, spec: InputSpec, reading: StoreResult, machine: Machine, *, stream: bool = False
) -> Material:
    """Validation and test as the network takes them, and the table without what could not be read."""
    failures = list(reading.failures)
    checksums = np.zeros(len(samples), dtype=np.uint64)
    if stream:
        checksums[samples.rows(TRAIN)] = identities(samples, samples.rows(TRAIN))
    checksums[reading.rows] = reading.checksums
    held_back: dict[str, PreparedLike] = {}
    for split in (VALIDATION, TEST):
        prepared, pictures = prepare_split(job, samples, split, spec, machine)
        checksums[prepared.rows] = prepared.checksums
        failures += prepared.failures
        if len(prepared.rows):
            held_back[split] = pictures
    report_left_out(job, samples, failures)
    used = samples.without(failures)
    require_classes(used)
    kept = np.ones(len(samples), dtype=bool)
    kept[[row for row, _ in failures]] = False
    return Material(
        samples=used, store=None if stream else reading.store, held_back=held_back, checksums=checksums[kept]
    )


def _task(resolved: Resolved, samples: Samples) -> Classification:
    targets = samples.targets[samples.rows(TRAIN)]
    weights = None
    if resolved.class_weights == "balanced":
        counts = np.bincount(targets, minlength=len(samples.class_names))
        weights = tuple(float(len(targets) / (len(counts) * count)) for count in counts)
    task = Classification(samples.class_names, label_smoothing=resolved.label_smoothing, class_weights=weights)
    return task.bound_to(targets)


def _validation(material: Material) -> Validation | None:
    if VALIDATION not in material.held_back:
        return None
    rows = material.samples.rows(VALIDATION)
    return Validation(material.held_back[VALIDATION], material.samples.targets[rows])
