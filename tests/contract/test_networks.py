"""Every network, ours by the table and some of each foreign family, against the same expectations."""

from __future__ import annotations

import importlib.util
from copy import deepcopy
from functools import cache

import pytest
import torch
from torch import nn

from striate.networks import NETWORKS, BuiltNetwork, build_network, network_names, own_input

FOREIGN = (
    "torchvision/resnet18",
    "mobilenet_v3_small",
    "squeezenet1_0",
    "shufflenet_v2_x0_5",
    "regnet_y_400mf",
    "timm/test_resnet",
    "timm/test_efficientnet",
    "timm/test_convnext",
    "timm/test_vit",
)
ALL = (*NETWORKS, *FOREIGN)
# (side, channels); the foreign ones are slow to build
INPUTS = ((8, 1), (28, 1), (32, 3), (64, 3))
FEWER_INPUTS = ((8, 1), (32, 3), (64, 3))


@cache
def make(name: str, channels: int, size: int, seed: int) -> BuiltNetwork:
    return build_network(name, num_outputs=5, channels=channels, size=size, seed=seed)


def built(name: str, channels: int = 3, size: int = 32, seed: int = 0) -> BuiltNetwork:
    """A copy of what is built once."""
    return deepcopy(make(name, channels, size, seed))


def pictures(built_network: BuiltNetwork, batch: int, channels: int = 3) -> torch.Tensor:
    return torch.randn(batch, channels, *built_network.size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ALL)
def test_outputs_are_finite_and_shaped_in_both_modes_at_every_size(name: str) -> None:
    for size, channels in INPUTS if name in (*NETWORKS, "torchvision/resnet18") else FEWER_INPUTS:
        made = built(name, channels, size)
        assert made.size == (size, size) or (made.input_defaults and made.input_defaults.size == made.size)
        for training, batch in ((True, 4), (False, 4), (False, 1)):
            made.network.train(training)
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                outputs = made.network(pictures(made, batch, channels))
            assert outputs.shape == (batch, 5), (size, training)
            assert outputs.isfinite().all(), (size, training)


@pytest.mark.parametrize("name", ALL)
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = build_network(name, num_outputs=5, channels=3, size=32, seed=0).network.state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    first = built(name).network.state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    other = built(name, seed=1).network.state_dict()
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", ALL)
def test_gradients_reach_every_weight(name: str) -> None:
    made = built(name)
    # Training mode: normalisation by the batch keeps deep networks alive at random weights.
    made.network.train()
    with torch.no_grad():  # some start their residual branches at zero, which holds back the gradient for one step
        for module in made.network.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
                module.weight.fill_(1)
    reached = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        outputs = made.network(pictures(made, 16))
        weighted = (outputs * torch.randn_like(outputs)).sum()
    keys, weights = zip(*made.network.named_parameters(), strict=True)
    for key, gradient in zip(keys, torch.autograd.grad(weighted, weights, allow_unused=True), strict=True):
        reached[key] = gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.ne(0).any())
    assert all(reached.values()), [key for key, there in reached.items() if not there]


@pytest.mark.parametrize("name", ALL)
def test_saved_weights_give_the_same_answers_in_another_network(name: str) -> None:
    first = built(name)
    other = built(name, seed=1)
    other.network.load_state_dict(first.network.state_dict())
    inputs = pictures(first, 3)
    with torch.no_grad():
        assert torch.equal(first.network.eval()(inputs), other.network.eval()(inputs))


@pytest.mark.parametrize("name", NETWORKS)
def test_ours_split_into_features_and_head(name: str) -> None:
    made = built(name)
    network = made.network.eval()
    with torch.no_grad():
        features = network.features(pictures(made, 3))
        assert features.shape == (3, network.num_features)
        assert torch.allclose(network.head(features), network(pictures(made, 3)), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_ours_take_pictures_that_are_not_square(name: str) -> None:
    made = build_network(name, num_outputs=3, channels=1, size=(20, 45), seed=0)
    assert (made.size, made.input_defaults) == ((20, 45), None)
    with torch.no_grad():
        assert made.network.eval()(torch.zeros(2, 1, 20, 45)).shape == (2, 3)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_row_of_the_table_says_what_and_where_from(name: str) -> None:
    row = NETWORKS[name]
    assert importlib.util.find_spec(row.module) is not None
    assert callable(row.load())
    assert row.sentence
    assert row.source
    assert name == name.lower()


def test_names_hold_ours_first_then_the_others() -> None:
    names = network_names()
    assert names[: len(NETWORKS)] == list(NETWORKS)
    assert {"resnet18", "vit_b_16", "vit_tiny_patch16_224"} <= set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "name", ["efficientnet-lite0", "resnet18", "torchvision/resnet18", "timm/test_vit", "googlenet"]
)
def test_published_weights_say_what_input_they_want(name: str) -> None:
    wanted = own_input(name)
    assert wanted is not None
    assert wanted.mean is not None
    assert len(wanted.mean) == 3
    assert min(wanted.size) >= 128
    assert own_input("linear") is None
