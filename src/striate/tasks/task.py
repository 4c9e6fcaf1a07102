"""What is asked of a network: the contract that every task keeps.

The loop and the run folder know a task only through `Task`, so that a new task (segmentation, detection, ...) is one
file; commands know those of `TASKS`, whose targets are rows of a table, through `TableTask`. Legend: N rows, B batch,
K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch

    from striate.data.placement import Placement


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What a recipe says of a task; each means what it says in `Recipe`, but for `noun`."""

    label_smoothing: float = 0.0
    class_weights: str = "none"
    loss: str | None = None  # None: the task's own
    angles: tuple[str, ...] = ()
    noun: str = "picture"  # what has a target, in sentences


class Task(Protocol):
    """Encodes targets, sizes the head, names the loss, decodes outputs, counts what matters."""

    @property
    def name(self) -> str:
        """Its name in `TASKS`."""
        ...

    @property
    def num_outputs(self) -> int:
        """Outputs of the network (K; channels where the answer is a picture)."""
        ...

    @property
    def monitor(self) -> str:
        """The metric that chooses the best epoch."""
        ...

    @property
    def larger_is_better(self) -> bool:
        """Whether more of `monitor` is better."""
        ...

    def targets(self, rows: np.ndarray, placement: Placement | None) -> torch.Tensor:
        """Targets of these rows (B,) of the table that the task was bound to, moved as the pictures
        were (`placement` None: not moved)."""
        ...

    def mix(self, targets: torch.Tensor, partners: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Targets of pictures that are `share` (B,) themselves and the rest `targets[partners]`."""
        ...

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each row (B,); the loop weighs and averages them."""
        ...

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs of the network -> answers (probabilities (B, K), a mask (B, H, W), ...), `float32`."""
        ...

    def metrics(self, answers: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Figures of one epoch's validation; `monitor` is one of them."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain values for `config.json`, `name` among them."""
        ...

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Task:
        """What `to_json` wrote. Raises InputError where it is none."""
        ...


@runtime_checkable
class TableTask(Task, Protocol):
    """A task whose targets are those of `Samples`: (N,) classes, or (N, K) shares, labels or numbers."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the outputs (K): classes, labels or numbers."""
        ...

    @classmethod
    def made_for(cls, names: Sequence[str], targets: np.ndarray, settings: TaskSettings) -> Self:
        """The task of a training with these targets, bound to them.

        Raises InputError where a setting means nothing for it, and where there is nothing to be learned.
        """
        ...

    def bound_to(self, targets: np.ndarray) -> Self:
        """The same task with this table, for `targets(rows)`. Raises ValueError where it is none."""
        ...

    def losses(self, answers: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """What each row (N,) has in the mean that chooses the best epoch; less is better."""
        ...

    def calibrated(self, answers: np.ndarray, targets: np.ndarray) -> Self:
        """The same task, whose answers for these held-back pictures have the least loss; which class or label is the
        likeliest stays."""
        ...
