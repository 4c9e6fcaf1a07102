"""Rules of optimizers applied to groups of weights, without `torch.optim`.

torch's first optimizer imports its compiler, which takes as long as torch itself, and its wrappers cost a millisecond a
step, a fifth of a small network's. State is kept and named as there, so that an optimizer of torch's stands in the same
place (L-BFGS does: `lbfgs.py`). Legend: weights and gradients of any shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

# {"params": [weights], "weight_decay": number, "scale": of the learning rate, ...}
Groups = list[dict[str, Any]]
# (group, weights, gradients, state of each weight): changes weights and states in place.
Rule = Callable[[dict[str, Any], list[Tensor], list[Tensor], list[dict[str, Tensor]]], None]


class Optimizer(Protocol):
    """What the loop asks of an optimizer; ours and `torch.optim.Optimizer` are such."""

    param_groups: list[dict[str, Any]]

    def zero_grad(self, set_to_none: bool = ...) -> None:
        """Forget the gradients."""
        ...

    def step(self, closure: Callable[[], Any], /) -> Any:
        """Move the weights by the gradients that `closure` makes (it may be called more than once); its loss."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """{"state": {weight number: {name: value}}, "param_groups": [...]}."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Put back what `state_dict` gave."""
        ...


@dataclass(frozen=True)
class Kernel:
    """A rule, and what it keeps of each weight: names of the state, "step" for a counter."""

    rule: Rule
    keeps: tuple[str, ...]


class Fused:
    """Applies a kernel to each group of weights. State of a weight begins as zeros of the weight's layout.

    groups: {"params": [weights], settings of the rule ...}. kernels: one for each group.
    """

    def __init__(self, groups: Groups, kernels: Sequence[Kernel]) -> None:
        self.param_groups = [dict(group) for group in groups]
        self._kernels = tuple(kernels)
        self._state: dict[Tensor, dict[str, Tensor]] = {}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; they are never kept as zeros, whatever `set_to_none`."""
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad = None

    def step(self, closure: Callable[[], Any] | None = None, /) -> Any:
        """One step. `closure` makes the gradients and gives the loss; without one they are there already."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group, kernel in zip(self.param_groups, self._kernels, strict=True):
                # A kernel takes tensors of one device and type at a time.
                kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
                for weight in group["params"]:
                    if weight.grad is not None:
                        kinds.setdefault((weight.device, weight.dtype), []).append(weight)
                for weights in kinds.values():
                    states = [self._state_of(weight, kernel.keeps) for weight in weights]
                    kernel.rule(group, weights, [weight.grad for weight in weights if weight.grad is not None], states)
        return loss

    def _state_of(self, weight: Tensor, keeps: tuple[str, ...]) -> dict[str, Tensor]:
        state = self._state.get(weight)
        if state is None:
            state = self._state[weight] = {
                name: torch.zeros((), device=weight.device) if name == "step" else torch.zeros_like(weight)
                for name in keeps
            }
        return state

    def _weights(self) -> list[Tensor]:
        return [weight for group in self.param_groups for weight in group["params"]]

    def state_dict(self) -> dict[str, Any]:
        """As torch's: states by the number of the weight, the groups' settings with such numbers for the weights."""
        numbers = {weight: number for number, weight in enumerate(self._weights())}
        return {
            "state": {numbers[weight]: dict(state) for weight, state in self._state.items() if state},
            "param_groups": [
                {**group, "params": [numbers[weight] for weight in group["params"]]} for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Put back what `state_dict` gave. Raises ValueError where it is of other weights or of another rule."""
        weights = self._weights()
        keeps = [
            kernel.keeps
            for group, kernel in zip(self.param_groups, self._kernels, strict=True)
            for _ in group["params"]
        ]
        held = [len(group["params"]) for group in state_dict["param_groups"]]
        if held != [len(group["params"]) for group in self.param_groups]:
            raise ValueError("the state of an optimizer of other weights")
        loaded = {}
        for number, state in state_dict["state"].items():
            own = weights[number]
            wanted = {name: own.shape if name != "step" else torch.Size([]) for name in keeps[number]}
            if {name: getattr(value, "shape", None) for name, value in state.items()} != wanted:
                raise ValueError(f"the state of another optimizer, or of another weight {number}")
            loaded[own] = {name: value.to(own.device) for name, value in state.items()}
        self._state = loaded
        for group, values in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({name: value for name, value in values.items() if name != "params"})
