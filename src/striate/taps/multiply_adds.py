"""How many multiply-adds the layers of a network do for a batch, counted while it looks at one.

Convolutions and linear layers alone, each from the shape of what it gives: quick, and near enough to choose threads by.
`networks/describe.py` counts every matrix product, attention's too, and loads torch's compiler to do so.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def multiply_adds(network: nn.Module, pictures: Tensor) -> int:
    """Multiply-adds of `network` in evaluation mode for `pictures` (B, C, H, W); modes and hooks are as before after.

    A layer that is used twice counts twice.
    """
    total = 0

    def count(layer: nn.Module, _: object, outputs: Tensor) -> None:
        nonlocal total
        assert isinstance(layer.weight, Tensor)
        # One output value of either layer is a sum over all but the first axis of its weight.
        total += outputs.numel() * (layer.weight.numel() // layer.weight.shape[0])

    modes = [(module, module.training) for module in network.modules()]
    handles = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)
    ]
    network.eval()
    try:
        with torch.inference_mode():
            network(pictures)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return total
