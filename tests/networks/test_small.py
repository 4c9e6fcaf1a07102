"""The two networks for small pictures: any size, the same weights from the same seed, a stem that whitens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.networks import build_network
from striate.networks.small_conv import SmallConv
from striate.networks.small_resnet import SmallResNet, WhiteningStem

KINDS = {"small-conv": SmallConv, "small-resnet": SmallResNet}
SIZES = [(1, 1), (1, 9), (2, 2), (3, 64), (5, 4), (8, 8), (15, 16), (28, 28), (32, 32), (33, 47), (64, 64)]


def made(name: str, *, channels: int = 3, size: tuple[int, int] = (32, 32), seed: int = 0) -> torch.nn.Module:
    return build_network(
        name, num_outputs=5, channels=channels, size=size, pretrained=False, arguments={"width": 8}, seed=seed
    ).network


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pictures_of_any_size_are_answered_and_learned_from(name, channels, size):
    network = made(name, channels=channels, size=size)
    assert isinstance(network, KINDS[name])
    pictures = torch.randn(4, channels, *size, generator=torch.Generator().manual_seed(1))
    scores = network(pictures)
    assert scores.shape == (4, 5)
    assert network.features(pictures).shape == (4, network.num_features)
    assert network.head.in_features == network.num_features
    scores.square().sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    # Without training mode an answer does not depend on the other pictures, and one alone is answered.
    network.eval()
    with torch.no_grad():
        assert torch.allclose(network(pictures)[2:3], network(pictures[2:3]), atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_the_seed_alone_makes_the_weights(name):
    torch.manual_seed(123)
    one = made(name, seed=4).state_dict()
    torch.manual_seed(321)
    same, other = made(name, seed=4).state_dict(), made(name, seed=5).state_dict()
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def smooth_pictures(channels: int, side: int, count: int = 300) -> torch.Tensor:
    """Pictures (count, channels, side, side) of mean 0 whose neighbouring pixels and colours go together."""
    noise = torch.randn(count, channels, side + 2, side + 2, generator=torch.Generator().manual_seed(2))
    noise = torch.nn.functional.avg_pool2d(noise, 3, stride=1) * 3 + 0.4 * noise[:, :, 1:-1, 1:-1]
    pictures = noise + 0.7 * noise.mean(dim=1, keepdim=True)
    return pictures - pictures.mean()


@pytest.mark.parametrize(("channels", "side"), [(3, 32), (3, 9), (1, 20)])
def test_the_fitted_stem_whitens_and_stays_as_it_is(channels, side):
    network = made("small-resnet", channels=channels, size=(side, side))
    pictures = smooth_pictures(channels, side)
    network.fit_stem(pictures)
    stem = network.features[0]
    assert isinstance(stem, WhiteningStem)
    weight = stem.convolution.weight
    half = stem.num_filters // 2
    assert torch.equal(weight[half:], -weight[:half])
    assert not weight.requires_grad
    assert torch.equal(stem.convolution.bias, torch.zeros(stem.num_filters))
    # Every whole patch, cut out by hand, not only those that were fitted.
    patches = torch.nn.functional.unfold(pictures, stem.kernel).transpose(1, 2).flatten(0, 1)
    values = patches @ weight[:half].detach().flatten(1).T
    covariance = values.T @ values / len(values)
    assert torch.allclose(covariance, torch.eye(half), atol=0.12)
    # What comes out is the positive part of both signs.
    with torch.no_grad():
        out = stem(pictures)
    inside = out[:, :, stem.convolution.padding[0] :, stem.convolution.padding[0] :]
    rows = side - stem.kernel + 1
    both = torch.cat([values, -values], dim=1).clamp(min=0).view(len(pictures), rows, rows, -1).permute(0, 3, 1, 2)
    assert torch.allclose(inside[:, :, :rows, :rows], both, atol=1e-4)


def test_a_step_of_training_moves_everything_but_the_fitted_stem():
    network = made("small-resnet", size=(12, 12))
    pictures = smooth_pictures(3, 12, count=40)
    network.fit_stem(pictures)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    torch.nn.functional.cross_entropy(network(pictures), torch.arange(40) % 5).backward()
    optimizer.step()
    still = {name for name, weight in network.named_parameters() if torch.equal(weight, before[name])}
    assert "features.0.convolution.weight" in still
    assert still <= {"features.0.convolution.weight"}


def test_fitting_is_the_same_twice_and_follows_the_pictures():
    pictures = smooth_pictures(3, 16)
    stems = []
    for chosen, seed in (
        (pictures, 0),
        (pictures, 9),
        (pictures.flip(1) * torch.tensor([1.0, 0.2, 2.0])[:, None, None], 0),
    ):
        network = made("small-resnet", size=(16, 16), seed=seed)
        network.fit_stem(chosen)
        stems.append(network.features[0].convolution.weight)
    assert torch.equal(stems[0], stems[1])
    assert not torch.allclose(stems[0], stems[2], atol=1e-2)


@pytest.mark.parametrize("pictures", [torch.zeros(0, 3, 8, 8), torch.zeros(5, 3, 1, 8)], ids=["none", "too small"])
def test_a_stem_without_a_whole_patch_stays_random_and_is_learned(pictures):
    network = made("small-resnet", size=(8, 8))
    before = network.features[0].convolution.weight.detach().clone()
    network.fit_stem(pictures)
    assert torch.equal(network.features[0].convolution.weight, before)
    assert network.features[0].convolution.weight.requires_grad


def test_equal_pictures_give_finite_filters():
    network = made("small-resnet", size=(8, 8))
    network.fit_stem(torch.full((20, 3, 8, 8), 0.5))
    assert bool(network.features[0].convolution.weight.isfinite().all())


@pytest.mark.parametrize(
    ("name", "size", "multiply_adds"), [("small-conv", (28, 28), 12e6), ("small-resnet", (32, 32), 80e6)]
)
def test_the_work_is_what_the_file_says(name, size, multiply_adds):
    channels = 1 if name == "small-conv" else 3
    network = build_network(
        name, num_outputs=10, channels=channels, size=size, pretrained=False, arguments={}, seed=0
    ).network.eval()
    counted = []

    def count(module: torch.nn.Module, _: object, out: torch.Tensor) -> None:
        counted.append(int(np.prod(out.shape[1:])) * module.weight[0].numel())

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, channels, *size))
    assert sum(counted) == pytest.approx(multiply_adds, rel=0.05)
