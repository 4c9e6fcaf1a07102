"""The film of units against a search by hand, and the deconvnet of one layer against its filters."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from striate.errors import InputError
from striate.views.through_training import films, through_training


def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 3, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(3, 2),
        )


def pictures() -> torch.Tensor:
    return torch.randn(70, 1, 12, 12, generator=torch.Generator().manual_seed(1))


def test_each_epoch_has_its_strongest_and_what_caused_it() -> None:
    given, networks, units = pictures(), [(1, network(1)), (5, network(2))], [3, 0]
    told: list[int] = []
    film = through_training(networks, given, units, layer="1", observe=told.append)
    assert film.epochs == (1, 5)
    assert told == [1, 5]
    assert film.reconstructions.shape == (2, 2, 1, 12, 12)
    for e, (_, net) in enumerate(networks):
        weight, bias = (one.detach().double() for one in net[0].parameters())
        maps = functional.relu(functional.conv2d(given.double(), weight, bias))
        for u, unit in enumerate(units):
            best = maps[:, unit].max()
            row, y, x = (int(one) for one in (maps[:, unit] == best).nonzero()[0])
            assert float(film.activations[e, u]) == pytest.approx(float(best), rel=1e-5)
            assert int(film.rows[e, u]) == row
            assert film.boxes[e, u].tolist() == [y, x, y + 3, x + 3]
            # Of one layer the way back is the filter itself, as strong as the activation.
            expected = torch.zeros(12, 12, dtype=torch.float64)
            expected[y : y + 3, x : x + 3] = best * net[0].weight[unit, 0].double()
            assert torch.allclose(film.reconstructions[e, u, 0].double(), expected, atol=1e-5)


def test_through_pooling_and_rectifiers_it_is_the_deconvnet() -> None:
    given, net = pictures(), network(1)
    film = through_training([(1, net)], given, [2], layer="4")
    row, (top, left, bottom, right) = int(film.rows), film.boxes[0, 0].tolist()
    assert bottom - top == right - left == 8
    maps = net[:5](given)[:, 2].detach()
    best = maps.max()
    assert float(film.activations) == pytest.approx(float(best), rel=1e-5)
    place = (maps == best).nonzero()[0].tolist()
    assert place[0] == row
    # Zeiler and Fergus, section 2.1: unpool by switches, rectify, filter by the transposed filters, layer by layer.
    with torch.no_grad():
        rectified = functional.relu(net[0](given[row : row + 1]))
        _, switches = functional.max_pool2d(rectified, 2, return_indices=True)
        signal = torch.zeros(1, 3, 3, 3)
        signal[0, 2, place[1], place[2]] = best
        signal = functional.conv_transpose2d(functional.relu(signal), net[3].weight)
        signal = functional.relu(functional.max_unpool2d(signal, switches, 2, output_size=rectified.shape))
        expected = functional.conv_transpose2d(signal, net[0].weight)
    assert torch.allclose(film.reconstructions[0, 0], expected[0], atol=1e-5)
    outside = film.reconstructions[0, 0, 0].clone()
    outside[top:bottom, left:right] = 0
    assert not outside.any()


def test_a_vector_has_units_too() -> None:
    film = through_training([(1, network(1))], pictures(), [1], layer="6")
    assert film.boxes[0, 0].tolist() == [0, 0, 12, 12]
    answers = network(1)[:7](pictures()).detach()
    assert float(film.activations) == pytest.approx(float(answers[:, 1].max()), rel=1e-5)


def test_bad_input_is_one_sentence() -> None:
    given = pictures()
    with pytest.raises(InputError, match="no epoch to show"):
        through_training([], given, [0], layer="1")
    with pytest.raises(InputError, match="no layer '9'"):
        through_training([(1, network(1))], given, [0], layer="9")
    with pytest.raises(InputError, match="no unit 4"):
        through_training([(1, network(1))], given, [4], layer="1")
    other = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(InputError, match="rectifiers"):
        through_training([(1, other)], given, [0], layer="0")


def test_several_layers_at_once_are_those_of_each_alone() -> None:
    given, networks = pictures(), [(1, network(1)), (2, network(2))]
    together = films(networks, given, {"4": [2, 0], "1": [3]})
    assert list(together) == ["4", "1"]
    for layer, units in (("4", [2, 0]), ("1", [3])):
        alone = through_training(networks, given, units, layer=layer)
        for name in ("activations", "rows", "boxes", "reconstructions"):
            assert torch.equal(getattr(together[layer], name), getattr(alone, name)), (layer, name)
