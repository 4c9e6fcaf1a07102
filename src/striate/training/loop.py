"""The loop: batches through the network, loss, gradient, step; validation, checkpoints, observers.

It knows a task only through `tasks/task.py` and a network only as a module. Everything that was decided
comes in as `Resolved`; everything that changes is in `Progress` and in the weights, and both are in each
checkpoint, so that a resumed run goes on as if it had never stopped.
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
from striate.errors import InputError
from striate.machine.compilation import compiled
from striate.machine.memory import give_back_memory, is_out_of_memory
from striate.machine.precision import autocast, loss_scaler
from striate.machine.ranks import ALONE, Ranks, told
from striate.machine.seeding import seed_draws
from striate.models.model import Model, PreparedLike
from striate.models.run import BEST, LAST, PREVIOUS, epoch_file
from striate.observer import SILENT, Observer
from striate.training.averaging import Averaged
from striate.training.checkpoint import (
    Progress,
    latest,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    write_tensors,
)
from striate.training.diverged import after_step, before_step, require_finite
from striate.training.history import Row
from striate.training.memory import Buffers, in_parts, parts_at, put_together, split_further, split_words
from striate.training.optimizers import build_optimizer, set_rate
from striate.training.pace import Pace
from striate.training.parallel import answered, average_gradients, seed_of_step, share_weights
from striate.training.resolved import Resolved
from striate.training.schedules import schedule_named

# Between checkpoints: a kill loses at most a minute, and little of a run that has just begun.
CHECKPOINT_SECONDS = 30.0
FIRST_CHECKPOINT_SECONDS = 5.0
# A checkpoint that takes long is written more rarely, so that it costs a few per cent of the time, up to the limit.
CHECKPOINT_SHARE = 0.03
LONGEST_WITHOUT_CHECKPOINT = 50.0
# Reading a number from an accelerator waits for it; on the processor it is free.
STEPS_BETWEEN_READS = 20
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
    and the first alone writes checkpoints.
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
    ) -> None:
        self.model, self.batches, self.validation, self.plan = model, batches, validation, plan
        self.checkpoints, self.observer = checkpoints, observer
        self.replan, self.on_split, self.ranks = replan, on_split, ranks
        self.keep_epochs = keep_epochs
        self.network = model.network
        # Steps alone are compiled: answers are computed in batches of many sizes.
        self.forward = compiled(self.network) if plan.compile else self.network
        self.optimizer = build_optimizer(self.network, plan.optimizer, plan.learning_rate)
        self.scaler = loss_scaler(plan.precision, model.device)
        self.averaged = Averaged(self.network, plan.averaging) if plan.averaging else None
        self.schedule = schedule_named(plan.schedule)
        self.progress = Progress(plans=_first_plans(plan))
        self.best: dict[str, torch.Tensor] | None = None
        # From which step on (counted from 1) a batch is done in how many parts.
        self.splits: list[list[int]] = [[int(first), int(parts)] for first, parts in plan.splits]
        self._buffers = Buffers(self.network)
        self._autocast = autocast(plan.precision, model.device)
        self._saved_step = self._saved_best = -1
        self._read_every = 1 if model.device == "cpu" else STEPS_BETWEEN_READS
        self._checkpoint_seconds = CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds
        self._next_save = self._started = 0.0
        self._pace = self._new_pace()

    # -- the way through ------------------------------------------------------------------------

    def run(self) -> Progress:
        """Train to the end (or until validation stops improving) and leave the best weights in the network.

        Raises Diverged where the numbers break, and InputError where a checkpoint cannot be written.
        """
        progress = self.progress
        now = time.monotonic()
        self._started = now - progress.seconds
        self._next_save = now + min(FIRST_CHECKPOINT_SECONDS, self._checkpoint_seconds)
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
                rate = self.plan.learning_rate * self.schedule(self.share_done, self.plan.schedule)
                set_rate(self.optimizer, rate)
                before = self._weights() if last else {}
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
                    return rate, self._update_ratios(before)
                if progress.step >= until:
                    return None
                self._save_if_due()
        raise AssertionError("an epoch holds a step")

    def step(self, batch: Batch) -> torch.Tensor:
        """One step of the optimizer, which may evaluate the batch more than once. The loss, (,), detached.

        A batch that does not fit into memory is done in parts, as are those after it. Raises InputError where one
        picture alone does not fit.
        """
        self._buffers.keep()
        loss = self._attempt(batch)
        while loss is None:
            self._split_further(len(batch))
            loss = self._attempt(batch)
        if self.averaged is not None:
            self.averaged.update(self.progress.step + 1)
        return loss

    def _attempt(self, batch: Batch) -> torch.Tensor | None:
        """The step, in as many parts as are known to fit; None where they do not, and then all is as it was."""
        evaluated = 0

        def evaluate() -> torch.Tensor:
            nonlocal evaluated
            self._seed_step()
            self.optimizer.zero_grad(set_to_none=True)
            parts = in_parts(batch, parts_at(self.splits, self.progress.step + 1))
            losses = [self._add_gradient(part, batch) for part in parts]
            loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
            if self.ranks.several:
                loss = self._over_ranks(loss, batch)
            if self.plan.clip is not None:
                if self.scaler is not None:
                    self.scaler.unscale_(self.optimizer)  # type: ignore[arg-type]
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip)
            evaluated += 1
            return loss

        try:
            if self.scaler is None:
                loss: torch.Tensor = self.optimizer.step(evaluate)
            else:
                loss = evaluate()
                self.scaler.step(self.optimizer)  # type: ignore[arg-type]
                self.scaler.update()
            return loss
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if evaluated:
                # Of a larger batch nothing is left by now: smaller parts would not help.
                raise InputError(
                    f"there is no memory left for what {self.plan.optimizer.name} keeps of each weight; "
                    "take a smaller network, or --optimizer sgd"
                ) from error
        # Here the error is gone, and with it everything that its frames held on to.
        self.optimizer.zero_grad(set_to_none=True)
        self._buffers.put_back()
        give_back_memory(self.model.device)
        return None

    def _add_gradient(self, part: Batch, whole: Batch) -> torch.Tensor:
        """The share of `part` in the loss of the whole batch, (,), detached; its gradient is added to what is there."""
        device = self.model.device
        inputs = self.model.inputs(part.pictures.to(device, non_blocking=True))
        targets = part.targets.to(device, non_blocking=True)
        with self._autocast:
            outputs = self._checked(self.forward(inputs), len(inputs))
        losses = self.model.task.loss(outputs.float(), targets)
        if part.weights is None or whole.weights is None:
            loss = losses.mean() if part is whole else losses.sum() / len(whole)
        else:
            weights, all_weights = (one.to(device, non_blocking=True) for one in (part.weights, whole.weights))
            loss = _weighted(losses, weights, all_weights)
        if not self.ranks.several:
            self._require_number(loss, inputs)
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _over_ranks(self, loss: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The loss of the batch of all ranks, of which `batch` is this one's; its gradient takes the place of ours.

        All of them see the same loss, and stop together where it is no number.
        """
        weight = float(len(batch)) if batch.weights is None else batch.weights.sum()
        loss = average_gradients(self.ranks, self.network.parameters(), loss, weight)
        self._require_number(loss, self.model.inputs(batch.pictures[:1].to(self.model.device)))
        return loss

    def _require_number(self, loss: torch.Tensor, inputs: torch.Tensor) -> None:
        """Before the step, while the weights still show where it came from. Raises Diverged."""
        if self._read_every == 1 and not math.isfinite(float(loss.detach())):
            self._seed_step()
            raise before_step(self.network, self.plan, self.progress.step + 1, inputs)

    def _split_further(self, pictures: int) -> None:
        """Twice as many parts, from this step on; written down before they take effect."""
        step = self.progress.step + 1
        self.splits = split_further(self.splits, step, pictures)
        if self.on_split is not None:
            self.on_split(self)
        self.observer.warn(split_words(self.network, step, pictures, self.splits[-1][1]))

    def _checked(self, outputs: object, count: int) -> torch.Tensor:
        """What the network gave for `count` pictures. Raises InputError where it is not what the task needs."""
        wanted = self.model.task.num_outputs
        if isinstance(outputs, torch.Tensor) and outputs.ndim >= 2 and outputs.shape[:2] == (count, wanted):
            return outputs
        got = "x".join(map(str, outputs.shape)) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise InputError(f"the network must give {count}x{wanted} numbers for {count} pictures, it gives {got}")

    def _seed_step(self) -> None:
        # Dropout is drawn from (seed, step, rank), whatever was drawn before.
        seed_draws(self.model.device, seed_of_step(self.plan.seed, self.progress.step, self.ranks.rank))

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

    def _weights(self) -> dict[str, torch.Tensor]:
        named = self.network.named_parameters()
        return {name: weight.detach().clone() for name, weight in named if weight.ndim > 1 and weight.requires_grad}

    def _update_ratios(self, before: dict[str, torch.Tensor]) -> Row:
        """Norm of the last update over the norm of the weights, by layer; about 1e-3 is healthy."""
        now = dict(self.network.named_parameters())
        return {
            f"update_ratio:{name.removesuffix('.weight')}": float((now[name].detach() - old).norm())
            / max(float(old.norm()), 1e-12)
            for name, old in before.items()
        }

    def answering(self) -> Model:
        """The model with the weights that answer: the averaged ones where averaging is on."""
        return replace(self.model, network=self.averaged.network) if self.averaged is not None else self.model

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
        if self.validation is not None and (finished or (progress.epoch + 1) % self.plan.validate_every == 0):
            began = time.monotonic()
            share_weights(self.ranks, self.network, self.averaged.network if self.averaged else None)
            answers = answered(self.ranks, self.answering(), self.validation.pictures).numpy()
            figures = told(self.ranks, self.model.task.metrics(answers, self.validation.targets))
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
        return self._has_stalled()

    def _has_stalled(self) -> bool:
        return self.plan.patience is not None and self.progress.epochs_without_better >= self.plan.patience

    # -- keeping --------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the checkpoints: the best weights first, then where the training stands; the one before is kept.

        Raises Diverged rather than overwrite a good checkpoint by weights that are no numbers, and InputError
        where the disk refuses.
        """
        if self.checkpoints is None or not self.ranks.first:
            return
        progress = self.progress
        require_finite(self.network, self.plan, progress.step)
        if self.best is not None and self._saved_best != progress.best_epoch:
            write_tensors(self.checkpoints / BEST, self.best, {"epoch": progress.best_epoch})
            self._saved_best = progress.best_epoch
        if self.scaler is not None:
            progress.scaler = self.scaler.state_dict()
        average = self.averaged.network if self.averaged is not None else None
        # The same step once more replaces itself: the previous one stays an earlier one.
        keep = None if self._saved_step == progress.step else self.checkpoints / PREVIOUS
        save_checkpoint(self.checkpoints / LAST, progress, self.network, average, self.optimizer, keep=keep)
        self._saved_step = progress.step

    def _keep_epoch(self) -> None:
        """Write the weights that would answer now, where they are to be kept."""
        epoch = self.progress.epoch
        wanted = self.keep_epochs is not None and epoch % self.keep_epochs == 0
        if wanted and self.checkpoints is not None and self.ranks.first:
            weights = self.answering().network.state_dict()
            write_tensors(self.checkpoints / epoch_file(epoch), weights, {"epoch": epoch})

    def _save_if_due(self) -> None:
        began = time.monotonic()
        if self.checkpoints is None or began < self._next_save:
            return
        self.save()
        now = time.monotonic()
        self._next_save = now + seconds_to_next_checkpoint(now - began, self._checkpoint_seconds)

    def restore(self) -> None:
        """Go back to the last checkpoint. Raises InputError where there is none that fits.

        Plans that the recipe made after the checkpoint are followed, not made anew. Where the recipe's first plan
        is another than the checkpoint's, the run was asked to go further: then the recipe's plans hold, and
        validation may improve again.
        """
        assert self.checkpoints is not None
        average = self.averaged.network if self.averaged is not None else None
        plans = self.progress.plans
        path = latest(self.checkpoints) or self.checkpoints / LAST
        self.progress = load_checkpoint(path, self.network, average, self.optimizer)
        self._saved_step = self.progress.step
        if self.scaler is not None:
            self.scaler.load_state_dict(self.progress.scaler)
        if self.progress.plans[0] != plans[0]:
            self.progress.plans = plans
            self.progress.epochs_without_better = 0
        else:
            newest = self.progress.plans[-1][0]
            self.progress.plans += [plan for plan in plans if plan[0] > newest]
        if self.progress.best_epoch >= 0:
            self.best, _ = read_tensors(self.checkpoints / BEST)
            self._saved_best = self.progress.best_epoch

    def _keep_best(self) -> None:
        if self.best is not None:
            self.network.load_state_dict(self.best)
        elif self.averaged is not None:
            self.network.load_state_dict(self.averaged.network.state_dict())
        self.network.eval()


def seconds_to_next_checkpoint(cost: float, wanted: float) -> float:
    """`wanted`, or longer where writing one took `cost` seconds, so that it is CHECKPOINT_SHARE of the time; at most
    LONGEST_WITHOUT_CHECKPOINT. 0 where `wanted` is 0: after every step."""
    return max(wanted, min(cost / CHECKPOINT_SHARE, LONGEST_WITHOUT_CHECKPOINT)) if wanted > 0 else 0.0


def is_done(progress: Progress, plan: Resolved) -> bool:
    """Whether a training that stands at `progress` has come to the end that `plan` sets, or was stopped early."""
    if progress.plans[0] != _first_plans(plan)[0]:
        return False  # it was asked to go further since
    stalled = plan.patience is not None and progress.epochs_without_better >= plan.patience
    return stalled or progress.step >= progress.plans[-1][2]


def _first_plans(plan: Resolved) -> list[list[float]]:
    return [[float(value) for value in entry] for entry in plan.plans] or [[0, 0.0, plan.steps]]


def _weighted(losses: torch.Tensor, weights: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """The share of losses (b,) in the weighted mean over a batch of weights `whole` (B,), (,); 0 where none counts."""
    return (losses * weights).sum() / whole.sum().clamp_min(torch.finfo(whole.dtype).tiny)
