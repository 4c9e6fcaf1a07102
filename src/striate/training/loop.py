"""The loop: epochs of steps, validation, what observers hear, and when it ends.

A step is taken by `stepping.py`, checkpoints are kept by `keeping.py`. A task is known only through `tasks/task.py`, a
network only as a module. Everything that was decided comes in as `Resolved`; everything that changes is in `Progress`
and in the weights, and both are in each checkpoint, so that a resumed run goes on as if it had never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from striate.data.batches import Batch, Batches
from striate.machine.ranks import ALONE, Ranks, told
from striate.models.model import Model, PreparedLike
from striate.observer import SILENT, Observer
from striate.training.checkpoint import Progress
from striate.training.diverged import after_step, require_finite
from striate.training.fused import Optimizer
from striate.training.history import Row
from striate.training.keeping import Keeping, keep_epoch
from striate.training.memory import put_together
from striate.training.optimizers import set_rate
from striate.training.own_parts import NOTHING_OWN, OwnParts
from striate.training.pace import Pace
from striate.training.parallel import answered, share_weights
from striate.training.ratios import update_ratios, weights_of
from striate.training.resolved import Resolved
from striate.training.schedules import fallen_further, require_watched, schedule_of, watches_validation
from striate.training.stepping import Stepping

CHECKPOINT_SECONDS = 30.0  # between checkpoints
# Reading a number from an accelerator waits for it; on the processor it is free.
STEPS_BETWEEN_READS = 20
SAME = 1e-9  # shares of a run that are closer are equal
REHEARSED = 64  # pictures that tell what a validation will take, before the first one


@dataclass(frozen=True)
class Validation:
    """Pictures held back from training, as the network takes them (n, C, H, W), and their targets (n,)."""

    pictures: PreparedLike
    targets: np.ndarray


class Loop:
    """One training in progress. `run()` goes from wherever `progress` stands to the end.

    checkpoints: an existing folder; None keeps nothing. replan: called after each epoch but the last, after its
    validation; it may call `plan_anew`. on_split: called when a batch did not fit into memory, before it is done in
    parts; it may write `splits` down. checkpoint_seconds: between checkpoints (0: after every step); None:
    CHECKPOINT_SECONDS, with an early first one. keep_epochs: after every so many epochs the weights that would answer
    are kept beside the checkpoints. ranks: the processes that share each batch; `batches` gives the slice of this one,
    and the first alone writes checkpoints. own: the user's loss, in the place of the task's, and metrics, beside them.
    """

    def __init__(
        self,
        model: Model,
        batches: Batches,
        validation: Validation | None,
        plan: Resolved,
        *,
        checkpoints: Path | None = None,
        observer: Observer = SILENT,
        replan: Callable[[Loop], None] | None = None,
        on_split: Callable[[Loop], None] | None = None,
        checkpoint_seconds: float | None = None,
        keep_epochs: int | None = None,
        ranks: Ranks = ALONE,
        own: OwnParts = NOTHING_OWN,
    ) -> None:
        self.model, self.batches, self.validation, self.plan = model, batches, validation, plan
        self.checkpoints, self.observer = checkpoints, observer
        self.replan, self.on_split, self.ranks = replan, on_split, ranks
        self.keep_epochs = keep_epochs
        self.network = model.network
        self.own = own
        self.stepping = Stepping(model, plan, ranks, own)
        self.averaged, self.scaler = self.stepping.averaged, self.stepping.scaler
        self.schedule, self._watched = schedule_of(plan), watches_validation(plan.schedule)
        self.progress = Progress(plans=_first_plans(plan))
        self.best: dict[str, torch.Tensor] | None = None
        self._keeping = Keeping(self.stepping, CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds)
        self._read_every = 1 if model.device == "cpu" else STEPS_BETWEEN_READS
        self._started = 0.0
        self._pace = self._new_pace()

    @property
    def optimizer(self) -> Optimizer:
        """What moves the weights."""
        return self.stepping.optimizer

    @property
    def splits(self) -> list[list[int]]:
        """From which step on (counted from 1) a batch is done in how many parts."""
        return self.stepping.splits

    # -- the way through ------------------------------------------------------------------------

    def run(self) -> Progress:
        """Train to the end (or until validation stops improving) and leave the best weights in the network.

        Raises Diverged where the numbers break, and InputError where a checkpoint cannot be written, or where the
        schedule watches a validation that there is not.
        """
        require_watched(self.plan.schedule, held_back=self.validation is not None)
        progress = self.progress
        now = time.monotonic()
        self._started = now - progress.seconds
        self._keeping.begins(now)
        self._pace = self._new_pace()
        self.network.train()
        # It may have been stopped early, and then killed.
        stopped = self._has_stalled()
        # Dropout is seeded step by step; the caller's own stream of random numbers is left where it was.
        with torch.random.fork_rng(devices=[]):
            while progress.step < self.total_steps and not stopped:
                ended = self._train_epoch()
                assert ended is not None
                stopped = self._end_epoch(*ended)
                self._save_if_due()
        self.save()
        self._keep_best()
        return progress

    def replay(self, until: int) -> None:
        """Repeat the steps up to `until` from where `progress` stands, with what follows the last of an epoch."""
        self._started = time.monotonic() - self.progress.seconds
        self._pace = self._new_pace()
        self.network.train()
        with torch.random.fork_rng(devices=[]):
            while self.progress.step < until:
                ended = self._train_epoch(until)
                if ended is not None:
                    self._end_epoch(*ended)

    def _train_epoch(self, until: float = math.inf) -> tuple[float, Row] | None:
        """The rest of the epoch. The last learning rate, and how far each layer moved in the last step; None where
        step `until` came before its end."""
        progress, rate = self.progress, 0.0
        with closing(self.batches.epoch(progress.epoch, progress.step_in_epoch)) as batches:
            for batch in put_together(batches, self.batches.batch_size):
                last = (
                    progress.step_in_epoch + 1 == self.batches.steps_per_epoch or progress.step + 1 >= self.total_steps
                )
                rate = self.plan.learning_rate * self.schedule(self.share_done) * progress.rate_share
                set_rate(self.optimizer, rate)
                before = weights_of(self.network) if last else {}
                loss = self.step(batch)
                progress.step += 1
                progress.step_in_epoch += 1
                progress.unread.update({str(row): reason for row, reason in batch.unread.items()})
                now = time.monotonic()
                progress.seconds = now - self._started
                self._pace.stepped(now)
                if self._pace.wants_rehearsal:
                    self._rehearse()
                if last or progress.step % self._read_every == 0:
                    self._read(loss, rate)
                if last:
                    return rate, update_ratios(self.network, before)
                if progress.step >= until:
                    return None
                self._save_if_due()
        raise AssertionError("an epoch holds a step")

    def step(self, batch: Batch) -> torch.Tensor:
        """One step of the optimizer, which may evaluate the batch more than once. The loss, (,), detached.

        A batch that does not fit into memory is done in parts, as are those after it. Raises InputError where one
        picture alone does not fit.
        """
        return self.stepping.step(
            batch, self.progress.step + 1, checked=self._read_every == 1, on_split=self._tell_of_split
        )

    def _tell_of_split(self, words: str) -> None:
        if self.on_split is not None:
            self.on_split(self)
        self.observer.warn(words)

    # -- how far --------------------------------------------------------------------------------

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, as last planned."""
        return int(self._current_plan()[2])

    @property
    def share_done(self) -> float:
        """Progress of the schedule in [0, 1]: along a straight line since the last plan."""
        first, share, total = self._current_plan()
        return min(1.0, share + (1 - share) * (self.progress.step - first) / max(1, total - first))

    def plan_anew(self, total: int) -> None:
        """From here on, so many steps in all: the schedule goes on from where it is to its end."""
        self.progress.plans.append([self.progress.step, self.share_done, max(total, self.progress.step + 1)])

    def decided(self) -> Resolved:
        """The plan as it stands by now: with what was planned anew for time, and with the parts of batches."""
        plans = self.progress.plans
        total = int(plans[-1][2])
        return replace(
            self.plan,
            steps=total,
            epochs=max(1, math.ceil(total / self.batches.steps_per_epoch)),
            plans=tuple(tuple(plan) for plan in plans) if len(plans) > 1 else (),
            splits=tuple(tuple(split) for split in self.splits),
        )

    def _current_plan(self) -> list[float]:
        return next(plan for plan in reversed(self.progress.plans) if plan[0] <= self.progress.step)

    # -- looking --------------------------------------------------------------------------------

    def _read(self, loss: torch.Tensor, rate: float) -> None:
        value, progress = float(loss), self.progress
        if not math.isfinite(value):
            raise after_step(self.network, self.plan, progress.step, self._read_every - 1)
        progress.loss_sum += value
        progress.loss_count += 1
        self.observer.on_step(
            {
                "step": progress.step,
                "steps": self.total_steps,
                "epoch": progress.epoch,
                "loss": value,
                "learning_rate": rate,
                "pictures_per_second": self._pace.pictures_per_second,
                "seconds": progress.seconds,
                "seconds_left": self._pace.seconds_left(self.total_steps - progress.step, self._validations_left()),
            }
        )

    def _new_pace(self) -> Pace:
        pictures = min(self.batches.batch_size, len(self.batches.rows))
        return Pace(time.monotonic(), pictures=pictures)

    def _rehearse(self) -> None:
        """Answer a few held-back pictures, to know what a validation will take: it can be far from what as many
        pictures take in training, in another number format and with other costs of memory."""
        began = time.monotonic()
        if self.validation is None:
            self._pace.rehearsed(0.0, 0.0)
            return
        some = self.validation.pictures[:REHEARSED]
        model = self.answering()
        model.answer(some)  # the first time pays for memory
        again = time.monotonic()
        model.answer(some)
        now = time.monotonic()
        self._pace.rehearsed((now - again) / len(some) * len(self.validation.targets), now - began)

    def _validations_left(self) -> int:
        if self.validation is None:
            return 0
        progress, every = self.progress, self.plan.validate_every
        steps = self.total_steps - progress.step + progress.step_in_epoch
        end = progress.epoch + max(1, math.ceil(steps / self.batches.steps_per_epoch))
        # After each whole `every` epochs, and at the end.
        return end // every - progress.epoch // every + (end % every != 0)

    def answering(self) -> Model:
        """The model with the weights that answer: the averaged ones where averaging is on and has begun."""
        if self.averaged is None or (self.plan.swa is not None and not self.progress.averaged):
            return self.model
        return replace(self.model, network=self.averaged.network)

    def _end_epoch(self, rate: float, ratios: Row) -> bool:
        """Validate, note, keep the best. True where training should stop."""
        require_finite(self.network, self.plan, self.progress.step)
        progress = self.progress
        finished = progress.step >= self.total_steps
        row: Row = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "learning_rate": rate,
            "loss": progress.loss_sum / max(1, progress.loss_count),
        }
        stop = False
        if self.plan.swa is not None and self.share_done > 1 - self.plan.swa + SAME:
            self._average_epoch()
        if self.validation is not None and (finished or (progress.epoch + 1) % self.plan.validate_every == 0):
            began = time.monotonic()
            share_weights(self.ranks, self.network, self.averaged.network if self.averaged else None)
            answers = answered(self.ranks, self.answering(), self.validation.pictures).numpy()
            figures = told(self.ranks, self.own.figures(self.model.task, answers, self.validation.targets))
            now = time.monotonic()
            progress.seconds = now - self._started
            self._pace.validated(now - began)
            row.update({f"validation_{name}": value for name, value in figures.items()})
            stop = self._judge(figures[self.model.task.monitor])
        row.update(ratios)
        row["seconds"] = progress.seconds
        progress.history.append(row)
        progress.epoch += 1
        progress.step_in_epoch = 0
        progress.loss_sum, progress.loss_count = 0.0, 0
        self._keep_epoch()
        self.observer.on_epoch(row)
        if self.replan is not None and not finished and not stop:
            self.replan(self)
        self.network.train()
        return stop

    def _average_epoch(self) -> None:
        """Take the weights of this epoch into their mean, and the statistics of batches anew: those of the weights
        that are averaged are not those of the average."""
        self.stepping.add_epoch(self.progress.averaged)
        self.progress.averaged += 1
        if self.stepping.averaged_norms:
            with closing(self.batches.epoch(self.progress.epoch)) as batches:
                self.stepping.count_norms(put_together(batches, self.batches.batch_size))

    def _judge(self, value: float) -> bool:
        progress = self.progress
        larger = self.model.task.larger_is_better
        # Of equals the later is kept: it has seen more. What is no number is never better.
        better = not math.isnan(value) and (
            math.isnan(progress.best_value)
            or (value >= progress.best_value if larger else value <= progress.best_value)
        )
        if better:
            progress.best_value, progress.best_epoch = value, progress.epoch
            progress.epochs_without_better = 0
            weights = self.answering().network.state_dict()
            self.best = {name: tensor.detach().clone() for name, tensor in weights.items()}
        else:
            progress.epochs_without_better += 1
        if self._watched:
            progress.waited = 0 if better else progress.waited + 1
            if progress.waited >= self.plan.schedule.wait:
                progress.rate_share, progress.waited = fallen_further(progress.rate_share, self.plan.schedule), 0
        return self._has_stalled()

    def _has_stalled(self) -> bool:
        return self.plan.patience is not None and self.progress.epochs_without_better >= self.plan.patience

    # -- keeping --------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the checkpoints, where they are kept and this is the process that writes.

        Raises Diverged rather than overwrite a good checkpoint by weights that are no numbers, and InputError
        where the disk refuses.
        """
        if self.checkpoints is not None and self.ranks.first:
            self._keeping.save(self.checkpoints, self.progress, self.best)

    def _keep_epoch(self) -> None:
        """Write the weights that would answer now, where they are to be kept."""
        epoch = self.progress.epoch
        wanted = self.keep_epochs is not None and epoch % self.keep_epochs == 0
        if wanted and self.checkpoints is not None and self.ranks.first:
            keep_epoch(self.checkpoints, epoch, self.answering().network.state_dict())

    def _save_if_due(self) -> None:
        began = time.monotonic()
        if self.checkpoints is None or not self._keeping.is_due(began):
            return
        self.save()
        now = time.monotonic()
        self._keeping.took(now - began, now)

    def restore(self) -> None:
        """Go back to the last checkpoint, by what the recipe has planned since. Raises InputError where there is none
        that fits."""
        assert self.checkpoints is not None
        self.progress, self.best = self._keeping.restore(self.checkpoints, self.progress.plans)

    def _keep_best(self) -> None:
        if self.best is not None:
            self.network.load_state_dict(self.best)
        elif self.averaged is not None:
            self.network.load_state_dict(self.answering().network.state_dict())
        self.network.eval()


def is_done(progress: Progress, plan: Resolved) -> bool:
    """Whether a training that stands at `progress` has come to the end that `plan` sets, or was stopped early."""
    if progress.plans[0] != _first_plans(plan)[0]:
        return False  # it was asked to go further since
    stalled = plan.patience is not None and progress.epochs_without_better >= plan.patience
    return stalled or progress.step >= progress.plans[-1][2]


def _first_plans(plan: Resolved) -> list[list[float]]:
    return [[float(value) for value in entry] for entry in plan.plans] or [[0, 0.0, plan.steps]]
