"""One step of a training: a batch through the network, its loss, the gradient, the optimizer's move.

A batch that does not fit into memory is done in parts (`memory.py`), and so is one that stands for several; one that
processes share is one step of all of them (`parallel.py`). Of a task only `tasks/task.py` is known, of a network that
it is a module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from striate.data.batches import Batch
from striate.errors import InputError
from striate.machine.compilation import compiled
from striate.machine.memory import give_back_memory, is_out_of_memory
from striate.machine.precision import autocast, loss_scaler
from striate.machine.ranks import Ranks
from striate.machine.seeding import seed_draws
from striate.models.model import Model
from striate.networks.blocks import frozen_norms
from striate.training.averaging import Averaged, AveragedEpochs, BatchNorm, batch_norms, count_norms_anew
from striate.training.diverged import before_step
from striate.training.memory import Buffers, in_parts, parts_at, split_further, split_words
from striate.training.optimizers import build_optimizer
from striate.training.own_parts import NOTHING_OWN, OwnParts
from striate.training.parallel import average_gradients, seed_of_step
from striate.training.regularizers import penalty_of
from striate.training.resolved import Resolved


class Stepping:
    """What steps move: the network's weights, their average, the optimizer's state, the scale of losses in float16."""

    def __init__(self, model: Model, plan: Resolved, ranks: Ranks, own: OwnParts = NOTHING_OWN) -> None:
        self.model, self.plan, self.ranks, self.own = model, plan, ranks, own
        self.network = model.network
        # Steps alone are compiled: answers are computed in batches of many sizes.
        self.forward = compiled(self.network) if plan.compile else self.network
        self.optimizer = build_optimizer(self.network, plan.optimizer, plan.learning_rate)
        self.scaler = loss_scaler(plan.precision, model.device)
        self.averaged: Averaged | AveragedEpochs | None = None
        if plan.averaging:
            self.averaged = Averaged(self.network, plan.averaging)
        elif plan.swa is not None:
            self.averaged = AveragedEpochs(self.network)
        self.penalty = penalty_of(self.network, plan.regularizer)
        self._still = self._frozen_norms(self.network)
        # Those of the averaged network whose statistics are its own.
        self.averaged_norms: list[BatchNorm] = []
        if isinstance(self.averaged, AveragedEpochs):
            still = self._frozen_norms(self.averaged.network)
            self.averaged_norms = [norm for norm in batch_norms(self.averaged.network) if norm not in still]
        # From which step on (counted from 1) a batch is done in how many parts.
        self.splits: list[list[int]] = [[int(first), int(parts)] for first, parts in plan.splits]
        self._buffers = Buffers(self.network)
        self._autocast = autocast(plan.precision, model.device)

    def step(self, batch: Batch, number: int, *, checked: bool, on_split: Callable[[str], None]) -> torch.Tensor:
        """Step `number`, counted from 1, which may evaluate the batch more than once. The loss, (,), detached.

        A batch that does not fit into memory is done in parts, as are those after it: `on_split` is told so in words,
        for the log, when `splits` has them and before they take effect. Raises InputError where one picture alone does
        not fit; Diverged where the loss is no number, before anything moves, if it is `checked`.
        """
        self._buffers.keep()
        for norm in self._still:  # the loop puts all of the network into training mode
            norm.training = False
        loss = self._attempt(batch, number, checked)
        while loss is None:
            # Written down before it takes effect.
            pictures = -(-len(batch) // self.plan.accumulate)
            self.splits = split_further(self.splits, number, pictures)
            on_split(split_words(self.network, number, pictures, self.splits[-1][1]))
            loss = self._attempt(batch, number, checked)
        if self.averaged is not None:
            self.averaged.update(number)
        return loss

    def _attempt(self, batch: Batch, number: int, checked: bool) -> torch.Tensor | None:
        """The step, in as many parts as are known to fit; None where they do not, and then all is as it was."""
        evaluated = 0

        def evaluate() -> torch.Tensor:
            nonlocal evaluated
            self._seed(number)
            self.optimizer.zero_grad(set_to_none=True)
            wanted = parts_at(self.splits, number) * self.plan.accumulate
            parts = in_parts(batch, min(wanted, len(batch)))
            losses = [self._add_gradient(part, batch, number, checked) for part in parts]
            loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
            if self.ranks.several:
                loss = self._over_ranks(loss, batch, number, checked)
            if self.scaler is not None and (self.plan.clip is not None or self.penalty is not None):
                self.scaler.unscale_(self.optimizer)  # type: ignore[arg-type]
            if self.penalty is not None:
                loss = loss + self.penalty.add_gradient()
            if self.plan.clip is not None:
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

    def add_epoch(self, count: int) -> None:
        """Take the weights of the end of an epoch into the mean of `count` earlier ones."""
        assert isinstance(self.averaged, AveragedEpochs)
        self.averaged.add(count)

    def count_norms(self, batches: Iterable[Batch]) -> None:
        """Let the batch normalisations of the averaged network see these batches."""
        assert self.averaged is not None
        network, device = self.averaged.network, self.model.device

        def run(inputs: torch.Tensor) -> None:
            with self._autocast:
                network(inputs)

        parts = (part for batch in batches for part in in_parts(batch, min(self.plan.accumulate, len(batch))))
        pictures = (self.model.inputs(part.pictures.to(device, non_blocking=True)) for part in parts)
        count_norms_anew(self.averaged_norms, pictures, run)

    def _frozen_norms(self, network: nn.Module) -> list[nn.Module]:
        return [] if self.plan.freeze is None else frozen_norms(network, self.plan.freeze)

    def _add_gradient(self, part: Batch, whole: Batch, number: int, checked: bool) -> torch.Tensor:
        """The share of `part` in the loss of the whole batch, (,), detached; its gradient is added to what is there."""
        device = self.model.device
        inputs = self.model.inputs(part.pictures.to(device, non_blocking=True))
        targets = part.targets.to(device, non_blocking=True)
        with self._autocast:
            outputs = self._fitting(self.forward(inputs), len(inputs))
        losses = self.own.losses(self.model.task, outputs.float(), targets)
        if part.weights is None or whole.weights is None:
            loss = losses.mean() if part is whole else losses.sum() / len(whole)
        else:
            weights, all_weights = (one.to(device, non_blocking=True) for one in (part.weights, whole.weights))
            loss = _weighted(losses, weights, all_weights)
        if checked and not self.ranks.several:
            self._require_number(loss, inputs, number)
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _over_ranks(self, loss: torch.Tensor, batch: Batch, number: int, checked: bool) -> torch.Tensor:
        """The loss of the batch of all ranks, of which `batch` is this one's; its gradient takes the place of ours.

        All of them see the same loss, and stop together where it is no number.
        """
        weight = float(len(batch)) if batch.weights is None else batch.weights.sum()
        loss = average_gradients(self.ranks, self.network.parameters(), loss, weight)
        if checked:
            self._require_number(loss, self.model.inputs(batch.pictures[:1].to(self.model.device)), number)
        return loss

    def _require_number(self, loss: torch.Tensor, inputs: torch.Tensor, number: int) -> None:
        """Before the step, while the weights still show where it came from. Raises Diverged."""
        if not math.isfinite(float(loss.detach())):
            self._seed(number)
            raise before_step(self.network, self.plan, number, inputs)

    def _fitting(self, outputs: object, count: int) -> torch.Tensor:
        """What the network gave for `count` pictures. Raises InputError where it is not what the task needs."""
        wanted = self.model.task.num_outputs
        if isinstance(outputs, torch.Tensor) and outputs.ndim >= 2 and outputs.shape[:2] == (count, wanted):
            return outputs
        got = "x".join(map(str, outputs.shape)) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise InputError(f"the network must give {count}x{wanted} numbers for {count} pictures, it gives {got}")

    def _seed(self, number: int) -> None:
        # Dropout is drawn from (seed, step, rank), whatever was drawn before.
        seed_draws(self.model.device, seed_of_step(self.plan.seed, number - 1, self.ranks.rank))


def _weighted(losses: torch.Tensor, weights: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """The share of losses (b,) in the weighted mean over a batch of weights `whole` (B,), (,); 0 where none counts."""
    return (losses * weights).sum() / whole.sum().clamp_min(torch.finfo(whole.dtype).tiny)
