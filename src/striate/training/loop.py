"""The loop: batches through the network, loss, gradient, step; validation, checkpoints, observers.

It knows a task only through `tasks/task.py` and a network only as a module. Everything that was decided
comes in as `Resolved`; everything that changes is in `Progress` and in the weights, and both are in each
checkpoint, so that a resumed run goes on as if it had never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from striate.data.batches import Batch, Batches
from striate.errors import InputError
from striate.machine.precision import autocast
from striate.models.model import Model
from striate.observer import SILENT, Observer
from striate.taps.finite import first_not_finite
from striate.training.averaging import Averaged
from striate.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from striate.training.history import Row
from striate.training.optimizers import build_optimizer, set_rate
from striate.training.resolved import Resolved
from striate.training.schedules import schedule_named

CHECKPOINT_SECONDS = 30.0
# Reading a number from an accelerator waits for it; on the processor it is free.
STEPS_BETWEEN_READS = 20


@dataclass(frozen=True)
class Validation:
    """Pictures held back from training, as the network takes them (n, C, H, W), and their targets (n,)."""

    pictures: torch.Tensor
    targets: np.ndarray


class Diverged(InputError):
    """The loss is no number any more. The last good checkpoint is kept."""


class Loop:
    """One training in progress. `run()` goes from wherever `progress` stands to the end."""

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
    ) -> None:
        self.model, self.batches, self.validation, self.plan = model, batches, validation, plan
        self.checkpoints, self.observer, self.replan = checkpoints, observer, replan
        self.network = model.network
        self.optimizer = build_optimizer(self.network, plan.optimizer, plan.learning_rate)
        self.averaged = Averaged(self.network, plan.averaging) if plan.averaging else None
        self.schedule = schedule_named(plan.schedule)
        self.progress = Progress(
            plans=[[float(value) for value in entry] for entry in plan.plans] or [[0, 0.0, plan.steps]]
        )
        self.best: dict[str, torch.Tensor] | None = None
        self._read_every = 1 if model.device == "cpu" else STEPS_BETWEEN_READS

    # -- the way through ------------------------------------------------------------------------

    def run(self) -> Progress:
        """Train to the end (or until validation stops improving) and leave the best weights in the network."""
        progress, started = self.progress, time.monotonic() - self.progress.seconds
        saved, stopped = time.monotonic(), False
        self.network.train()
        while progress.step < self.total_steps and not stopped:
            ratios: Row = {}
            for batch in self.batches.epoch(progress.epoch, progress.step_in_epoch):
                last_of_epoch = (
                    progress.step_in_epoch + 1 == self.batches.steps_per_epoch or progress.step + 1 == self.total_steps
                )
                rate = self.plan.learning_rate * self.schedule(self.share_done, self.plan.schedule)
                set_rate(self.optimizer, rate)
                before = self._weights() if last_of_epoch else {}
                loss = self.step(batch)
                progress.step += 1
                progress.step_in_epoch += 1
                progress.seconds = time.monotonic() - started
                if progress.step % self._read_every == 0 or last_of_epoch:
                    self._read(loss, rate, batch)
                if before:
                    ratios = self._update_ratios(before)
                if self.checkpoints and time.monotonic() - saved > CHECKPOINT_SECONDS and not last_of_epoch:
                    self.save()
                    saved = time.monotonic()
                if progress.step >= self.total_steps:
                    break
            stopped = self._end_epoch(rate, ratios)
            progress.seconds = time.monotonic() - started
            if self.checkpoints and time.monotonic() - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = time.monotonic()
        self.save()
        self._keep_best()
        return progress

    def step(self, batch: Batch) -> torch.Tensor:
        """One step of the optimizer, which may evaluate the batch more than once. The loss, (,), detached."""
        device = self.model.device
        inputs = self.model.input_spec.normalize(batch.pictures.to(device, non_blocking=True))
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        targets = batch.targets.to(device, non_blocking=True)
        weights = None if batch.weights is None else batch.weights.to(device, non_blocking=True)

        def evaluate() -> torch.Tensor:
            # Dropout is drawn from (seed, step), whatever was drawn before.
            torch.manual_seed((self.plan.seed * 1_000_003 + self.progress.step) % 2**63)
            self.optimizer.zero_grad(set_to_none=True)
            with autocast(self.plan.precision, device):
                outputs = self.network(inputs)
            losses = self.model.task.loss(outputs.float(), targets)
            loss = losses.mean() if weights is None else (losses * weights).sum() / weights.sum()
            loss.backward()  # type: ignore[no-untyped-call]
            if self.plan.clip is not None:
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip)
            return loss.detach()

        # torch types the loss as a float; what the closure returns comes back as it is.
        loss: torch.Tensor = self.optimizer.step(evaluate)  # type: ignore[arg-type, assignment]
        if self.averaged is not None:
            self.averaged.update(self.progress.step + 1)
        return loss

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

    def _current_plan(self) -> list[float]:
        return next(plan for plan in reversed(self.progress.plans) if plan[0] <= self.progress.step)

    # -- looking --------------------------------------------------------------------------------

    def _read(self, loss: torch.Tensor, rate: float, batch: Batch) -> None:
        value, progress = float(loss), self.progress
        if not math.isfinite(value):
            self._refuse_to_go_on(batch)
        progress.loss_sum += value
        progress.loss_count += 1
        speed = progress.step * self.batches.batch_size / max(progress.seconds, 1e-9)
        self.observer.on_step(
            {
                "step": progress.step,
                "steps": self.total_steps,
                "epoch": progress.epoch,
                "loss": value,
                "learning_rate": rate,
                "pictures_per_second": speed,
                "seconds": progress.seconds,
                "seconds_left": progress.seconds / progress.step * (self.total_steps - progress.step),
            }
        )

    def _refuse_to_go_on(self, batch: Batch) -> None:
        """Say at which step and layer the numbers broke."""
        inputs = self.model.input_spec.normalize(batch.pictures.to(self.model.device))
        broken = [name for name, weight in self.network.named_parameters() if not bool(weight.isfinite().all())]
        layer = broken[0] if broken else first_not_finite(self.network, inputs)
        where = f" in layer {layer}" if layer else ""
        raise Diverged(
            f"the loss is no number any more at step {self.progress.step}{where} "
            f"(learning rate {self.plan.learning_rate:g}); try --learning-rate {self.plan.learning_rate / 10:g}, "
            "--clip 1 or --precision float32"
        )

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
            answers = self.answering().answer(self.validation.pictures).numpy()
            figures = self.model.task.metrics(answers, self.validation.targets)
            row.update({f"validation_{name}": value for name, value in figures.items()})
            stop = self._judge(figures[self.model.task.monitor])
        row.update(ratios)
        row["seconds"] = progress.seconds
        progress.history.append(row)
        progress.epoch += 1
        progress.step_in_epoch = 0
        progress.loss_sum, progress.loss_count = 0.0, 0
        self.observer.on_epoch(row)
        if self.replan is not None and not finished and not stop:
            self.replan(self)
        self.network.train()
        return stop

    def _judge(self, value: float) -> bool:
        progress = self.progress
        larger = self.model.task.larger_is_better
        # Of equals the later is kept: it has seen more.
        better = math.isnan(progress.best_value) or (
            value >= progress.best_value if larger else value <= progress.best_value
        )
        if better:
            progress.best_value, progress.best_epoch = value, progress.epoch
            progress.epochs_without_better = 0
            weights = self.answering().network.state_dict()
            self.best = {name: tensor.detach().clone() for name, tensor in weights.items()}
            return False
        progress.epochs_without_better += 1
        return self.plan.patience is not None and progress.epochs_without_better >= self.plan.patience

    # -- keeping --------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the checkpoints: the best weights first, then where the training stands."""
        if self.checkpoints is None:
            return
        from striate.training.checkpoint import write_tensors

        if self.best is not None:
            write_tensors(self.checkpoints / "best.safetensors", self.best, {"epoch": self.progress.best_epoch})
        average = self.averaged.network if self.averaged is not None else None
        save_checkpoint(self.checkpoints / "last.safetensors", self.progress, self.network, average, self.optimizer)

    def restore(self) -> None:
        """Go back to the last checkpoint. Raises InputError where there is none that fits."""
        from striate.training.checkpoint import read_tensors

        assert self.checkpoints is not None
        average = self.averaged.network if self.averaged is not None else None
        plans = self.progress.plans
        self.progress = load_checkpoint(self.checkpoints / "last.safetensors", self.network, average, self.optimizer)
        # Plans that were made after the checkpoint stand in the recipe: they are followed, not made anew.
        known = {plan[0] for plan in self.progress.plans}
        self.progress.plans += [plan for plan in plans if plan[0] not in known and plan[0] > self.progress.step]
        if self.progress.best_epoch >= 0:
            self.best, _ = read_tensors(self.checkpoints / "best.safetensors")

    def _keep_best(self) -> None:
        if self.best is not None:
            self.network.load_state_dict(self.best)
        elif self.averaged is not None:
            self.network.load_state_dict(self.averaged.network.state_dict())
        self.network.eval()
