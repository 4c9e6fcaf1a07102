"""Where the numbers of a network break first; hooks are gone afterwards."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from striate.taps.finite import first_not_finite


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if math.isnan(self.factor):
            raise RuntimeError("planted")
        return x * self.factor


class Backwards(nn.Module):
    """Runs its layers in another order than it lists them."""

    def __init__(self) -> None:
        super().__init__()
        self.later, self.earlier = Scale(1.0), Scale(math.inf)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.later(self.earlier(x))


class Several(nn.Module):
    """Gives a tuple and a dictionary of tensors, as recurrent layers and some networks do."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return x, {"deep": x / 0}


class First(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.several, self.after = Several(), Scale(1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.several(x)[1]["deep"])


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (nn.Sequential(Scale(1.0), nn.Sequential(Scale(2.0), Scale(math.inf)), Scale(1.0)), "1.1"),
        (nn.Sequential(Scale(1.0), nn.ReLU()), None),
        (Backwards(), "earlier"),
        (Scale(math.inf), "Scale"),
        (First(), "several"),
    ],
)
def test_the_first_layer_in_order_of_execution_is_named(network, name):
    assert first_not_finite(network, torch.ones(1, 1, 2, 2)) == name
    assert hooks(network) == 0


def test_inputs_that_are_none_are_said_to_be_that():
    assert first_not_finite(nn.Sequential(nn.ReLU(), Scale(1.0)), torch.full((1, 1, 2, 2), math.nan)) == "the input"


class Beside(nn.Module):
    """Breaks in its own code, between layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = Scale(1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) / 0


def test_what_a_network_does_beside_its_layers_has_its_own_name():
    assert first_not_finite(Beside(), torch.ones(1, 1, 2, 2)) == "Beside"


def test_hooks_are_gone_after_an_error():
    network = nn.Sequential(nn.ReLU(), Scale(math.nan))
    with pytest.raises(RuntimeError, match="planted"):
        first_not_finite(network, torch.ones(1, 1, 2, 2))
    assert hooks(network) == 0


def test_nothing_of_the_network_changes():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first_not_finite(network, torch.ones(2, 1, 2, 2))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
