"""The first place in a network whose output is not finite: (network, inputs) -> its name, or None.

Used to say where a training broke down. All hooks are gone afterwards, also after an exception, and the
network's buffers (the statistics of norms) are as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

INPUT = "the input"


@torch.no_grad()
def first_not_finite(network: nn.Module, inputs: torch.Tensor) -> str | None:
    """The name of the first layer with NaN or infinite output for `inputs` (B, C, H, W), in order of execution.

    INPUT where they are not finite themselves. Only layers without children are asked, so that the name is as
    narrow as can be; then the network itself, for what it does beside its layers ("" is shown as its class).
    """
    if not _finite(inputs):
        return INPUT
    found: list[str] = []
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    handles = []
    try:
        for name, layer in network.named_modules():
            if layer is network or next(layer.children(), None) is None:
                handles.append(layer.register_forward_hook(_watch(name or type(network).__name__, found)))
        network(inputs)
    finally:
        for handle in handles:
            handle.remove()
        for buffer, value in buffers:
            buffer.copy_(value)
    return found[0] if found else None


def _watch(name: str, found: list[str]) -> Callable[[nn.Module, object, object], None]:
    def hook(layer: nn.Module, inputs: object, output: object) -> None:
        if not found and not _finite(output):
            found.append(name)

    return hook


def _finite(value: object) -> bool:
    """Whether every tensor in a (nested) output is finite."""
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    if isinstance(value, Mapping):
        return all(_finite(one) for one in value.values())
    return all(_finite(one) for one in value) if isinstance(value, list | tuple) else True
