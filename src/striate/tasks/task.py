"""What is asked of a network: the contract that every task keeps.

The loop, the commands and the run folder know a task only through these names, so that a new task
(segmentation, detection, ...) is one file. Legend: N rows, B batch, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

    from striate.data.placement import Placement


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
