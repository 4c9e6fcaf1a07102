"""Keeping a training: checkpoints, the best weights and those of epochs; how often, and going back to the last one."""

from __future__ import annotations

from pathlib import Path

import torch

from striate.models.run_files import BEST, LAST, PREVIOUS, epoch_file
from striate.training.checkpoint import (
    Progress,
    latest,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    write_tensors,
)
from striate.training.diverged import require_finite
from striate.training.stepping import Stepping

# A kill loses at most a minute, and little of a run that has just begun.
FIRST_CHECKPOINT_SECONDS = 5.0
# A checkpoint that takes long is written more rarely, so that it costs a few per cent of the time, up to the limit.
CHECKPOINT_SHARE = 0.03
LONGEST_WITHOUT_CHECKPOINT = 50.0


class Keeping:
    """What of one training is kept already, and when more is due, `seconds` apart. Folders exist."""

    def __init__(self, stepping: Stepping, seconds: float) -> None:
        self._stepping, self._seconds = stepping, seconds
        self._step = self._best_epoch = -1
        self._next = 0.0

    def begins(self, now: float) -> None:
        """The training goes on at this time."""
        self._next = now + min(FIRST_CHECKPOINT_SECONDS, self._seconds)

    def is_due(self, now: float) -> bool:
        """Whether it is time for a checkpoint."""
        return now >= self._next

    def took(self, cost: float, now: float) -> None:
        """Writing one took so many seconds, until now."""
        self._next = now + seconds_to_next_checkpoint(cost, self._seconds)

    def save(self, folder: Path, progress: Progress, best: dict[str, torch.Tensor] | None) -> None:
        """Write the best weights first, then where the training stands; the checkpoint before is kept.

        Raises Diverged rather than overwrite a good checkpoint by weights that are no numbers, and InputError
        where the disk refuses.
        """
        stepping = self._stepping
        require_finite(stepping.network, stepping.plan, progress.step)
        if best is not None and self._best_epoch != progress.best_epoch:
            write_tensors(folder / BEST, best, {"epoch": progress.best_epoch})
            self._best_epoch = progress.best_epoch
        if stepping.scaler is not None:
            progress.scaler = stepping.scaler.state_dict()
        average = stepping.averaged.network if stepping.averaged is not None else None
        # The same step once more replaces itself: the previous one stays an earlier one.
        keep = None if self._step == progress.step else folder / PREVIOUS
        save_checkpoint(folder / LAST, progress, stepping.network, average, stepping.optimizer, keep=keep)
        self._step = progress.step

    def restore(self, folder: Path, plans: list[list[float]]) -> tuple[Progress, dict[str, torch.Tensor] | None]:
        """Go back to the last checkpoint: where the training stands then, and its best weights, if there are any.

        `plans` of the recipe that were made after the checkpoint are followed, not made anew. Where its first plan is
        another than the checkpoint's, the run was asked to go further: then the recipe's plans hold, and validation
        may improve again. Raises InputError where there is no checkpoint that fits.
        """
        stepping = self._stepping
        average = stepping.averaged.network if stepping.averaged is not None else None
        progress = load_checkpoint(latest(folder) or folder / LAST, stepping.network, average, stepping.optimizer)
        self._step = progress.step
        if stepping.scaler is not None:
            stepping.scaler.load_state_dict(progress.scaler)
        if progress.plans[0] != plans[0]:
            progress.plans = plans
            progress.epochs_without_better = 0
            progress.averaged = 0  # the last epochs are others now
        else:
            newest = progress.plans[-1][0]
            progress.plans += [plan for plan in plans if plan[0] > newest]
        if progress.best_epoch < 0:
            return progress, None
        self._best_epoch = progress.best_epoch
        return progress, read_tensors(folder / BEST)[0]


def keep_epoch(folder: Path, epoch: int, weights: dict[str, torch.Tensor]) -> None:
    """Write the weights that answer after this epoch. Raises InputError where the disk refuses."""
    write_tensors(folder / epoch_file(epoch), weights, {"epoch": epoch})


def seconds_to_next_checkpoint(cost: float, wanted: float) -> float:
    """`wanted`, or longer where writing one took `cost` seconds, so that it is CHECKPOINT_SHARE of the time; at most
    LONGEST_WITHOUT_CHECKPOINT. 0 where `wanted` is 0: after every step."""
    return max(wanted, min(cost / CHECKPOINT_SHARE, LONGEST_WITHOUT_CHECKPOINT)) if wanted > 0 else 0.0
