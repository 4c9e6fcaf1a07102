"""What one step of each optimizer does: rules for `fused.Kernel`, most of them one of torch's fused kernels.

Each changes weights and states in place: (settings of the group, weights, gradients, state of each weight).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from striate.training.muon import orthogonalized


def sgd_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    """Of `torch.optim.SGD`, in one fused kernel."""
    torch._fused_sgd_(
        weights,
        gradients,
        [state["momentum_buffer"] for state in states] if group["momentum"] else [],
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        lr=group["lr"],
        dampening=0.0,
        nesterov=group["nesterov"],
        maximize=False,
        is_first_step=False,  # momentum begins at zero, which makes the first step the gradient's own
    )


def _by_moments(
    kernel: Callable[..., Any],
    group: dict[str, Any],
    weights: list[Tensor],
    gradients: list[Tensor],
    states: list[dict[str, Tensor]],
) -> None:
    steps = [state["step"] for state in states]
    torch._foreach_add_(steps, 1)
    kernel(
        weights,
        gradients,
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        steps,
        amsgrad=False,
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )


def adamw_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    """Of `torch.optim.AdamW`, in one fused kernel."""
    _by_moments(torch._fused_adamw_, group, weights, gradients, states)


def adam_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    """Of `torch.optim.Adam`, in one fused kernel."""
    _by_moments(torch._fused_adam_, group, weights, gradients, states)


def rmsprop_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    """Of `torch.optim.RMSprop`: the square of the gradient is averaged, and divides it."""
    if group["weight_decay"]:
        gradients = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
    squares = [state["square_avg"] for state in states]
    torch._foreach_mul_(squares, group["alpha"])
    torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["alpha"])
    roots = torch._foreach_sqrt(squares)
    torch._foreach_add_(roots, group["eps"])
    if group["momentum"]:
        moved = [state["momentum_buffer"] for state in states]
        torch._foreach_mul_(moved, group["momentum"])
        torch._foreach_addcdiv_(moved, gradients, roots)
        torch._foreach_add_(weights, moved, alpha=-group["lr"])
    else:
        torch._foreach_addcdiv_(weights, gradients, roots, value=-group["lr"])


def adagrad_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    """Of `torch.optim.Adagrad`, in one fused kernel."""
    steps = [state["step"] for state in states]
    torch._foreach_add_(steps, 1)
    torch._fused_adagrad_(
        weights,
        gradients,
        [state["sum"] for state in states],
        steps,
        lr=group["lr"],
        lr_decay=0.0,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )


def muon_rule(
    group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> None:
    """Of `torch.optim.Muon`: the momentum of each matrix is made orthogonal."""
    moved = [state["momentum_buffer"] for state in states]
    torch._foreach_lerp_(moved, gradients, 1 - group["momentum"])
    if group["nesterov"]:
        moved = list(torch._foreach_lerp(gradients, moved, group["momentum"]))
    for weight, direction in zip(weights, moved, strict=True):
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(orthogonalized(direction), alpha=-group["lr"])
