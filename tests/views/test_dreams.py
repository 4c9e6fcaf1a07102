"""Dreams against what can be known of them: templates, values measured anew, shut rectifiers, the same draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.errors import InputError
from striate.views.ascent import Adam, octave_sizes, sampled, wobble
from striate.views.dreams import NOISE_PICTURES, Dreams, dream, noise, steps_for

SIZE, MEAN, DEVIATION = (16, 16), (0.5, 0.4, 0.6), (0.25, 0.2, 0.3)


def small_network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        )


def dreamt(network: nn.Module, indices: list[int], **settings: object) -> Dreams:
    given = {"size": SIZE, "mean": MEAN, "deviation": DEVIATION, "steps": 24, **settings}
    return dream(network, indices, **given)  # type: ignore[arg-type]


def normalised(pixels: Tensor) -> Tensor:
    return (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(DEVIATION).view(1, 3, 1, 1)


def test_a_template_is_dreamt_of_as_it_is() -> None:
    y, x = np.mgrid[:32, :32] / 32
    planes = np.stack([np.sin(2 * np.pi * y), np.cos(2 * np.pi * (x + y))])
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.from_numpy(planes.reshape(2, -1)).float())
    found = dream(network, [0, 1], size=(32, 32), mean=(0.5,), deviation=(0.25,), steps=60)
    for pixels, plane in zip(found.pixels[:, 0].numpy(), planes, strict=True):
        assert np.corrcoef(pixels.ravel(), plane.ravel())[0, 1] > 0.85
        assert pixels[plane > 0.3].mean() > 0.7
        assert pixels[plane < -0.3].mean() < 0.3
    assert bool((found.deviations > 10).all())


def test_a_dream_comes_near_the_most_that_any_picture_gives() -> None:
    # Of scores that are linear in the pixels this most is known: white where a weight is positive, black elsewhere.
    grey = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)) - 0.5
    weights = nn.functional.avg_pool2d(grey, 3, stride=1, padding=1).flatten(1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(weights)
    found = dream(network, [0, 1], size=(28, 28), mean=(0.0,), deviation=(1.0,))
    assert bool((found.values > 0.85 * weights.clamp(min=0).sum(1)).all())
    assert bool((found.deviations > 10).all())


KINDS = {
    "class": (None, lambda network, x: network(x)),
    "unit": ("3", lambda network, x: network[:4](x)[:, :, 4, 4]),
    "channel": ("1", lambda network, x: network[:2](x).mean((2, 3))),
    "layer": ("4", lambda network, x: network[:5](x).square().mean((1, 2, 3))[:, None]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_the_kept_pixels_and_of_noise(kind: str) -> None:
    layer, measured = KINDS[kind]
    network, indices = small_network(), [0] if kind == "layer" else [4, 1]
    found = dreamt(network, indices, kind=kind, layer=layer, seed=3)
    assert found.indices == tuple(indices)
    assert found.pixels.shape == (len(indices), 3, *SIZE)
    with torch.no_grad():
        own = measured(network, normalised(found.pixels))[:, indices].diagonal()
        on_noise = measured(network, normalised(noise(3, 3, SIZE)))[:, indices].double()
    assert torch.allclose(found.values, own, atol=1e-5)
    assert torch.allclose(found.noise_mean.double(), on_noise.mean(0), atol=1e-5)
    assert torch.allclose(found.noise_deviation.double(), on_noise.std(0), rtol=1e-3)
    assert len(on_noise) == NOISE_PICTURES
    assert torch.allclose(found.deviations, (found.values - found.noise_mean) / found.noise_deviation)
    # A picture as a file keeps it.
    levels = 255 * found.pixels
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert 0 <= float(found.pixels.min()) < float(found.pixels.max()) <= 1


def test_more_steps_raise_it_further() -> None:
    few, many = (dreamt(small_network(), [2], steps=steps).values for steps in (2, 40))
    assert float(many) > float(few)


def test_the_same_seed_gives_the_same_bits_and_another_another_picture() -> None:
    first, again, other = (dreamt(small_network(), [2], seed=seed).pixels for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_dream_does_not_depend_on_its_company() -> None:
    several = dreamt(small_network(), [4, 0, 2])
    alone = dreamt(small_network(), [2])
    assert float((several.pixels[2] - alone.pixels[0]).abs().max()) < 0.02
    assert float(several.values[2]) == pytest.approx(float(alone.values[0]), rel=1e-3)


def test_more_dreams_than_go_at_once_are_all_there() -> None:
    told: list[tuple[int, int]] = []
    found = dreamt(
        small_network(), [number % 8 for number in range(11)], kind="channel", layer="3", steps=2,
        observe=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert found.pixels.shape[0] == len(found.values) == 11
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert float((found.pixels[8] - found.pixels[0]).abs().max()) < 0.02


def test_a_unit_behind_a_shut_rectifier_is_found() -> None:
    # A grey picture gives -6 before the rectifier, so that no gradient passes it; white would give 12.
    convolution = nn.Conv2d(1, 1, 3)
    with torch.no_grad():
        convolution.weight.fill_(1.0)
        assert convolution.bias is not None
        convolution.bias.fill_(-6.0)
    network = nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = dream(network, [0], kind="unit", layer="1", size=(16, 16), mean=(0.5,), deviation=(0.25,), steps=40)
    assert float(found.values) > 4
    assert float(found.pixels[0, 0, 5:11, 5:11].mean()) > 0.8


def test_silence_on_noise_is_infinitely_far_away() -> None:
    found = Dreams(
        kind="unit",
        layer="1",
        indices=(0, 1, 2),
        pixels=torch.zeros(3, 1, 1, 1),
        values=torch.tensor([2.0, 0.0, 3.0]),
        noise_mean=torch.tensor([0.0, 0.0, 1.0]),
        noise_deviation=torch.tensor([0.0, 0.0, 0.5]),
    )
    assert found.deviations.tolist() == [float("inf"), 0.0, 4.0]


def test_a_network_of_one_size_sees_small_octaves_enlarged() -> None:
    sizes: list[tuple[int, ...]] = []

    class OneSize(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(256, 2)

        def forward(self, pictures: Tensor) -> Tensor:
            sizes.append(tuple(pictures.shape[2:]))
            scores: Tensor = self.head(pictures.flatten(1))
            return scores

    found = dream(OneSize(), [1], size=(16, 16), mean=(0.5,), deviation=(0.25,), steps=6, octaves=2)
    assert found.pixels.shape == (1, 1, 16, 16)
    # The smaller octave is tried once, and then shown at the only size.
    assert sizes.count((11, 11)) == 1
    with pytest.raises(InputError, match="cannot take pictures of 20x20 with 1 channels"):
        dream(OneSize(), [1], size=(20, 20), mean=(0.5,), deviation=(0.25,), steps=6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"indices": [5]}, "no class 5: the network gives 5 scores, for classes 0 to 4"),
        ({"indices": [-1]}, "no class -1"),
        ({"indices": []}, "no class was asked for"),
        ({"layer": "0"}, "a class is of the network's scores, not of layer '0'"),
        ({"kind": "unit"}, "which unit"),
        ({"kind": "unit", "layer": "conv"}, "no layer 'conv'"),
        ({"kind": "channel", "layer": "3", "indices": [8]}, "no channel 8: layer '3' has 8 channels, 0 to 7"),
        ({"steps": 0}, "at least 1 step"),
        ({"octaves": 0}, "at least 1 octave"),
        ({"octaves": 4}, "4 octaves are too many for a picture of 16x16.*at most 3"),
        ({"size": (16, 4)}, "at least 8 pixels a side, got 4x16"),
        ({"mean": (0.5,), "deviation": (0.2,)}, "cannot take pictures of 16x16 with 1 channels"),
        ({"deviation": (0.2, 0.2, 0.0)}, "deviations above 0"),
        ({"output": "scores"}, "output"),
    ],
)
def test_bad_input_is_one_sentence(settings: dict[str, object], said: str) -> None:
    given = {"indices": [0], **settings}
    with pytest.raises(InputError, match=said) as error:
        dreamt(small_network(), **given)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


# -- the way up -------------------------------------------------------------------------------------


def test_octaves_grow_by_a_factor_to_the_whole_picture() -> None:
    assert octave_sizes((224, 224), None, 3) == [(114, 114), (160, 160), (224, 224)]
    assert octave_sizes((224, 224), None, 4)[0] == (82, 82)
    assert octave_sizes((96, 300), None, 3) == [(69, 214), (96, 300)]
    assert octave_sizes((28, 28), None, 3) == [(28, 28)]
    assert octave_sizes((28, 28), 3, 3) == [(14, 14), (20, 20), (28, 28)]


def test_the_picture_moves_a_little_and_the_same_for_each_unit_alone() -> None:
    rows = np.arange(40)
    places = torch.stack([wobble(1, step, rows, (20, 40)) for step in range(25)]).view(-1, 2, 3).double()
    assert torch.equal(wobble(1, 3, np.array([7]), (20, 40))[0], wobble(1, 3, rows, (20, 40))[7])
    shifts = places[:, :, 2] / 2
    assert 0.05 < float(shifts.max()) <= 1 / 16
    assert -1 / 16 <= float(shifts.min()) < -0.05
    # In pixels the matrix is a turn times a zoom.
    sides = torch.tensor([20.0, 10.0], dtype=torch.float64)
    matrices = places[:, :, :2] * sides.view(1, 2, 1) / sides.view(1, 1, 2)
    zoom = matrices.det().sqrt()
    assert torch.allclose(matrices @ matrices.mT, (zoom**2).view(-1, 1, 1) * torch.eye(2).double(), atol=1e-5)
    assert 0.9 < float(zoom.min()) < 0.93 < 1.08 < float(zoom.max()) <= 1.1
    turns = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert -5 <= float(turns.min()) < -4
    assert 4 < float(turns.max()) <= 5


def test_the_movement_is_as_large_as_its_share() -> None:
    rows = np.arange(5)
    whole, half, none = (wobble(2, 7, rows, (20, 40), share) for share in (1.0, 0.5, 0.0))
    assert torch.allclose(half[:, :, 2], whole[:, :, 2] / 2, atol=1e-6)
    assert torch.equal(none, torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(5, 2, 3))


def test_small_pictures_take_more_steps() -> None:
    sides = ((28, 28), (64, 64), (300, 96), (128, 128), (224, 224))
    assert [steps_for(size) for size in sides] == [512, 256, 170, 128, 128]


def test_looked_at_without_a_movement_it_is_the_picture() -> None:
    picture = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    still = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(2, 2, 3)
    assert torch.allclose(sampled(picture, still, (7, 9)), picture, atol=1e-6)


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_steps_are_those_of_kingma_and_ba_but_for_what_a_picture_shares(shared: float) -> None:
    draws = np.random.default_rng(0)
    gradients = draws.normal(size=(6, 2, 4)) * np.array([1e-9, 1.0, 1e6, 0.0])
    gradients[:, 1] *= 1e3  # a picture of its own
    point, mean, square = np.zeros((2, 4)), np.zeros((2, 4)), np.zeros((2, 4))
    for number, gradient in enumerate(gradients, start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected = square / (1 - 0.999**number)
        own, whole = np.sqrt(corrected), np.sqrt(corrected.mean(axis=1, keepdims=True))
        size = own ** (1 - shared) * whole**shared
        point = point + 0.05 * np.divide(mean / (1 - 0.9**number), size, out=np.zeros((2, 4)), where=own > 0)
    adam, reached = Adam(0.05, shared), torch.zeros(2, 4, dtype=torch.float64)
    for gradient in gradients:
        reached = adam.climbed(reached, torch.from_numpy(gradient))
    assert np.allclose(reached.numpy(), point, rtol=1e-9, atol=1e-15)
    assert bool((reached[:, 3] == 0).all())


class Rounded(nn.Module):
    """Scores that are counts: no gradient reaches the picture."""

    def forward(self, pictures: Tensor) -> Tensor:
        counted = (pictures > 0).flatten(1).sum(1).float()
        return torch.stack([counted, -counted], dim=1)


class Overflowing(nn.Module):
    """Scores whose gradient is infinite at 0."""

    def forward(self, pictures: Tensor) -> Tensor:
        return (0 * pictures).flatten(1).sum(1, keepdim=True).abs().sqrt().expand(-1, 2)


class Overwriting(nn.Module):
    """Scores whose activation is written over before its gradient is asked for."""

    def forward(self, pictures: Tensor) -> Tensor:
        grown = (0.01 * pictures).flatten(1).sum(1, keepdim=True).exp()
        return grown.mul_(2).expand(-1, 2)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Overwriting(), "writes over a tensor"),
        (Rounded(), "the network has no gradient: what a dream would raise"),
        (Overflowing(), "gradient is not finite"),
    ],
)
def test_a_network_that_cannot_be_climbed_is_refused(network: nn.Module, said: str) -> None:
    with pytest.raises(InputError, match=said):
        dreamt(network, [0])
