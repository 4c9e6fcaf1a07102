"""The first place in a network whose output is not finite: (network, inputs) -> its name, or None.

Used to say where a training broke down. All hooks are gone afterwards, also after an exception.
"""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def first_not_finite(network: nn.Module, inputs: torch.Tensor) -> str | None:
    """The name of the first layer with NaN or infinite output for `inputs` (B, C, H, W), in order of execution.

    Only layers without children are asked, so that the name is as narrow as can be.
    """
    found: list[str] = []
    handles = []
    try:
        for name, layer in network.named_modules():
            if next(layer.children(), None) is None:
                handles.append(layer.register_forward_hook(_watch(name or type(layer).__name__, found)))
        network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _watch(name: str, found: list[str]):  # type: ignore[no-untyped-def] # torch types hooks loosely
    def hook(layer: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if isinstance(output, torch.Tensor) and output.is_floating_point() and not bool(output.isfinite().all()):
            found.append(name)

    return hook
