"""A training whose numbers break: noticed, and said at which step and in which layer."""

from __future__ import annotations

import torch
from torch import nn

from striate.errors import InputError
from striate.taps.finite import INPUT, first_not_finite
from striate.training.resolved import Resolved


class Diverged(InputError):
    """The loss or the weights are no numbers any more. The last good checkpoint is kept."""


def broken_layers(network: nn.Module) -> list[str]:
    """The layers whose weights are not all finite, in the order of the network."""
    named = network.named_parameters()
    broken = [name for name, weight in named if not bool(weight.detach().isfinite().all())]
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in broken))


def require_finite(network: nn.Module, plan: Resolved, step: int) -> None:
    """Weights can break in a step whose own loss was still a number: they are neither judged nor kept.

    Raises Diverged.
    """
    broken = broken_layers(network)
    if broken:
        raise Diverged(f"the weights of layer {broken[0]} are no numbers any more after step {step} {_advice(plan)}")


def before_step(network: nn.Module, plan: Resolved, step: int, inputs: torch.Tensor) -> Diverged:
    """The loss of `inputs` (B, C, H, W) is no number, and the weights are still those before `step`."""
    broken = broken_layers(network)
    layer = broken[0] if broken else first_not_finite(network, inputs)
    where = "" if layer is None else f" in {layer}" if layer == INPUT else f" in layer {layer}"
    return Diverged(f"the loss is no number any more at step {step}{where} {_advice(plan)}")


def after_step(network: nn.Module, plan: Resolved, step: int, unread: int) -> Diverged:
    """The same, noticed after `step` or up to `unread` steps too late.

    A layer is named only where some are still whole: what is no number soon spreads everywhere.
    """
    broken = broken_layers(network)
    weights = {name.rpartition(".")[0] or name for name, _ in network.named_parameters()}
    late = f" or in the {unread} before it" if unread else ""
    where = f" in layer {broken[0]}" if 0 < len(broken) < len(weights) else ""
    return Diverged(f"the loss is no number any more at step {step}{late}{where} {_advice(plan)}")


def _advice(plan: Resolved) -> str:
    return (
        f"(learning rate {plan.learning_rate:g}); try --learning-rate {plan.learning_rate / 10:g}"
        + (", --clip 1" if plan.clip is None else "")
        + (", --precision float32" if plan.precision != "float32" else "")
    )
