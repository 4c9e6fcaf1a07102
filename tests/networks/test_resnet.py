"""The residual networks of our own against torchvision's of the same names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from striate.networks import build_network, own_input
from striate.networks.resnet import renamed

NAMES = ("resnet18", "resnet34", "resnet50")


@pytest.mark.parametrize("name", NAMES)
def test_initial_weights_and_answers_are_those_of_torchvisions(name: str) -> None:
    theirs = build_network(f"torchvision/{name}", num_outputs=7, channels=3, size=64, seed=3).network
    ours = build_network(name, num_outputs=7, channels=3, size=64, seed=3).network
    expected = renamed(theirs.state_dict())
    state = ours.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in state)
    pictures = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for training in (False, True):
        with torch.no_grad():
            assert torch.equal(ours.train(training)(pictures), theirs.train(training)(pictures))


@pytest.mark.parametrize("name", NAMES)
def test_the_input_of_published_weights_is_what_torchvision_says(name: str) -> None:
    assert own_input(name) == own_input(f"torchvision/{name}")


def test_a_file_of_torchvisions_weights_is_taken(tmp_path: Path) -> None:
    theirs = models.resnet18(num_classes=5).eval()
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    made = build_network(
        "resnet18", num_outputs=5, channels=3, size=64, weights=tmp_path / "weights.safetensors", seed=0
    )
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(made.network.eval()(pictures), theirs(pictures))


def test_another_number_of_classes_keeps_all_but_the_head(tmp_path: Path) -> None:
    theirs = models.resnet18(num_classes=9)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    made = build_network("resnet18", num_outputs=2, channels=1, size=64, weights=tmp_path / "weights.pth", seed=0)
    state = made.network.state_dict()
    assert state["head.weight"].shape == (2, 512)
    assert torch.equal(state["features.layer4.1.conv2.weight"], theirs.layer4[1].conv2.weight)
    assert torch.allclose(state["features.conv1.weight"], theirs.conv1.weight.sum(dim=1, keepdim=True))
    assert any("head" in note and "fresh" in note for note in made.notes)
