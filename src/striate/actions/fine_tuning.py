"""The last stages of a pretrained network, fine-tuned where there are pictures enough to tell whether that helps.

It starts from the head that was fitted on the network's features, and is kept where validation gains by it.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from striate.actions.job import Job, Machine, Material
from striate.data.augmentation import Augmentation
from striate.data.batches import Batches
from striate.data.samples import MULTILABEL, REGRESSION, TEST, TRAIN, VALIDATION
from striate.machine.beside import made_on
from striate.machine.ranks import gathered, told
from striate.models.model import Model
from striate.models.run_files import CHECKPOINTS, RECIPE
from striate.networks.efficientnet_lite import EfficientNetLite0
from striate.tasks.regression import Regression
from striate.tasks.task import TableTask
from striate.training.checkpoint import latest
from striate.training.folds import paired_difference
from striate.training.history import Row
from striate.training.loop import Loop, Validation
from striate.training.parallel import answered, share_weights
from striate.training.part_settings import OptimizerSettings, ScheduleSettings
from striate.training.recipe_file import recipe_text
from striate.training.resolved import Resolved
from striate.words import counted

# Fewer cannot tell whether fine-tuning helps: it gained on some sets of 120 to 500 pictures and lost on others, and
# validation did not know which.
FEWEST_TO_TUNE, FEWEST_HELD_BACK = 1000, 150
TUNED_FROM = 4  # of the seven stages
PASSES, MOST_EPOCHS = 8000, 6  # pictures that pass in all, in at most so many epochs
SIGNIFICANT = 2.0  # standard errors of the paired difference of losses
# How pictures vary; of several labels some may be cut off, and of numbers nobody knows what they measure.
VARIED: dict[str, dict[str, Any]] = {
    MULTILABEL: {"random_resized_crop": 0.7, "flip_horizontal": True},
    REGRESSION: {},
}
VARIED_OF_CLASSES = {"random_resized_crop": 0.5, "flip_horizontal": True}


@dataclass(frozen=True)
class PreparedPictures:
    """Pictures (n, C, h, w) as the network takes them, in the form in which batches are made of them."""

    prepared: torch.Tensor

    @property
    def uniform(self) -> bool:
        """All have one size."""
        return True

    @property
    def shapes(self) -> np.ndarray:
        """(n, 3) rows, columns, channels."""
        channels, height, width = self.prepared.shape[1:]
        return np.tile(np.array([height, width, channels]), (len(self), 1))

    def __len__(self) -> int:
        return len(self.prepared)

    def pixels(self, index: int, /) -> np.ndarray:
        """(h, w, C) of one picture."""
        return self.prepared[index].permute(1, 2, 0).numpy()

    def block(self, indices: np.ndarray, /) -> np.ndarray:
        """(B, h, w, C)."""
        return self.prepared[torch.from_numpy(np.asarray(indices))].permute(0, 2, 3, 1).numpy()


def whether_to_tune(
    job: Job, resolved: Resolved, material: Material, machine: Machine, per_picture: float
) -> tuple[Resolved, str]:
    """Whether fine-tuning is tried, for how many epochs, and why."""
    training, validation = (len(material.samples.rows(split)) for split in (TRAIN, VALIDATION))
    if job.resolved is not None and job.resolved.fingerprint:
        return resolved, "fine-tuning as resolved before" if resolved.fine_tune else "no fine-tuning, as before"
    if training + validation < FEWEST_TO_TUNE or validation < FEWEST_HELD_BACK:
        return (
            resolved,
            f"fine-tuning not tried: {counted(validation, 'held-back picture')} cannot tell whether it helps",
        )
    epochs = min(MOST_EPOCHS, max(1, round(PASSES / training)))
    batch = 32
    steps = epochs * (training // batch)
    if job.recipe.minutes is not None:
        # A step of the upper half costs about as much again as the features, and validation goes along.
        left = 60 * job.recipe.minutes - (time.monotonic() - job.started)
        left -= 5 + per_picture * (len(material.samples.rows(TEST)) + (epochs + 2) * validation + min(training, 4000))
        fitting = int(left / (2.2 * per_picture * batch))
        if fitting < min(steps, training // batch):
            return resolved, "fine-tuning not tried: there is no time left for it"
        steps = min(steps * 4, fitting)
        epochs = max(1, -(-steps // (training // batch)))
    return (
        replace(
            resolved,
            fine_tune=True,
            epochs=epochs,
            steps=steps,
            batch_size=batch,
            learning_rate=2e-4,
            optimizer=OptimizerSettings(name="adamw", weight_decay=0.01),
            schedule=ScheduleSettings(name="one-cycle", warmup=0.2),
            augment=dict(VARIED.get(material.samples.task, VARIED_OF_CLASSES)),
            averaging=0.99,
            precision=machine.precision,
        ),
        f"fine-tuning of the last stages: {counted(epochs, 'epoch')} of {training:,} pictures, kept if validation "
        "gains by it",
    )


def fine_tuned(
    job: Job, frozen: Model, task: TableTask, resolved: Resolved, material: Material
) -> tuple[Model | None, list[Row], str]:
    """The model with its last stages fine-tuned, or None where validation does not gain by it; history; in words.

    task: bound to the training pictures.
    """
    used = material.samples
    validation = Validation(material.held_back[VALIDATION], used.targets[used.rows(VALIDATION)])
    training = material.held_back[TRAIN]
    assert isinstance(training, torch.Tensor)
    network = copy.deepcopy(frozen.network)
    assert isinstance(network, EfficientNetLite0)
    network.fine_tune_from(TUNED_FROM)
    model = replace(frozen, network=network, task=task)
    batches = Batches(
        PreparedPictures(training),
        task=task,
        frame=frozen.input_spec,
        batch_size=resolved.batch_size,
        seed=resolved.seed,
        augmentation=Augmentation(**resolved.augment),
        weights=None if used.weights is None else used.weights[used.rows(TRAIN)],
        turns=task.turns if isinstance(task, Regression) else None,
        ahead=frozen.device != "cpu",
        device=made_on(frozen.device),
        rank=job.ranks.rank,
        ranks=job.ranks.count,
    )
    source = used.source

    def write_down(loop: Loop) -> None:
        job.run.write(RECIPE, recipe_text(job.recipe, loop.decided().to_mapping(), source))

    loop = Loop(
        model,
        batches,
        validation,
        resolved,
        checkpoints=job.run.folder / CHECKPOINTS,
        observer=job.observer,
        on_split=write_down,
        ranks=job.ranks,
        own=job.own,
    )
    if job.resuming and told(job.ranks, latest(job.run.folder / CHECKPOINTS) is not None):
        loop.restore()  # one that cannot be read leaves the run as it is
        gathered(job.ranks, None)  # nothing is written there before all have read it
    loop.checkpoints = job.run.checkpoints()
    progress = loop.run()
    share_weights(job.ranks, network)
    before, after = (_calibrated_losses(job, one, task, validation) for one in (frozen, model))
    mean, error = paired_difference(after[1], before[1])
    what = task.monitor.replace("_", " ")
    words = f"validation {what} {before[1].mean():.4f} frozen, {after[1].mean():.4f} fine-tuned"
    if told(job.ranks, bool(mean < -SIGNIFICANT * error)):
        return replace(model, task=after[0]), progress.history, f"{words}: fine-tuning is kept"
    return None, progress.history, f"{words}: no clear gain, so the network stays as it was"


def _calibrated_losses(job: Job, model: Model, task: TableTask, validation: Validation) -> tuple[TableTask, np.ndarray]:
    """The calibrated task, and the loss of each validation picture (n,) under it."""
    task = task.calibrated(answered(job.ranks, model, validation.pictures).numpy(), validation.targets)
    answers = answered(job.ranks, replace(model, task=task), validation.pictures).numpy()
    return task, task.losses(answers, validation.targets)
