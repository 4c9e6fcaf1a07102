"""L-BFGS over a network's weights: torch's own, with decay as L2 in the objective, for weights in any memory layout.

One step takes up to `iterations` moves on the batch that its closure evaluates, each with a strong Wolfe line search,
and goes on with the curvature that it knows from the step before: the batch has to be the same one, all pictures.
Source: Liu & Nocedal 1989; Nocedal & Wright 2006, algorithms 3.5, 3.6 and 7.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _AnyLayout(torch.optim.LBFGS):
    """Gradients in channels-last memory are no `view` of a row of numbers, which torch takes them for."""

    def _gather_flat_grad(self) -> Tensor:
        return torch.cat(
            [
                torch.zeros(weight.numel(), dtype=weight.dtype, device=weight.device)
                if weight.grad is None
                else weight.grad.reshape(-1)
                for weight in self.param_groups[0]["params"]
            ]
        )


class LBFGS:
    """`Optimizer` for `groups` of weights, as `optimizers.weight_groups` gives them: one group for torch, and what
    decays."""

    def __init__(self, groups: list[dict[str, Any]], history: int, iterations: int) -> None:
        self._decaying = [(weight, group["weight_decay"]) for group in groups for weight in group["params"]]
        self._decaying = [(weight, decay) for weight, decay in self._decaying if decay]
        self._own = _AnyLayout(
            [weight for group in groups for weight in group["params"]],
            max_iter=iterations,
            history_size=history,
            line_search_fn="strong_wolfe",
        )
        self.param_groups = self._own.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self._own.zero_grad(set_to_none)

    def step(self, closure: Callable[[], Any], /) -> Any:
        """Up to `iterations` moves; the loss before the first. At a rate of 0 nothing moves."""

        def objective() -> Tensor:
            loss: Tensor = closure()
            with torch.no_grad():
                for weight, decay in self._decaying:
                    loss = loss + 0.5 * decay * weight.square().sum()
                    if weight.grad is None:
                        weight.grad = decay * weight
                    else:
                        weight.grad.add_(weight, alpha=decay)
            return loss

        if self.param_groups[0]["lr"] == 0:
            with torch.enable_grad():
                return closure()
        return self._own.step(objective)  # type: ignore[no-untyped-call]

    def state_dict(self) -> dict[str, Any]:
        """Of torch's, which keeps everything with the first weight."""
        found: dict[str, Any] = self._own.state_dict()
        return found

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Put back what `state_dict` gave."""
        self._own.load_state_dict(state_dict)
        self.param_groups = self._own.param_groups
