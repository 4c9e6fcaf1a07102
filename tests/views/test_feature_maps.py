"""Feature maps and chapters: what each layer gave, and which layers are shown where nobody has said."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.errors import InputError
from striate.networks.lenet5 import LeNet5
from striate.networks.mlp import MLP
from striate.networks.resnet import resnet18
from striate.taps.places import find_places
from striate.views.chapters import chapters
from striate.views.feature_maps import feature_maps


def test_maps_are_what_the_layers_gave() -> None:
    net = LeNet5(10, 1, (28, 28)).eval()
    given = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    found = feature_maps(net, given, layers=["features.4", "features.1", "head"])
    assert [one.place.name for one in found] == ["features.4", "features.1", "head"]
    with torch.no_grad():
        for one, depth in zip(found[:2], (5, 2), strict=True):
            assert torch.allclose(one.values, net.features[:depth](given))
        assert torch.allclose(found[2].values[:, :, 0, 0], net(given), atol=1e-6)
    heights = found[0].values[1].amax((1, 2))
    assert found[0].strongest(1, 3) == heights.sort(descending=True).indices[:3].tolist()
    assert len(found[0].strongest(1)) == 16


def test_every_place_with_a_map_where_no_layer_is_named() -> None:
    found = feature_maps(LeNet5(10, 1, (28, 28)), torch.randn(1, 1, 28, 28))
    assert [one.place.name for one in found] == [f"features.{number}" for number in range(6)]
    with pytest.raises(InputError, match=r"did you mean 'features\.1'"):
        feature_maps(LeNet5(10, 1, (28, 28)), torch.randn(1, 1, 28, 28), layers=["feature.1"])


def shown(net: nn.Module, *shape: int) -> list[str]:
    picture = torch.randn(1, *shape)
    return chapters(net, find_places(net, picture))


def test_one_layer_of_each_size_of_map_and_the_last_vectors() -> None:
    stages = [f"features.layer{number}" for number in (1, 2, 3, 4)]
    assert shown(resnet18(10, 3), 3, 64, 64) == ["features.relu", *stages, "head"]
    # Pooling gives on what the rectifier before it gave.
    assert shown(LeNet5(10, 1, (28, 28)), 1, 28, 28) == [
        *("features.1", "features.4", "features.8", "features.10", "head")
    ]
    assert shown(MLP(3, 1, (4, 4), hidden=(16, 8)), 1, 4, 4)[-1] == "head"
    assert len(shown(MLP(3, 1, (4, 4), hidden=(16, 8)), 1, 4, 4)) == 3


class Block(nn.Module):
    """A layer on tokens, with a residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed: Tensor = tokens + self.linear(self.norm(tokens)).relu()
        return mixed


class Transformer(nn.Module):
    """Patches of 4x4 and eight blocks: all maps have one size."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, 4)
        self.blocks = nn.Sequential(*(Block(12) for _ in range(8)))
        self.head = nn.Linear(12, 5)

    def forward(self, given: Tensor) -> Tensor:
        scores: Tensor = self.head(self.blocks(self.patches(given).flatten(2).transpose(1, 2)).mean(1))
        return scores


def test_a_network_whose_maps_have_one_size_shows_blocks_in_between() -> None:
    assert shown(Transformer(), 3, 32, 32) == ["blocks.1", "blocks.3", "blocks.5", "blocks.7", "head"]
