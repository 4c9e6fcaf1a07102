"""How far a step moves each layer: the norm of the update over that of the weights; about 1e-3 is healthy."""

from __future__ import annotations

import torch
from torch import nn

from striate.training.history import Row


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the weights that are learned, by name; those of one dimension (offsets, norms) are left out."""
    named = network.named_parameters()
    return {name: weight.detach().clone() for name, weight in named if weight.ndim > 1 and weight.requires_grad}


def update_ratios(network: nn.Module, before: dict[str, torch.Tensor]) -> Row:
    """By layer, since the weights were `before`, as `weights_of` gave them."""
    now = dict(network.named_parameters())
    return {
        f"update_ratio:{name.removesuffix('.weight')}": float((now[name].detach() - old).norm())
        / max(float(old.norm()), 1e-12)
        for name, old in before.items()
    }
