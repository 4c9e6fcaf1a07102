"""Weights as pictures: which layers have some, and that these are the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.errors import InputError
from striate.networks.lenet5 import LeNet5
from striate.networks.linear import Linear
from striate.networks.mlp import MLP
from striate.networks.resnet import resnet18
from striate.views.filters import filters


def test_a_first_convolution_has_filters_and_deeper_ones_have_none() -> None:
    net = resnet18(10, 3)
    found = filters(net, torch.zeros(1, 3, 64, 64))
    assert [(one.layer, one.kind) for one in found] == [("features.conv1", "filters"), ("head", "matrix")]
    assert torch.equal(found[0].values, net.features.conv1.weight)
    assert found[1].values.shape == (10, 512)
    with pytest.raises(InputError, match=r"features\.layer1\.0\.conv1 \(Conv2d\) are no pictures.*features\.conv1"):
        filters(net, torch.zeros(1, 3, 64, 64), layers=["features.layer1.0.conv1"])


def test_a_linear_layer_on_pixels_has_templates() -> None:
    net = Linear(4, 3, (6, 5))
    (found,) = filters(net, torch.zeros(2, 3, 6, 5))
    assert (found.layer, found.kind) == ("head", "templates")
    picture = torch.randn(3, 6, 5)
    assert (found.values * picture).sum((1, 2, 3)) == pytest.approx(
        (net(picture[None])[0] - net.head.bias).detach(), rel=1e-4
    )


def test_a_linear_layer_on_maps_keeps_their_places() -> None:
    net = LeNet5(10, 1, (28, 28))
    found = {one.layer: one for one in filters(net, torch.zeros(1, 1, 28, 28))}
    assert [(name, one.kind, tuple(one.values.shape)) for name, one in found.items()] == [
        ("features.0", "filters", (6, 1, 5, 5)),
        ("features.7", "grid", (120, 16, 5, 5)),
        ("features.9", "matrix", (84, 120)),
        ("head", "matrix", (10, 84)),
    ]
    assert torch.equal(found["features.7"].values.flatten(1), net.features[7].weight)


def test_only_the_first_of_several_linear_layers_sees_the_picture() -> None:
    found = filters(MLP(3, 1, (4, 4), hidden=(16, 8)), torch.zeros(1, 1, 4, 4))
    assert [one.kind for one in found] == ["templates", "matrix", "matrix"]


def test_layers_are_taken_by_name_and_the_network_keeps_its_weights() -> None:
    net = LeNet5(10, 1, (28, 28))
    (found,) = filters(net, torch.zeros(1, 1, 28, 28), layers=["head"])
    assert found.layer == "head"
    found.values.zero_()
    assert net.head.weight.any()
    with pytest.raises(InputError, match="no layer 'haed'; did you mean 'head'"):
        filters(net, torch.zeros(1, 1, 28, 28), layers=["haed"])


def test_a_network_without_such_weights_has_none() -> None:
    class Brightness(nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return pictures.mean((2, 3))

    assert filters(Brightness(), torch.zeros(1, 3, 4, 4)) == ()


def test_weights_that_are_computed_are_looked_at_without_a_step_of_their_own() -> None:
    net = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)), nn.Flatten(), nn.Linear(144, 2))
    net.train()  # in which each look at the weight is a step of its power iteration
    before = {name: value.clone() for name, value in net.state_dict().items()}
    (first, _) = filters(net, torch.zeros(1, 3, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(first.values, net.eval()[0].weight)
