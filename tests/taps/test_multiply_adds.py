"""The quick count of multiply-adds against torch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.networks import build_network
from striate.networks.describe import describe
from striate.taps.multiply_adds import multiply_adds


@pytest.mark.parametrize("name", ["linear", "mlp", "lenet5", "small-conv", "resnet18", "efficientnet-lite0"])
def test_the_count_is_that_of_torchs_counter(name: str) -> None:
    network = build_network(name, num_outputs=7, channels=3, size=32, seed=0).network
    assert multiply_adds(network, torch.zeros(2, 3, 32, 32)) == 2 * describe(network, 3, (32, 32)).multiply_adds


def test_a_layer_used_twice_counts_twice_and_nothing_is_left_behind() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.norm = nn.BatchNorm1d(4).eval()

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            if pictures.isnan().any():
                raise ValueError("no numbers")
            flat = pictures.flatten(1)
            return self.norm(self.layer(self.layer(flat)))

    network = Twice()
    assert multiply_adds(network, torch.ones(3, 1, 2, 2)) == 3 * 2 * 16
    with pytest.raises(ValueError, match="no numbers"):
        multiply_adds(network, torch.full((1, 1, 2, 2), torch.nan))
    assert network.training
    assert not network.norm.training
    assert not any(module._forward_hooks for module in network.modules())
