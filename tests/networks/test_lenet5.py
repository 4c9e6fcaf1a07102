"""LeNet-5 trains by eight channels where it has six: the same scores and gradients as by its modules."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from striate.networks import build_network


def made(size: tuple[int, int], channels: int, layout: torch.memory_format) -> nn.Module:
    network = build_network("lenet5", num_outputs=5, channels=channels, size=size, seed=3).network
    return network.train().to(memory_format=layout)


def pictures_of(size: tuple[int, int], channels: int) -> torch.Tensor:
    """Flat, as digits are: many windows of a map hold equal values, of which the first is the largest."""
    chance = torch.Generator().manual_seed(1)
    pictures = torch.randint(-1, 3, (8, channels, *size), generator=chance).float()
    pictures[:, :, : size[0] // 2, : size[1] // 2] = -1.0
    return pictures


def gradients(network: nn.Module, scores: torch.Tensor) -> dict[str, torch.Tensor]:
    scores.float().square().sum().backward()
    return {name: weight.grad for name, weight in network.named_parameters()}


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(28, 28), (9, 40), (2, 1)])
def test_a_step_has_the_scores_and_gradients_of_the_modules(size, channels, layout) -> None:
    network, pictures = made(size, channels, layout), pictures_of(size, channels).to(memory_format=layout)
    plain = copy.deepcopy(network)
    ours, expected = network(pictures), plain.head(plain.features(pictures))
    assert torch.allclose(ours, expected, rtol=0, atol=1e-6)
    mine, theirs = gradients(network, ours), gradients(plain, expected)
    assert theirs["features.0.weight"].any()
    for name, gradient in theirs.items():
        assert mine[name].shape == gradient.shape
        assert torch.allclose(mine[name], gradient, rtol=1e-5, atol=1e-6 * float(gradient.abs().max())), name


def test_a_step_in_bfloat16_is_that_of_the_modules_to_its_digits() -> None:
    network, pictures = made((28, 28), 1, torch.channels_last), pictures_of((28, 28), 1)
    plain = copy.deepcopy(network)
    with torch.autocast("cpu", torch.bfloat16):
        ours, expected = network(pictures), plain.head(plain.features(pictures))
    assert torch.allclose(ours.float(), expected.float(), rtol=0.02, atol=0.01)
    mine, theirs = gradients(network, ours), gradients(plain, expected)
    for name, gradient in theirs.items():
        assert float((mine[name] - gradient).norm()) <= 0.03 * float(gradient.norm()), name


def pooled_channels(network: nn.Module) -> list[int]:
    channels: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(lambda _, given, __: channels.append(given[0].shape[1]))
    network(pictures_of((28, 28), 1))
    return channels


def test_answers_are_those_of_the_modules_and_others_see_six_maps() -> None:
    assert pooled_channels(made((28, 28), 1, torch.channels_last)) == [8, 16]
    assert pooled_channels(made((28, 28), 1, torch.contiguous_format)) == [6, 16]
    assert pooled_channels(made((28, 28), 1, torch.channels_last).eval()) == [6, 16]
    with torch.no_grad():
        assert pooled_channels(made((28, 28), 1, torch.channels_last)) == [6, 16]


@pytest.mark.parametrize("layer", ["0", "3"])
def test_who_watches_a_convolution_sees_it_in_a_step_too(layer: str) -> None:
    network, seen = made((28, 28), 1, torch.channels_last), []
    handle = network.get_submodule(f"features.{layer}").register_forward_hook(
        lambda _, __, given: seen.append(given.shape)
    )
    network(pictures_of((28, 28), 1))
    assert seen == [{"0": (8, 6, 28, 28), "3": (8, 16, 10, 10)}[layer]]
    handle.remove()
    assert pooled_channels(network) == [8, 16]
