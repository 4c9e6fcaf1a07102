"""What is added to the loss so that weights stay small: L1, L2, or both (elastic net).

Penalty = l1 * sum |w| + l2 / 2 * sum w^2 over the weights that are trained, without biases and norms unless
`biases`. It is no part of the network's pass: its subgradient, l1 * sign(w) + l2 * w with sign(0) = 0, is added to the
gradient of the whole batch once, however many parts or processes that was made in. With sgd, l2 is what its
weight_decay is; with adamw it is not (Loshchilov & Hutter 2019). Source: Tibshirani 1996 (L1), Hoerl & Kennard 1970
(L2), Zou & Hastie 2005 (both).
"""

from __future__ import annotations

import torch
from torch import nn

from striate.training.part import Part
from striate.training.part_settings import RegularizerSettings


class Penalty:
    """The penalty of a network's weights."""

    def __init__(self, network: nn.Module, settings: RegularizerSettings) -> None:
        self._l1, self._l2 = settings.l1, settings.l2
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        self._weights: list[torch.Tensor] = [weight for weight in trained if settings.biases or weight.ndim > 1]

    @torch.no_grad()
    def add_gradient(self) -> torch.Tensor | float:
        """Add the subgradient to the gradients of the weights, and give the penalty itself, (,)."""
        for weight in self._weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        value: torch.Tensor | float = 0.0
        if self._l1:
            signs = [weight.sign() for weight in self._weights]
            torch._foreach_add_(gradients, signs, alpha=self._l1)
            value = value + self._l1 * _total(torch._foreach_norm(self._weights, 1))
        if self._l2:
            torch._foreach_add_(gradients, self._weights, alpha=self._l2)
            value = value + self._l2 / 2 * _total([norm.square() for norm in torch._foreach_norm(self._weights, 2)])
        return value


def penalty_of(network: nn.Module, settings: RegularizerSettings) -> Penalty | None:
    """The penalty that the settings name; None where they name none."""
    return Penalty(network, settings) if settings.l1 or settings.l2 else None


def _total(values: tuple[torch.Tensor, ...] | list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(values)).sum()


REGULARIZERS: dict[str, Part] = {
    "l1": Part(
        flags="--regularizer.l1 1e-5",
        sentence="the sum of the absolute weights: small ones become 0",
        needs="nothing",
        cost="one pass over the weights a step",
        good_for="weights that can be read, or left away",
        paper="Tibshirani 1996",
    ),
    "l2": Part(
        flags="--regularizer.l2 1e-4",
        sentence="half the sum of the squared weights: all become smaller",
        needs="nothing",
        cost="one pass over the weights a step; where the optimizer's decay is L2 (sgd, adam) that is quicker",
        good_for="L2 proper beside an optimizer whose decay is another thing (adamw, muon)",
        paper="Hoerl and Kennard 1970; Krogh and Hertz 1992",
    ),
    "elastic net": Part(
        flags="--regularizer.l1 1e-5 --regularizer.l2 1e-4",
        sentence="both: weights of inputs that go together shrink together, and many become 0",
        needs="nothing",
        cost="two passes over the weights a step",
        good_for="many inputs that say the same",
        paper="Zou and Hastie 2005",
    ),
    "weight decay": Part(
        flags="--optimizer.weight-decay 5e-4",
        sentence="each step shrinks the weights, and no biases and norms",
        needs="nothing",
        cost="nothing: inside of the optimizer's kernel",
        good_for="nearly everything; on by default",
        paper="Loshchilov and Hutter 2019 (arXiv:1711.05101); He et al. 2019 (arXiv:1812.01187)",
    ),
    "dropout": Part(
        flags="--dropout 0.3",
        sentence="so large a share of what comes into the head is left away, other numbers in each step",
        needs="a network with a head; with your own network, put it there yourself",
        cost="next to nothing",
        good_for="many features and few pictures",
        paper="Srivastava et al. 2014, JMLR 15",
    ),
    "label smoothing": Part(
        flags="--label-smoothing 0.1",
        sentence="so large a share of each target is spread over all classes",
        needs="one class a picture, and a loss of probabilities",
        cost="nothing",
        good_for="answers that are not too bold; on by default",
        paper="Szegedy et al. 2016 (arXiv:1512.00567), section 7",
    ),
}
