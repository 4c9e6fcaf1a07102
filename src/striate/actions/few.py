"""Photographs and the pretrained network: it stays as it is, and a head is fitted on its features; then, where
there are pictures enough to tell, its last stages are fine-tuned (`fine_tuning.py`).

The head is a logistic regression for classes, one a label for labels, a ridge regression for numbers. Its penalty is
chosen by cross-validation over training and validation pictures together, and the head is then fitted on all of them:
with ten pictures a class, fifteen in a hundred held back cost a point of accuracy and tell little. What is said of
validation is then out of fold. The test split plays no part.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from striate.actions.agreement import decided_by_first
from striate.actions.building import MEAN_IS_KNOWN
from striate.actions.choose import laid_out
from striate.actions.fine_tuning import fine_tuned, whether_to_tune
from striate.actions.held_back import prepare_for
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
from striate.actions.steps import task_of
from striate.data.samples import CLASSIFICATION, MULTILABEL, REGRESSION, TEST, TRAIN, VALIDATION, Samples
from striate.errors import require
from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.models.run_files import RECIPE
from striate.models.start import Start
from striate.networks import build_network, own_input
from striate.networks.efficientnet_lite import EfficientNetLite0
from striate.tasks.task import TableTask
from striate.training.defaults import PRETRAINED, Facts
from striate.training.frozen import FittedHead, fit_head
from striate.training.history import Row
from striate.training.parallel import share_weights, shared_rows
from striate.training.recipe import Recipe
from striate.training.recipe_file import recipe_text
from striate.training.resolved import Resolved
from striate.training.ridge import FittedRidge, fit_ridge

# Sides of the input: more pixels helped up to 320 on photographs of 400, and cost in proportion.
SIDE, SIDE_FOR_SMALL_PICTURES, SIDE_FOR_MANY = 320, 192, 224
SIDES_FOR_TIME = (320, 256, 224, 192, 160, 128)
SMALL_PICTURES, MANY = 160, 5000
# The shorter side where labels and numbers are learned: they speak of all of the picture, so that it keeps its shape,
# and its middle counts no more than its edges. On street scenes (11 classes of pixels, 100 pictures) that lowered the
# error of three shares of four, and the smaller pictures that of the labels.
SIDE_OF_WHOLE, MULTIPLE, MOST_ASPECT = 256, 16, 2.0
ARGUMENTS = {"centre": True, "normalized": True}
ARGUMENTS_OF_WHOLE = {"centre": False, "normalized": True}
SECONDS_A_PICTURE = 0.05  # at 320 pixels on one slow core, before it is measured
# Settings of training by steps, which play no part here; who gives them is told.
FOR_STEPS = (
    "width",
    "patience",
    "batch_size",
    "accumulate",
    "learning_rate",
    "optimizer",
    "schedule",
    "loss",
    "label_smoothing",
    "class_weights",
    "balance",
    "regularizer",
    "dropout",
    "freeze",
    "clip",
    "averaging",
    "swa",
    "augment",
    "keep_epochs",
)


def can_fit_head_on(start: Start) -> bool:
    """Whether an earlier run has the network that a head is fitted on here."""
    chosen = {name: start.arguments.get(name) for name in ARGUMENTS}
    return start.network == PRETRAINED and chosen in (ARGUMENTS, ARGUMENTS_OF_WHOLE)


def train_frozen(job: Job, samples: Samples, facts: Facts, machine: Machine) -> Trained:
    """Features of every picture once, then the head."""
    recipe, observer = job.recipe, job.observer
    require(recipe.mean == "channel", MEAN_IS_KNOWN)
    resolved = job.resolved or _resolve(job, samples, facts, machine)
    if job.ranks.several:
        observer.say(
            "features are shared among the processes; each reads all pictures, and the head is that of the first"
        )
    job.run.write(RECIPE, recipe_text(recipe, resolved.to_mapping(), samples.source))
    spec = _spec(job, resolved)
    learned = "which learned from a million others" if job.start is None else f"as {job.start.run} left it"
    why = (
        f"{facts.pictures:,} pictures about {facts.longer_side:.0f} pixels long: a head on the features of "
        f"{PRETRAINED}, {learned}; they are brought to {spec.width}x{spec.height} ({spec.fit})"
    )
    observer.say(why)
    idle = [name for name in FOR_STEPS if getattr(recipe, name) != getattr(Recipe(), name)]
    if idle:
        observer.warn(
            f"{', '.join(idle)}: no part in fitting a head on the pretrained network; name --epochs to train all of it"
        )
    began = time.monotonic()
    prepared = prepare_for(spec, samples, np.arange(len(samples)), machine, observer, "reading")
    report_left_out(job, samples, prepared.failures)
    used = samples.without(prepared.failures)
    require_classes(used)
    task = task_of(used, recipe, resolved)
    read, began = time.monotonic() - began, time.monotonic()
    built = build_network(
        PRETRAINED,
        num_outputs=len(used.class_names),
        channels=spec.channels,
        size=(spec.height, spec.width),
        pretrained=job.start is None,
        arguments=resolved.arguments,
        seed=resolved.seed,
    )
    origin = f"published weights of {PRETRAINED}"
    if job.start is not None:
        observer.say(job.start.put_into(built.network, task) + "; the head is fitted anew")
        origin = f"weights of {job.start.run}"
    model = laid_out(job, Model(built.network.eval(), spec, task, machine.device), resolved)
    network = model.network
    known = np.flatnonzero((used.splits == TRAIN) | (used.splits == VALIDATION))
    pictures = prepared.pictures
    part, watch = network.get_submodule("features"), partial(observer.progress, "features")
    features = shared_rows(
        job.ranks, pictures[torch.from_numpy(known)], lambda some: model.outputs(some, part, watch)
    ).numpy()
    per_picture = (time.monotonic() - began) / len(known)
    weights = None if used.weights is None else used.weights[known]

    def fitted_on(chosen: np.ndarray) -> FittedHead | FittedRidge:
        targets = used.targets[known[chosen]]
        return fit(task, features[chosen], targets, resolved.seed, None if weights is None else weights[chosen])

    held_back = {
        split: pictures[torch.from_numpy(used.rows(split))]
        for split in (TRAIN, VALIDATION, TEST)
        if len(used.rows(split))
    }
    material = Material(samples=used, held_back=held_back, checksums=prepared.checksums)
    require_same_pictures(job, material)
    resolved = replace(resolved, fingerprint=fingerprint(material))
    resolved, words = whether_to_tune(job, resolved, material, machine, per_picture)
    words = resolved.reasons[0] if resolved.reasons else words
    resolved = replace(resolved, reasons=(words,))
    resolved = decided_by_first(job.ranks, resolved)
    observer.say(words)
    reasons = [why]
    if resolved.fine_tune:
        assert isinstance(network, EfficientNetLite0)
        job.run.write(RECIPE, recipe_text(recipe, resolved.to_mapping(), samples.source))
        put_head(network, fitted_on(np.flatnonzero(used.splits[known] == TRAIN)))
        share_weights(job.ranks, network)
        tuned, history, gain = fine_tuned(job, model, task, resolved, material)
        observer.say(gain)
        if tuned is not None:
            return Trained(
                model=tuned,
                resolved=resolved,
                material=material,
                history=history,
                best_epoch=None,
                weights_words=f"{origin}, the last stages fine-tuned",
                reasons=(why, gain),
                seconds={"reading": read, "training": time.monotonic() - began},
            )
        reasons.append(gain)
    else:
        reasons.append(words)
        job.run.write(RECIPE, recipe_text(recipe, resolved.to_mapping(), samples.source))
    fitted = fitted_on(np.arange(len(known)))
    observer.say(fitted.describe())
    put_head(network, fitted)
    share_weights(job.ranks, network)
    held_back = {split: held for split, held in held_back.items() if split != VALIDATION}
    answers, figures = _out_of_fold(task, fitted, used.targets[known])
    seconds = time.monotonic() - began
    return Trained(
        model=model,
        resolved=resolved,
        material=replace(material, held_back=held_back),
        history=[{"epoch": 1, **{f"validation_{name}": value for name, value in figures.items()}, "seconds": seconds}],
        best_epoch=None,
        weights_words=f"{origin}; the head fitted on training and validation pictures",
        reasons=(*reasons, fitted.describe()),
        seconds={"reading": read, "training": seconds},
        out_of_fold=(known, answers),
        features=(known, torch.from_numpy(features)),
    )


def _spec(job: Job, resolved: Resolved) -> InputSpec:
    """As the published weights want their pictures, or as the run does that it starts from."""
    if job.start is not None:
        known = job.start.input_spec
        return replace(known, height=resolved.height, width=resolved.width, fit=resolved.fit)
    own = own_input(PRETRAINED)
    assert own is not None
    assert own.mean is not None
    assert own.deviation is not None
    return InputSpec(
        channels=3,
        height=resolved.height,
        width=resolved.width,
        fit=resolved.fit,
        interpolation=own.interpolation,
        mean=own.mean,
        deviation=own.deviation,
    )


def fit(
    task: TableTask, features: np.ndarray, targets: np.ndarray, seed: int, weights: np.ndarray | None
) -> FittedHead | FittedRidge:
    """The head of a task on features (n, F) of rows with these targets of the table, (n,) or (n, K)."""
    # As the loss would see them: shares that sum to 1, standardised numbers.
    learned = task.bound_to(targets).targets(np.arange(len(targets)), None).numpy()
    if task.name == REGRESSION:
        return fit_ridge(features, learned, seed=seed, row_weights=weights)
    labels = task.name == MULTILABEL
    return fit_head(features, learned, task.num_outputs, seed=seed, row_weights=weights, labels=labels)


def _out_of_fold(task: TableTask, fitted: FittedHead | FittedRidge, targets: np.ndarray) -> tuple[np.ndarray, Row]:
    """Answers (n, K) by heads that had not seen the rows, NaN where none had not, and the figures of an epoch."""
    if isinstance(fitted, FittedHead):
        return fitted.held_out, {"log_loss": fitted.log_loss, "accuracy": fitted.accuracy}
    answers = task.decode(torch.from_numpy(fitted.held_out)).numpy()
    known = np.isfinite(answers[:, 0])
    return answers, task.metrics(answers[known], targets[known])


def put_head(network: torch.nn.Module, fitted: FittedHead | FittedRidge) -> None:
    """Give a network of `ARGUMENTS` (or those of the whole) the head that was fitted on its features.

    Raises InputError.
    """
    require(bool(np.isfinite(fitted.weight).all()), "the head could not be fitted: its weights are not finite")
    network.get_submodule("normalizer").load_state_dict(fitted.normalizer.state_dict())
    network.get_submodule("head").load_state_dict(fitted.linear().state_dict())


def _resolve(job: Job, samples: Samples, facts: Facts, machine: Machine) -> Resolved:
    """The size of the input: as large as helps, and smaller where there are many pictures to go through."""
    recipe, whole = job.recipe, samples.task != CLASSIFICATION
    side = SIDE_OF_WHOLE if whole else SIDE
    if job.start is not None:
        side = job.start.input_spec.height
    elif facts.longer_side < SMALL_PICTURES:
        side = SIDE_FOR_SMALL_PICTURES
    elif len(samples) > MANY:
        side = SIDE_FOR_MANY
    if recipe.minutes is not None:
        # Half of the time for the features; the other half is for reading, fine-tuning and the answers.
        seconds = 30 * recipe.minutes
        fitting = (
            one
            for one in SIDES_FOR_TIME
            if one <= side and len(samples) * SECONDS_A_PICTURE * (one / 320) ** 2 < seconds
        )
        side = next(fitting, SIDES_FOR_TIME[-1])
    height = width = recipe.size or side
    arguments = ARGUMENTS_OF_WHOLE if whole else ARGUMENTS
    if job.start is not None:
        arguments = dict(job.start.arguments)
        width = width if recipe.size else round(job.start.input_spec.width * side / job.start.input_spec.height)
    elif whole and recipe.size is None:
        aspect = min(max(facts.aspect, 1 / MOST_ASPECT), MOST_ASPECT)
        height, width = (max(MULTIPLE, round(side * one / MULTIPLE) * MULTIPLE) for one in _sides(aspect))
    return Resolved(
        method="frozen",
        network=PRETRAINED,
        arguments=dict(arguments),
        pretrained=job.start is None,
        channels=3,
        height=height,
        width=width,
        fit=recipe.fit or ("squash" if job.start is None else job.start.input_spec.fit),
        interpolation="bicubic",
        precision="float32",
        layout=machine.layout,
        device=machine.device.partition(":")[0] if job.ranks.several else machine.device,
        threads=machine.threads,
        processes=job.ranks.count,
        allocator=machine.allocator,
        reference=machine.reference,
        seed=recipe.seed,
    )


def _sides(aspect: float) -> tuple[float, float]:
    """Height and width of this aspect, of which the shorter is 1."""
    return max(1.0, 1 / aspect), max(1.0, aspect)
