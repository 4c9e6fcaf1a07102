"""A network in numbers: weights and multiply-adds. Counted on tensors without values, so it costs no time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from striate.networks.stems import on_meta


@dataclass(frozen=True)
class Description:
    """`weights` in all, `trainable` of them, `multiply_adds` of one picture (convolutions and matrix products)."""

    weights: int
    trainable: int
    multiply_adds: int

    def sentence(self) -> str:
        """For the log."""
        fixed = "" if self.trainable == self.weights else f", {self.trainable:,} of them trained"
        return f"{self.weights:,} weights{fixed}, {self.multiply_adds / 1e6:,.1f} million multiply-adds a picture"


def describe(network: nn.Module, channels: int, size: tuple[int, int]) -> Description:
    """Of one picture (1, channels, rows, columns) in evaluation mode; the mode is as before afterwards."""
    counts = [(weight.numel(), weight.requires_grad) for weight in network.parameters()]
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            on_meta(network, (1, channels, *size))
    finally:
        for module, mode in modes.items():
            module.training = mode
    return Description(
        weights=sum(count for count, _ in counts),
        trainable=sum(count for count, trained in counts if trained),
        multiply_adds=counter.get_total_flops() // 2,  # torch counts a multiplication and an addition as two
    )
