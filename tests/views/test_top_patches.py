"""Top patches: the same as a search by hand, cut exactly, and the deconvnet as its paper writes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import InputError
from striate.taps.fields import receptive_fields
from striate.views.deconvnet import reconstructions
from striate.views.one_pass import Batch
from striate.views.top_patches import Top, top_patches

SIDE = 20
LAYERS = ("1", "4", "7")


def network(seed: int = 0) -> nn.Sequential:
    """Two convolutions with in-place rectifiers and max-pooling, and a linear layer; float64, so that order is sure."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 6, 3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 4 * 4, 4),
    ).double()


def pictures(count: int = 40, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batches(given: Tensor, sizes: tuple[int, ...]) -> list[Batch]:
    parts = torch.split(torch.arange(len(given)), sizes)
    return [Batch(given[rows], rows) for rows in parts]


def by_hand(
    net: nn.Sequential, given: Tensor, layer: str, count: int
) -> list[list[tuple[float, int, tuple[int, int]]]]:
    """Each picture through the first layers alone; each cell looked at; all of them sorted."""
    found: list[list[tuple[float, int, tuple[int, int]]]] = []
    with torch.no_grad():
        maps = [net[: int(layer) + 1](one[None])[0] for one in given]
    for unit in range(len(maps[0])):
        best = []
        for row, one in enumerate(maps):
            cells = one[unit].reshape(1, 1) if one.ndim == 1 else one[unit]
            value, place = -np.inf, (0, 0)
            for r, line in enumerate(cells.tolist()):
                for c, cell in enumerate(line):
                    if np.float32(cell) > value:
                        value, place = np.float32(cell), (r, c)
            best.append((float(value), row, place))
        best.sort(key=lambda one: (-one[0], one[1]))
        found.append(best[:count])
    return found


@pytest.mark.parametrize("sizes", [(40,), (1, 7, 16, 16), (3,) * 13 + (1,)])
def test_equal_to_a_search_by_hand(sizes: tuple[int, ...]) -> None:
    net, given = network(), pictures()
    found = top_patches(net, batches(given, sizes), layers=LAYERS)
    assert list(found) == list(LAYERS)
    for layer in LAYERS:
        for unit, expected in enumerate(by_hand(net, given, layer, 9)):
            got = found[layer].of(unit)
            assert [one[1:] for one in got] == [one[1:] for one in expected], (layer, unit)
            assert [one[0] for one in got] == pytest.approx([one[0] for one in expected])


def test_a_tensor_is_taken_as_it_is_and_nothing_of_the_network_changes() -> None:
    net, given = network().train(), pictures()
    net[0].weight.requires_grad_(False)
    net[3].weight.grad = torch.ones_like(net[3].weight)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = top_patches(net, given, layers=["4"], count=5)
    in_batches = top_patches(net, batches(given, (40,)), layers=["4"], count=5)
    for name in ("values", "rows", "cells"):
        assert np.array_equal(getattr(found["4"], name), getattr(in_batches["4"], name))
    assert found["4"].rows.shape == (6, 5)
    assert net.training
    assert [weight.requires_grad for weight in net.parameters()] == [False, *[True] * 5]
    assert torch.equal(net[3].weight.grad, torch.ones_like(net[3].weight))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_three_pictures_give_three() -> None:
    found = top_patches(network(), pictures(3), layers=["1"])["1"]
    assert found.rows.shape == (5, 9)
    assert all(sorted(found.rows[unit, :3].tolist()) == [0, 1, 2] for unit in range(5))
    assert (found.rows[:, 3:] == -1).all()
    assert np.isneginf(found.values[:, 3:]).all()
    assert [len(found.of(unit)) for unit in range(5)] == [3] * 5


def test_of_equal_values_the_first_picture_and_the_first_cell_count() -> None:
    net, one = network(), pictures(1)
    found = top_patches(net, batches(one.repeat(20, 1, 1, 1), (4, 4, 12)), layers=["1"])["1"]
    assert (found.rows == np.arange(9)).all()
    still = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Flatten())
    nn.init.zeros_(still[0].weight)
    nn.init.constant_(still[0].bias, -1.0)
    dead = top_patches(still, pictures(12).float(), layers=["1"])["1"]
    assert (dead.rows == np.arange(9)).all()
    assert (dead.cells == 0).all()
    assert (dead.values == 0).all()


def test_what_is_no_number_is_never_among_the_strongest() -> None:
    given = pictures(6)
    given[2] = torch.nan
    found = top_patches(network(), given, layers=["4"])["4"]
    assert 2 not in found.rows
    assert (found.rows >= 0).sum(axis=1).tolist() == [5] * 6


def test_no_pixel_outside_of_the_patch_changes_the_unit_and_one_inside_does() -> None:
    net, given = network(), pictures()
    fields = receptive_fields(net, ["1", "4"], (3, SIDE, SIDE))
    for layer, found in top_patches(net, given, layers=["1", "4"]).items():
        for unit in range(len(found.rows)):
            value, row, cell = found.of(unit)[0]
            top, left, bottom, right = fields[layer].at(*cell)
            changed = pictures(1, seed=unit + 7)[0]
            inside = given[row].clone()
            changed[:, top:bottom, left:right] = inside[:, top:bottom, left:right]
            inside[:, top:bottom, left:right] = pictures(1, seed=unit + 9)[0][:, top:bottom, left:right]
            with torch.no_grad():
                maps = net[: int(layer) + 1](torch.stack([changed, inside]))[:, unit, cell[0], cell[1]].tolist()
            assert maps[0] == pytest.approx(value, rel=1e-6), (layer, unit)
            assert maps[1] != pytest.approx(value, rel=1e-6), (layer, unit)


def deconvnet(net: nn.Sequential, picture: Tensor, unit: int, cell: tuple[int, int]) -> Tensor:
    """Zeiler and Fergus 2014, section 2.1, from layer "4" down: unpool by switches, rectify, filter by transposes."""
    first, second = net[0], net[3]
    with torch.no_grad():
        rectified = first(picture[None]).relu()
        pooled, switches = functional.max_pool2d(rectified, 2, return_indices=True)
        above = torch.zeros_like(second(pooled))
        above[0, unit, cell[0], cell[1]] = 1.0
        below = functional.conv_transpose2d(above.relu(), second.weight)
        below = functional.max_unpool2d(below, switches, 2, output_size=rectified.shape[-2:])
        return functional.conv_transpose2d(below.relu(), first.weight, padding=1)[0]


def test_reconstructions_are_those_of_the_paper() -> None:
    net, given = network(), pictures()
    found = top_patches(net, given, layers=["4"])["4"]
    asked = [(unit, row, cell) for unit in range(6) for _, row, cell in found.of(unit)]
    made = reconstructions(
        net, given[[row for _, row, _ in asked]], "4", [one[0] for one in asked], [one[2] for one in asked]
    )
    assert made.shape == (54, 3, SIDE, SIDE)
    fields = receptive_fields(net, ["4"], (3, SIDE, SIDE))["4"]
    for (unit, row, cell), values in zip(asked, made, strict=True):
        expected = deconvnet(net, given[row], unit, cell)
        assert torch.allclose(values.double(), expected, rtol=1e-4, atol=1e-6)
        top, left, bottom, right = fields.at(*cell)
        outside = torch.ones(SIDE, SIDE, dtype=torch.bool)
        outside[top:bottom, left:right] = False
        assert not values[:, outside].any()
        assert values.any()


def test_reconstructions_are_refused_by_name_where_activations_are_no_rectifiers() -> None:
    bent = nn.Sequential(nn.Conv2d(3, 2, 3), nn.GELU(), nn.Flatten(), nn.Linear(2 * 18 * 18, 2))
    with pytest.raises(InputError, match=r"deconvnet reconstruction needs .*rectifiers.*GELU"):
        reconstructions(bent, pictures(1).float(), "0", [0], [(0, 0)])
    assert top_patches(bent, pictures(2).float(), layers=["1"])["1"].rows.shape == (2, 9)  # patches there are


@pytest.mark.parametrize(
    ("layer", "unit", "cell", "says"),
    [
        ("5x", 0, (0, 0), "no layer '5x'"),
        ("4", 6, (0, 0), "units 0 to 5, not 6"),
        ("4", 0, (8, 0), r"8x8 cells, none at \(8, 0\)"),
        ("7", 0, (0, 1), "1x1 cells"),
    ],
)
def test_units_and_cells_that_are_not_there_are_named(layer: str, unit: int, cell: tuple[int, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        reconstructions(network(), pictures(1), layer, [unit], [cell])


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(InputError, match="no layer 'feature'"):
        top_patches(network(), pictures(1), layers=["feature"])
    with pytest.raises(InputError, match="there are no pictures"):
        top_patches(network(), [], layers=["1"])
    with pytest.raises(InputError, match="at least one"):
        top_patches(network(), pictures(1), layers=["1"], count=0)
    with pytest.raises(InputError, match="as many units and cells"):
        reconstructions(network(), pictures(2), "1", [0], [(0, 0)])


def test_a_top_without_pictures_has_none() -> None:
    empty = Top(values=np.full((1, 2), -np.inf), rows=np.full((1, 2), -1), cells=np.zeros((1, 2, 2), dtype=np.int64))
    assert empty.of(0) == []
