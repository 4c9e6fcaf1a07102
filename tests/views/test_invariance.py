"""Changes of a picture against slices and turns of arrays; distances and probabilities against loops in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import InputError
from striate.views.invariance import AMOUNTS, changed, invariance, matrix


def pictures(count: int = 2, height: int = 16, width: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 5),
        )


def moved(picture: torch.Tensor, kind: str, amount: float) -> torch.Tensor:
    return changed(picture, matrix(kind, amount, picture.shape[2:])[None])


def test_moved_down_is_a_slice() -> None:
    one = pictures(1, 16, 20)
    down = moved(one, "translation", 3 / 16)
    assert torch.allclose(down[:, :, 3:], one[:, :, :-3], atol=1e-5)
    assert bool((down[:, :, :3] == 0).all())
    up = moved(one, "translation", -5 / 16)
    assert torch.allclose(up[:, :, :-5], one[:, :, 5:], atol=1e-5)


def test_turns_are_anticlockwise_about_the_middle() -> None:
    one = pictures(1)
    for turns in (1, 2, 3):
        assert torch.allclose(moved(one, "rotation", 90.0 * turns), torch.rot90(one, turns, (2, 3)), atol=1e-4)
    # Of a picture that is not square, pixels are turned, not shares of its sides.
    wide = torch.zeros(1, 1, 11, 21)
    wide[..., 5, 14] = 1.0  # four pixels to the right of the middle
    turned = moved(wide, "rotation", 90.0)
    assert float(turned[0, 0, 1, 10]) == pytest.approx(1.0, abs=1e-4)  # four above it


def test_half_the_size_is_the_mean_of_two_by_two() -> None:
    one = pictures(1)
    half = moved(one, "scale", 0.5)
    assert torch.allclose(half[:, :, 4:12, 4:12], nn.functional.avg_pool2d(one, 2), atol=1e-5)
    assert bool((half[:, :, :4] == 0).all())
    smooth = nn.functional.interpolate(
        torch.randn(1, 1, 3, 3, generator=torch.Generator().manual_seed(1)), size=16, mode="bicubic"
    )
    double = moved(smooth, "scale", 2.0)
    assert torch.allclose(nn.functional.avg_pool2d(double, 2), smooth[:, :, 4:12, 4:12], atol=0.05)


def test_distances_and_probabilities_are_those_of_a_loop() -> None:
    given, net = pictures(), network()
    amounts = {"translation": (0.0, 0.25, -0.125), "scale": (1.0, 2.0), "rotation": (0.0, 90.0, 45.0, 180.0, 270.0)}
    found = invariance(net, given, [3], layers=["4", "1"], amounts=amounts)
    assert [one.change for one in found] == list(amounts)
    wide = network().double()
    for one in found:
        assert one.layers == ("4", "1")
        assert one.classes.tolist() == [3, 3]
        assert one.amounts.tolist() == list(amounts[one.change])
        for b in range(2):
            plain = [part(given[b : b + 1].double()).detach().numpy() for part in (wide, wide[:2])]
            for position, features in enumerate(plain):
                assert float(one.lengths[position, b]) == pytest.approx(np.linalg.norm(features), rel=1e-4)
            for t, amount in enumerate(amounts[one.change]):
                picture = moved(given[b : b + 1], one.change, amount).double()
                for position, part in enumerate((wide, wide[:2])):
                    distance = np.linalg.norm(part(picture).detach().numpy() - plain[position])
                    assert float(one.distances[position, b, t]) == pytest.approx(distance, rel=1e-3, abs=1e-4)
                assert float(one.probabilities[b, t]) == pytest.approx(
                    float(wide(picture).detach().softmax(1)[0, 3]), rel=1e-4
                )
        unchanged = amounts[one.change].index(1.0 if one.change == "scale" else 0.0)
        assert float(one.distances[:, :, unchanged].max()) < 1e-3


def test_what_a_network_does_not_see_moves_nothing() -> None:
    # The mean of a blob does not change as long as it stays inside; where it lies does.
    blob = torch.zeros(1, 1, 32, 32)
    blob[..., 13:19, 13:19] = 1.0
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    translation, rotation = invariance(net, blob, 0, amounts={"translation": (0.25,), "rotation": (90.0,)})
    assert translation.layers == ("0", "1", "2")
    assert float(translation.distances[0]) > 1e-2
    assert float(translation.distances[1:].max()) < 1e-5
    assert float(rotation.distances.max()) < 1e-3


def test_by_default_every_layer_and_the_most_probable_class() -> None:
    given = pictures(1)
    found = invariance(network(), given)
    assert [one.change for one in found] == list(AMOUNTS)
    assert all(one.distances.shape == (5, 1, len(AMOUNTS[one.change])) for one in found)
    assert found[0].classes.tolist() == network()(given).argmax(1).tolist()
    # Whole pixels: a quarter of 16 is 4, a sixth of a quarter is none.
    assert all(math.isclose(16 * amount, round(16 * amount)) for amount in found[0].amounts.tolist())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layers": ["5"]}, "no layer '5'"),
        ({"classes": 5}, "no class 5"),
        ({"classes": [1, 2]}, "one class for each picture, got 2"),
        ({"amounts": {"rotaton": (1.0,)}}, "no change 'rotaton'; did you mean 'rotation'"),
        ({"amounts": {"scale": (0.0,)}}, "amounts of scale"),
        ({"amounts": {"rotation": ()}}, "amounts of rotation"),
        ({"pictures": torch.zeros(3, 16, 16)}, "pictures must be"),
    ],
)
def test_bad_input_is_one_sentence(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        invariance(network(), **{"pictures": pictures(), **settings})  # type: ignore[arg-type]
