"""Photographs and the pretrained network: it stays as it is, and a head is fitted on its features.

The head's penalty is chosen by cross-validation over training and validation pictures together, and the head is
then fitted on all of them: with ten pictures a class, fifteen in a hundred held back cost a point of accuracy and
tell little. What is said of validation is out of fold. The test split plays no part.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from striate.actions.results import Material, Trained
from striate.data.samples import TEST, TRAIN, VALIDATION, Samples
from striate.data.store import prepare_all
from striate.errors import require
from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.models.run import RECIPE
from striate.networks import build_network, own_input
from striate.tasks.classification import Classification
from striate.training.defaults import PRETRAINED, Facts
from striate.training.frozen import fit_head
from striate.training.recipe import recipe_text
from striate.training.resolved import Resolved

if TYPE_CHECKING:
    from striate.actions.train import Job
    from striate.actions.work import Machine

# Sides of the input: more pixels helped up to 320 on photographs of 400, and cost in proportion.
SIDE, SIDE_FOR_SMALL_PICTURES, SIDE_FOR_MANY = 320, 192, 224
SMALL_PICTURES, MANY = 160, 5000
ARGUMENTS = {"centre": True, "normalized": True}


def train_frozen(job: Job, samples: Samples, facts: Facts, machine: Machine) -> Trained:
    """Features of every picture once, then the head."""
    from striate.actions.work import report_left_out, require_classes

    recipe, observer = job.recipe, job.observer
    resolved = job.resolved or _resolve(job, samples, facts, machine)
    job.run.write(RECIPE, recipe_text(recipe, resolved.to_mapping(), samples.source))
    own = own_input(PRETRAINED)
    assert own is not None
    assert own.mean is not None
    assert own.deviation is not None
    spec = InputSpec(
        channels=3,
        height=resolved.height,
        width=resolved.width,
        fit=resolved.fit,
        interpolation=own.interpolation,
        mean=own.mean,
        deviation=own.deviation,
    )
    why = (
        f"{facts.pictures:,} photographs about {facts.longer_side:.0f} pixels long: a head on the features of "
        f"{PRETRAINED}, which learned from a million others; pictures are brought to {spec.width}x{spec.height} "
        f"({spec.fit})"
    )
    observer.say(why)
    began = time.monotonic()
    prepared = prepare_all(
        samples, np.arange(len(samples)), spec.prepare, threads=machine.threads, observer=observer, what="reading"
    )
    report_left_out(job, samples, prepared.failures)
    used = samples.without(prepared.failures)
    require_classes(used)
    read, began = time.monotonic() - began, time.monotonic()
    built = build_network(
        PRETRAINED,
        num_outputs=len(used.class_names),
        channels=3,
        size=(spec.height, spec.width),
        pretrained=True,
        arguments=resolved.arguments,
        seed=resolved.seed,
    )
    network = built.network.eval().to(machine.device).to(memory_format=torch.channels_last)
    model = Model(network, spec, Classification(used.class_names), machine.device)
    features_part = network.get_submodule("features")
    known = np.flatnonzero((used.splits == TRAIN) | (used.splits == VALIDATION))
    features = model.outputs(
        prepared.pictures[torch.from_numpy(known)], features_part, partial(observer.progress, "features")
    ).numpy()
    weights = None if used.weights is None else used.weights[known]
    fitted = fit_head(features, used.targets[known], len(used.class_names), seed=resolved.seed, row_weights=weights)
    observer.say(fitted.describe())
    network.get_submodule("normalizer").load_state_dict(fitted.normalizer.state_dict())
    network.get_submodule("head").load_state_dict(fitted.linear().state_dict())
    require(bool(np.isfinite(fitted.weight).all()), "the head could not be fitted: its weights are not finite")
    held_back = {
        split: prepared.pictures[torch.from_numpy(used.rows(split))] for split in (TRAIN, TEST) if len(used.rows(split))
    }
    seconds = time.monotonic() - began
    return Trained(
        model=model,
        described={"name": PRETRAINED, "arguments": resolved.arguments},
        resolved=resolved,
        material=Material(samples=used, held_back=held_back, checksums=prepared.checksums),
        history=[
            {
                "epoch": 1,
                "validation_log_loss": fitted.log_loss,
                "validation_accuracy": fitted.accuracy,
                "seconds": seconds,
            }
        ],
        best_epoch=None,
        weights_words=f"published weights of {PRETRAINED}; the head fitted on training and validation pictures",
        reasons=(why, fitted.describe()),
        seconds={"reading": read, "training": seconds},
        out_of_fold=(known, fitted.held_out_probabilities),
    )


def _resolve(job: Job, samples: Samples, facts: Facts, machine: Machine) -> Resolved:
    """The size of the input: as large as helps, and smaller where there are many pictures to go through."""
    recipe = job.recipe
    side = SIDE
    if facts.longer_side < SMALL_PICTURES:
        side = SIDE_FOR_SMALL_PICTURES
    elif len(samples) > MANY:
        side = SIDE_FOR_MANY
    side = recipe.size or side
    return Resolved(
        method="frozen",
        network=PRETRAINED,
        arguments=dict(ARGUMENTS),
        pretrained=True,
        channels=3,
        height=side,
        width=side,
        fit=recipe.fit or "squash",
        interpolation="bicubic",
        precision="float32",
        device=machine.device,
        threads=machine.threads,
        seed=recipe.seed,
    )
