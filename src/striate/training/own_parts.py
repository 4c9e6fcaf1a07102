"""A user's own loss in the place of the task's, and a user's own metrics beside it.

Legend: B batch, N held-back pictures, K outputs. `targets` are what the task makes of them: (B,) `int64` classes,
shares (B, K) of them where pictures are mixed, (B, K) labels or standardised numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.errors import InputError, require

if TYPE_CHECKING:
    import torch

    from striate.tasks.task import Task
    from striate.training.resolved import Resolved

Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
Metric = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True, kw_only=True)
class OwnParts:
    """What the user brought.

    loss(outputs (B, K) `float32`, targets) -> (B,), which is weighed and averaged, or one number for all of them.
    metrics: name -> function of answers (N, K) and targets as arrays, which
    gives a number; they watch, and choose nothing.
    Raises InputError for what is no function, and for a loss with weights to train: only the network's are.
    """

    loss: Loss | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.loss is None or callable(self.loss), f"loss must be a function, got {type(self.loss).__name__}")
        if isinstance(self.loss, type):
            raise InputError(f"loss is the class {self.loss.__name__}; make one of it: loss={self.loss.__name__}()")
        weights = getattr(self.loss, "parameters", tuple)  # of a torch.nn.Module; a function has none
        require(
            not any(weight.requires_grad for weight in weights()),
            f"loss {type(self.loss).__name__} has weights of its own, which would not be trained; put them into the "
            "network, or set their requires_grad to False",
        )
        wanted = "metrics must be {name: function}"
        require(isinstance(self.metrics, Mapping), f"{wanted}, got {type(self.metrics).__name__}")
        for name, metric in self.metrics.items():
            require(isinstance(name, str) and callable(metric), f"{wanted}, got {name!r}: {type(metric).__name__}")

    def require_as_before(self, resolved: Resolved, where: str) -> None:
        """Raise InputError where what was resolved learns by a loss of the user's and this has none, or reversed."""
        before, now = resolved.own_loss, self.loss is not None
        require(now or not before, f"{where}: learns by a loss of your own; give it in Python, as loss=function")
        require(before or not now, f"{where}: does not learn by a loss of your own, so leave loss away")

    def losses(self, task: Task, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each picture (B,). Raises InputError where the user's function gives something else."""
        import torch

        if self.loss is None:
            return task.loss(outputs, targets)
        found: Any = self.loss(outputs, targets)
        count = len(outputs)
        if isinstance(found, torch.Tensor) and tuple(found.shape) in ((), (count,)) and found.is_floating_point():
            require(
                found.requires_grad or not outputs.requires_grad,
                "your loss has no gradient; compute it from the outputs by operations of torch, without detach",
            )
            # One number for all is the loss of each: its mean and its share of a larger batch are what they should be.
            return found.expand(count)
        shape = f"{tuple(found.shape)} of {found.dtype}" if isinstance(found, torch.Tensor) else type(found).__name__
        raise InputError(
            f"your loss must give one number, or {count} for {count} pictures, as a tensor; it gives {shape}"
        )

    def figures(self, task: Task, answers: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The task's figures of a validation, and the user's. Raises InputError where one is no number, or takes the
        name of another."""
        found = task.metrics(answers, targets)
        for name, metric in self.metrics.items():
            require(name not in found, f"'{name}' is a metric of the task already; give yours another name")
            value: Any = metric(answers, targets)
            try:
                found[name] = float(value)
            except (TypeError, ValueError):
                raise InputError(f"the metric '{name}' must give a number, it gives {type(value).__name__}") from None
        return found


NOTHING_OWN = OwnParts()
