"""DeepDream: one step against its formula, what it raises, a picture that stays itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.errors import InputError
from striate.views.deepdream import RATE, deepdream


def pointwise(weight: float, bias: float) -> nn.Module:
    """Sees each pixel by itself, so that it does not matter how far the picture was rolled."""
    convolution = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        convolution.weight.fill_(weight)
        assert convolution.bias is not None
        convolution.bias.fill_(bias)
    return nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def picture(channels: int = 1, side: int = 24) -> torch.Tensor:
    return torch.rand(channels, side, side, generator=torch.Generator().manual_seed(0))


def test_one_step_is_its_formula() -> None:
    start = picture()
    found = deepdream(pointwise(2.0, 0.5), start, layer="0", mean=(0.5,), deviation=(0.25,), steps=1)
    seen = 2.0 * (start.double() - 0.5) / 0.25 + 0.5
    gradient = 2 * seen * 2.0 / 0.25 / seen.numel()  # of the mean of the squares
    expected = (start.double() + RATE * gradient / gradient.abs().mean()).clamp(0, 1)
    assert torch.allclose(found.pixels[0], ((255 * expected).round() / 255).float(), atol=1e-6)
    kept = 2.0 * (found.pixels[0].double() - 0.5) / 0.25 + 0.5
    assert float(found.values) == pytest.approx(float(kept.square().mean()), rel=1e-5)


def textured() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(8, 4, 3, padding=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


@pytest.mark.parametrize(("kind", "layer", "index"), [("layer", "1", 0), ("channel", "2", 3), ("class", None, 2)])
def test_what_is_seen_gets_stronger_and_the_picture_stays_itself(kind: str, layer: str | None, index: int) -> None:
    start, network = picture(3, 48), textured()
    settings = {"kind": kind, "layer": layer, "mean": (0.5,) * 3, "deviation": (0.25,) * 3}
    steps = 12
    found, again = (
        deepdream(network, start, index, steps=steps, octaves=2, seed=1, **settings)
        for _ in range(2)  # type: ignore[arg-type]
    )
    little = deepdream(network, start, index, steps=1, octaves=1, **settings)  # type: ignore[arg-type]
    assert float(found.values) > float(little.values)
    assert torch.equal(found.pixels, again.pixels)
    change = (found.pixels[0] - start).abs()
    assert 0.005 < float(change.mean()) <= steps * RATE + 1 / 255
    assert float(torch.corrcoef(torch.stack([found.pixels[0].flatten(), start.flatten()]))[0, 1]) > 0.9


def test_bad_input_is_one_sentence() -> None:
    settings = {"mean": (0.5,), "deviation": (0.25,)}
    for given, said in (
        ({"layer": "9"}, "no layer '9'"),
        ({"layer": None}, "which layer"),
        ({"layer": "0", "steps": 0}, "at least 1 step"),
        ({"layer": "0", "octaves": 9}, "9 octaves are too many"),
    ):
        with pytest.raises(InputError, match=said):
            deepdream(pointwise(1.0, 0.0), picture(), **given, **settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="one picture is"):
        deepdream(pointwise(1.0, 0.0), picture()[None], layer="0", **settings)  # type: ignore[arg-type]
