"""The running average of a network's weights, which often answers better than the last weights.

average <- decay * average + (1 - decay) * weights after every step (Polyak & Juditsky 1992; the
exponential form as in Tarvainen & Valpola 2017, arXiv:1703.01780). The decay rises with the number of
steps, min(decay, (1 + step) / (10 + step)), so that the first weights are soon forgotten.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class Averaged:
    """A copy of `network` that follows it. Floating-point buffers (batch-norm statistics) are averaged too."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        averaged = [(mine, theirs) for mine, theirs in pairs if mine.is_floating_point()]
        self._mine, self._theirs = [mine for mine, _ in averaged], [theirs for _, theirs in averaged]
        self._counts = [(mine, theirs) for mine, theirs in pairs if not mine.is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after `step` (counted from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - decay)
        for mine, theirs in self._counts:
            mine.copy_(theirs)


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    return [*(weight.data for weight in network.parameters()), *network.buffers()]
