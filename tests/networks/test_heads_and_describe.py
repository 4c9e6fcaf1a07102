"""Heads of any network, and what comes before them; counts of weights and multiply-adds."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torchvision import models

from striate.errors import InputError
from striate.networks import build_network
from striate.networks.describe import describe
from striate.networks.heads import find_head, pooled_features

# (network, the name of its head, features): from the sources of torchvision and timm.
HEADS = (
    (lambda: models.resnet18(), "fc", 512),
    (lambda: models.mobilenet_v3_small(), "classifier.3", 1024),
    (lambda: models.squeezenet1_0(), "classifier.1", 512),
    (lambda: models.regnet_y_400mf(), "fc", 440),
    (lambda: models.VisionTransformer(32, 16, 1, 2, 8, 16), "heads.head", 8),
    (lambda: timm.create_model("test_vit"), "head", 64),
    (lambda: timm.create_model("test_efficientnet"), "classifier", 256),
    (lambda: timm.create_model("test_convnext"), "head.fc", 64),
    (lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10)), "3", 6),
)


@pytest.mark.parametrize(("make", "name", "features"), HEADS, ids=[name for _, name, _ in HEADS])
def test_heads_are_found_and_looked_behind(make: object, name: str, features: int) -> None:
    network = make().eval()  # type: ignore[operator]
    found = find_head(network)
    assert (found.name, found.num_features) == (name, features)
    size = 160 if name in ("head", "classifier", "head.fc") else 32
    inputs = torch.randn(2, 3, size, size)
    with torch.no_grad():
        before = network(inputs)
        assert before.shape == (2, found.num_outputs)
        seen = pooled_features(network, inputs)
        assert torch.equal(network(inputs), before)
        if isinstance(found.layer, nn.Linear):
            assert seen.shape == (2, features)
            assert torch.allclose(found.layer(seen), before, atol=1e-4)


def test_features_come_back_after_an_error() -> None:
    network = models.resnet18()
    with pytest.raises(RuntimeError):
        pooled_features(network, torch.zeros(1, 5, 32, 32))
    assert isinstance(network.fc, nn.Linear)


def test_a_network_without_a_head_is_refused() -> None:
    with pytest.raises(InputError, match="no linear layer"):
        find_head(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))


def test_counts_are_those_worked_out_by_hand() -> None:
    network = build_network("lenet5", num_outputs=10, channels=1, size=28, seed=0).network
    # conv 28x28x6x25, conv 10x10x16x150, linear 400x120, 120x84, 84x10
    by_hand = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    found = describe(network, 1, (28, 28))
    assert (found.weights, found.trainable, found.multiply_adds) == (61_706, 61_706, by_hand)
    assert found.sentence() == "61,706 weights, 0.4 million multiply-adds a picture"
    network.head.requires_grad_(False)
    assert describe(network, 1, (28, 28)).trainable == 61_706 - 850
    assert network.training


def test_counts_agree_with_the_published_ones() -> None:
    """torchvision's tables: 11,689,512 weights and 1.814 billion multiply-adds."""
    found = describe(models.resnet18(), 3, (224, 224))
    assert found.weights == 11_689_512
    assert found.multiply_adds == pytest.approx(1.814e9, rel=0.001)
