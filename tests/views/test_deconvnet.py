"""The deconvnet in windows of pictures: the same as in whole ones, and whole ones where windows would be wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hard_networks import headed
from striate.taps.fields import Fields, receptive_fields
from striate.taps.places import find_places, place_named
from striate.views.deconvnet import deconvnet, reconstructions
from striate.views.unit_windows import Windows, cut_out, found_windows, put_back, windows_around

SHAPE = (3, 61, 50)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True))

    def forward(self, maps: Tensor) -> Tensor:
        return (maps + self.body(maps)).relu()


class Placed(nn.Module):
    """Knows where in the picture it is: rows and columns are channels of their own."""

    def forward(self, maps: Tensor) -> Tensor:
        rows = torch.linspace(-1, 1, maps.shape[2]).to(maps).view(1, 1, -1, 1).expand(len(maps), 1, *maps.shape[2:])
        return torch.cat([maps, rows], dim=1)


class Gated(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps * maps.mean((2, 3), keepdim=True).relu()


class Fixed(nn.Module):
    """Takes maps of one size alone."""

    def forward(self, maps: Tensor) -> Tensor:
        if maps.shape[2:] != SHAPE[1:]:
            raise ValueError(f"maps of {SHAPE[1:]} are needed")
        return maps


BODIES: dict[str, Callable[[], list[nn.Module]]] = {
    "padding and pooling": lambda: [
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 5, 3, padding=1),
        nn.ReLU(),
    ],
    "as SqueezeNet": lambda: [
        nn.Conv2d(3, 5, 7, stride=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(5, 5, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
    ],
    "as ResNet": lambda: [
        nn.Conv2d(3, 5, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        Residual(5),
    ],
    "dilated, in groups": lambda: [
        nn.Conv2d(3, 6, 3, dilation=2, padding=1, groups=3),
        nn.ReLU(),
        nn.AvgPool2d(3, 2, 1),
        nn.Conv2d(6, 5, (2, 3), stride=(1, 2), padding=1),
        nn.ReLU6(),
    ],
    "gaps": lambda: [nn.Conv2d(3, 5, 2, stride=3), nn.ReLU(), nn.Conv2d(5, 5, 3, padding=1), nn.ReLU()],
}


def made(body: list[nn.Module], channels: int = 5) -> nn.Module:
    torch.manual_seed(3)
    network = headed(*body, channels=channels)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return network.eval()


def noise(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(4)).to(dtype)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_in_windows_they_are_those_of_whole_pictures_for_every_cell(name: str, dtype: torch.dtype) -> None:
    network = made(BODIES[name]()).to(dtype)
    fields = receptive_fields(network, ["0"], SHAPE)["0"]
    cells = [(row, column) for row in range(len(fields.rows)) for column in range(len(fields.columns))]
    pictures = noise(len(cells), dtype)
    units = [number % 5 for number in range(len(cells))]
    by_windows = deconvnet(network, pictures[:1], "0", fields=fields)
    assert by_windows.windows is not None
    assert np.prod(by_windows.windows.size) < 0.75 * SHAPE[1] * SHAPE[2]
    whole = reconstructions(network, pictures, "0", units, cells)
    found = by_windows.reconstructions(pictures, units, cells)
    assert float((found - whole).abs().max()) <= 1e-6 * float(whole.abs().max())
    assert bool(whole.flatten(1).any(1).all())
    for one, cell in zip(found, cells, strict=True):
        top, left, bottom, right = fields.at(*cell)
        outside = torch.ones(SHAPE[1:], dtype=torch.bool)
        outside[top:bottom, left:right] = False
        assert not one[:, outside].any()


def test_windows_of_one_size_hold_the_fields_and_begin_at_multiples_of_the_step() -> None:
    rows = tuple((max(0, 4 * unit - 5), min(61, 4 * unit + 7)) for unit in range(16))
    columns = tuple((max(0, 3 * unit - 1), min(50, 3 * unit + 9)) for unit in range(16))
    windows = windows_around(Fields(rows, columns), (61, 50))
    assert windows is not None
    assert windows.step == (4, 3)
    for row, (start, end) in enumerate(rows):
        top, _ = windows.at(row, 0)
        assert top % 4 == 0
        assert 0 <= top <= start
        assert end <= top + windows.size[0] <= 61
        assert windows.cell(row, 0)[0] == row - top // 4
    for column, (start, end) in enumerate(columns):
        _, left = windows.at(0, column)
        assert left % 3 == 0
        assert 0 <= left <= start
        assert end <= left + windows.size[1] <= 50


def test_what_is_cut_out_is_put_back_in_its_place() -> None:
    windows = Windows((2, 3), (1, 1), tops=(0, 1), lefts=(0, 2))
    pictures = torch.arange(2 * 3 * 5, dtype=torch.float32).view(2, 1, 3, 5)
    cells = [(0, 1), (1, 0)]
    parts = cut_out(pictures, windows, cells)
    assert torch.equal(parts[0, 0], pictures[0, 0, :2, 2:5])
    assert torch.equal(parts[1, 0], pictures[1, 0, 1:3, :3])
    back = put_back(parts, windows, cells, (3, 5))
    assert torch.equal(back[0, 0, :2, 2:5], pictures[0, 0, :2, 2:5])
    assert float(back.sum()) == float(parts.sum())


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "places": lambda: made([Placed(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU()]),
    "everything": lambda: made([nn.Conv2d(3, 5, 3, padding=1), Gated(), nn.ReLU()]),
    "one size": lambda: made([Fixed(), nn.Conv2d(3, 5, 3, padding=1), nn.ReLU()]),
    "enlarged": lambda: made([nn.Conv2d(3, 5, 3, 2, 1), nn.Upsample(scale_factor=2), nn.ReLU()]),
    "enlarged and mixed": lambda: made(
        [nn.Conv2d(3, 5, 2, 2), nn.Upsample(scale_factor=2), nn.Conv2d(5, 5, 3, padding=1), nn.ReLU()]
    ),
    "nearly the whole": lambda: made([nn.Conv2d(3, 5, 51, padding=25), nn.ReLU()]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_where_windows_would_be_wrong_or_no_gain_pictures_are_taken_whole(name: str) -> None:
    network, pictures = OTHERS[name](), noise(3)
    fields = receptive_fields(network, ["0"], SHAPE)["0"]
    assert deconvnet(network, pictures[:1], "0", fields=fields).windows is None
    cells = [(1, 1), (10, 7), (30, 20)]
    with_fields = reconstructions(network, pictures, "0", [0, 1, 2], cells, fields=fields)
    assert torch.equal(with_fields, reconstructions(network, pictures, "0", [0, 1, 2], cells))


def test_windows_are_refused_by_trying_and_not_by_the_fields_alone() -> None:
    """A network that knows its place: its fields alone would allow windows."""
    network = OTHERS["places"]()
    fields = receptive_fields(network, ["0"], SHAPE)["0"]
    assert windows_around(fields, SHAPE[1:]) is not None
    place = place_named(find_places(network, noise(1)), "0")
    assert found_windows(network, place, fields, noise(1)) is None


def test_trying_leaves_the_network_as_it_was() -> None:
    network = made(BODIES["as ResNet"]()).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    deconvnet(network, noise(1), "0", fields=receptive_fields(network, ["0"], SHAPE)["0"])
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
