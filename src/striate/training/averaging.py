"""The average of a network's weights, which often answers better than the last weights: over steps, or over epochs.

Over steps (`Averaged`): average <- decay * average + (1 - decay) * weights after every step (Polyak & Juditsky 1992;
the exponential form as in Tarvainen & Valpola 2017, arXiv:1703.01780). The decay rises with the number of
steps, min(decay, (1 + step) / (10 + step)), so that the first weights are soon forgotten.

Over epochs (`AveragedEpochs`): the equal mean of the weights at the ends of the last epochs (Izmailov et al. 2018,
arXiv:1803.05407, algorithm 1), for which batch normalisation needs statistics of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from striate.training.part import Part

BatchNorm = nn.modules.batchnorm._BatchNorm


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


class AveragedEpochs:
    """A copy of `network` whose weights are the mean of those that it had when `add` was called."""

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        # Buffers are statistics of a pass, or constants: of these the network's own are right.
        self._buffers = list(zip(self.network.buffers(), network.buffers(), strict=True))
        self._mine = [weight.data for weight in self.network.parameters()]
        self._theirs = [weight.data for weight in network.parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After a step nothing changes."""

    @torch.no_grad()
    def add(self, count: int) -> None:
        """Take the weights as they are now into the mean of `count` earlier ones."""
        torch._foreach_lerp_(self._mine, self._theirs, 1 / (count + 1))
        for mine, theirs in self._buffers:
            mine.copy_(theirs)


@torch.no_grad()
def count_norms_anew(
    norms: Sequence[BatchNorm], inputs: Iterable[torch.Tensor], run: Callable[[torch.Tensor], object]
) -> None:
    """Statistics of these layers as the mean over `inputs`, batches that `run` puts through their network.

    The network is in evaluation mode before and after; nothing but those layers is in training mode meanwhile.
    """
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches, each as much as the others
            norm.train()
        for batch in inputs:
            run(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def batch_norms(network: nn.Module) -> list[BatchNorm]:
    """The layers that keep statistics of batches."""
    return [one for one in network.modules() if isinstance(one, BatchNorm) and one.running_mean is not None]


AVERAGES: dict[str, Part] = {
    "over steps": Part(
        flags="--averaging 0.99",
        sentence="an exponential average that follows the weights after every step",
        needs="nothing",
        cost="a copy of the weights; one pass over them a step",
        good_for="short runs; on by default for the small networks",
        paper="Polyak and Juditsky 1992; Tarvainen and Valpola 2017 (arXiv:1703.01780)",
    ),
    "over epochs (SWA)": Part(
        flags="--swa 0.25",
        sentence="the equal mean of the weights at the ends of the last epochs, in which the learning rate stays",
        needs="several epochs in that share",
        cost="a copy of the weights; one more pass over the training pictures for each validation in that share, "
        "where there is batch norm",
        good_for="long runs, and flat valleys",
        paper="Izmailov et al. 2018 (arXiv:1803.05407)",
    ),
}


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    return [*(weight.data for weight in network.parameters()), *network.buffers()]
