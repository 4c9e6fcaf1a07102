"""How a gradient becomes a step: torch's optimizers over two groups of weights, fused where torch has it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from striate.errors import require, unknown
from striate.training.recipe import OptimizerSettings

Groups = list[dict[str, object]]


def weight_groups(network: nn.Module, weight_decay: float) -> Groups:
    """Weights that decay, and biases and scales of norms, which do not.

    A bias or a scale has no direction to shrink: L2 on them only moves the function
    (He et al. 2019, "Bag of tricks", arXiv:1812.01187, section 3.1).
    """
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trained if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in trained if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def sgd(groups: Groups, rate: float, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum (Sutskever et al. 2013 for Nesterov's)."""
    momentum = settings.momentum or 0.0
    return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=settings.nesterov and momentum > 0, fused=True)


def adamw(groups: Groups, rate: float, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2)."""
    return torch.optim.AdamW(groups, lr=rate, betas=(settings.beta1, settings.beta2), fused=True)


OPTIMIZERS: dict[str, Callable[[Groups, float, OptimizerSettings], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adamw": adamw,
}


def build_optimizer(network: nn.Module, settings: OptimizerSettings, rate: float) -> torch.optim.Optimizer:
    """The optimizer that the settings name, over the trained weights.

    Raises InputError for an unknown name, and where no weight of the network is trained.
    """
    if settings.name not in OPTIMIZERS:
        raise unknown("optimizer", str(settings.name), OPTIMIZERS)
    groups = weight_groups(network, settings.weight_decay or 0.0)
    require(bool(groups), "the network has nothing to train: none of its weights has requires_grad")
    return OPTIMIZERS[settings.name](groups, rate, settings)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
