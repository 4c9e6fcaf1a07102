"""Blocks from the pictures to the head, in networks of ours and of others; what is frozen stays as it is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.errors import InputError
from striate.networks import build_network
from striate.networks.blocks import blocks_of, depths_of, freeze, frozen_norms, hidden_matrices
from striate.networks.heads import find_head

# Names of some weights, and how many blocks lie between them and the outputs.
DEPTHS = {
    "lenet5": {"features.0.weight": 4, "features.9.weight": 1, "head.weight": 0},
    "small-conv": {"features.0.0.weight": 6, "features.0.1.weight": 6, "head.bias": 0},
    "resnet18": {
        "features.conv1.weight": 9,
        "features.bn1.weight": 9,
        "features.layer4.1.conv2.weight": 1,
        "features.layer1.0.conv1.weight": 8,
    },
}


def built(name: str) -> nn.Module:
    return build_network(name, num_outputs=5, channels=3, size=32, seed=0).network


@pytest.mark.parametrize(
    "name",
    [
        "linear",
        "lenet5",
        "small-conv",
        "small-resnet",
        "resnet18",
        pytest.param("timm/test_convnext", marks=pytest.mark.long),
    ],
)
def test_every_weight_is_in_one_block_and_the_head_is_the_last(name):
    network = built(name)
    blocks = blocks_of(network)
    every = [id(weight) for weights in blocks for weight in weights]
    assert sorted(every) == sorted(id(weight) for weight in network.parameters())
    assert {id(weight) for weight in blocks[-1]} == {id(weight) for weight in find_head(network).layer.parameters()}
    assert all(blocks)
    assert len(blocks) <= 30
    first = next(iter(network.parameters()))
    assert depths_of(network)[first] == len(blocks) - 1


@pytest.mark.parametrize("name", ["lenet5", "small-conv", "resnet18"])
def test_depths_are_those_of_blocks(name):
    network = built(name)
    depths, named = depths_of(network), dict(network.named_parameters())
    assert {weight: depths[named[weight]] for weight in DEPTHS[name]} == DEPTHS[name]


def test_hidden_matrices_are_neither_the_first_nor_the_last():
    network = built("lenet5")
    named = {id(weight): name for name, weight in network.named_parameters()}
    found = [named[id(weight)] for weight in hidden_matrices(network)]
    assert found == ["features.3.weight", "features.7.weight", "features.9.weight"]
    assert hidden_matrices(built("linear")) == []


@pytest.mark.parametrize("name", ["linear", "small-conv", "efficientnet-lite0", "squeezenet1_0"])
def test_a_frozen_backbone_leaves_the_head(name):
    network = built(name)
    words = freeze(network, "backbone")
    trained = {key for key, weight in network.named_parameters() if weight.requires_grad}
    head = find_head(network).name
    assert trained == {f"{head}.weight", f"{head}.bias"}
    assert words.startswith("frozen: backbone; ")
    norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
    assert frozen_norms(network, "backbone") == norms


def test_layers_are_frozen_by_name():
    network = built("resnet18")
    freeze(network, "features.conv1, features.layer1,features.layer2.0")
    for name, weight in network.named_parameters():
        frozen = name.startswith(("features.conv1", "features.layer1", "features.layer2.0"))
        assert weight.requires_grad != frozen
    named = "features.conv1, features.layer1"
    assert network.get_submodule("features.bn1") not in frozen_norms(network, named)
    assert network.get_submodule("features.layer1.0.bn1") in frozen_norms(network, named)


def test_a_layer_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(InputError, match=r"no layer 'features.layer5' .*; did you mean 'features.layer4'"):
        freeze(built("resnet18"), "features.layer5")
    with pytest.raises(InputError, match=r"no layer 'conv0' .*; it has features, features.conv1, features.bn1"):
        freeze(built("resnet18"), "conv0")
    with pytest.raises(InputError, match="did you mean 'backbone'"):
        freeze(built("resnet18"), "backbon")
    with pytest.raises(InputError, match="nothing left to train"):
        freeze(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), "1")
    with pytest.raises(InputError, match="freeze must be backbone or names of layers"):
        freeze(built("linear"), " , ")


def test_statistics_of_frozen_norms_need_no_gradient_to_be_kept():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(2, 3, 8, 8))
    assert frozen_norms(network, "0") == []
    assert frozen_norms(network, "1") == [network[1]]
