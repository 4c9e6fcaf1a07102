"""Receptive fields against brute force: which pixels, changed one at a time, change a unit."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hard_networks import ChannelsLast, WithClassToken, headed
from small_networks import made
from striate.errors import InputError
from striate.networks import build_network
from striate.taps.fields import receptive_fields
from striate.taps.places import as_maps, find_places, place_named
from striate.taps.watching import watching


class Residual(nn.Module):
    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()


class Shifted(nn.Module):
    """Half of the channels some rows lower."""

    def __init__(self, down: int) -> None:
        super().__init__()
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        kept, moved = x.chunk(2, dim=1)
        return torch.cat([kept, nn.functional.pad(moved, (0, 0, self.down, -self.down))], dim=1)


# Their weights are drawn anew in each test.
BODIES = {
    "padding and strides": [nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3, padding=1)],
    "no padding": [nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, (2, 3), stride=(2, 1))],
    "dilation": [nn.Conv2d(3, 4, 3, dilation=2, padding=2), nn.Tanh(), nn.Conv2d(4, 4, 3, padding=(0, 2))],
    "same, even kernel": [nn.Conv2d(3, 4, 4, padding="same"), nn.Conv2d(4, 4, 2, padding="same", dilation=3)],
    "gaps": [nn.Conv2d(3, 4, 1, stride=3)],
    "circular": [nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")],
    "groups": [nn.Conv2d(3, 6, 3, groups=3), nn.Tanh(), nn.Conv2d(6, 4, 3, stride=2, groups=2)],
    "groups that see other rows": [
        nn.Conv2d(3, 4, 3, padding=1),
        Shifted(2),
        nn.Conv2d(4, 6, 1, groups=2),
        Shifted(-2),
        nn.Conv2d(6, 4, (1, 2), groups=2),
    ],
    "pooling": [
        nn.Conv2d(3, 4, 3, padding=1),
        nn.AvgPool2d(3, 2, 1),
        nn.Conv2d(4, 4, 3),
        nn.AvgPool2d(2, ceil_mode=True),
    ],
    "largest": [nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 4, 3, padding=1)],
    "residual": [
        nn.Conv2d(3, 4, 3, 2, 1),
        Residual(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)),
        nn.Conv2d(4, 4, 1),
    ],
    "uneven grid": [nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d((4, 3))],
    "upsampled": [nn.Conv2d(3, 4, 3, 2, 1), nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1)],
    "transposed": [nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 3, stride=2)],
    "squeeze and excite": [nn.Conv2d(3, 4, 3, 2, 1), SqueezeExcite(4), nn.Conv2d(4, 4, 3, padding=1)],
    "norms": [nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.GELU(), nn.Conv2d(4, 4, 3)],
    "instance norm": [nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)],
}


def by_brute_force(network: nn.Module, name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """(h, w, 4): of each unit the smallest box of pixels that change it, each pixel changed alone, in float64."""
    network = copy.deepcopy(network).double().eval()
    picture = torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    place = place_named(find_places(network, picture), name)
    rows, columns = shape[1:]
    plain = picture.repeat(rows * columns, 1, 1, 1)
    changed = plain.clone()
    for row in range(rows):
        for column in range(columns):
            # Far above all others, so that it wins wherever the largest value is taken.
            changed[row * columns + column, :, row, column] += torch.tensor([17.0, 23.0, 31.0]).double()

    def maps_of(pictures: Tensor) -> Tensor:
        with torch.no_grad(), watching(network, [name]) as seen:
            network(pictures)
        return as_maps(place, seen[name])

    # Beside the plain picture at the same place of a batch: the last bit of a value may depend on where it lies, since
    # full vectors and what is left over are computed in two ways.
    moved = (maps_of(changed) != maps_of(plain)).any(1).numpy()  # (pixels, h, w)
    moved = moved.reshape(rows, columns, *moved.shape[1:])
    boxes = np.zeros((*moved.shape[2:], 4), dtype=int)
    for unit in np.ndindex(*boxes.shape[:2]):
        seen_rows, seen_columns = np.nonzero(moved[(slice(None), slice(None), *unit)])
        boxes[unit] = seen_rows.min(), seen_columns.min(), seen_rows.max() + 1, seen_columns.max() + 1
    return boxes


@pytest.mark.filterwarnings("ignore:Using padding=.same.")
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("size", [(13, 11), (24, 9)])
def test_fields_are_those_of_brute_force(body: str, size: tuple[int, int]) -> None:
    network = made(headed(*BODIES[body], channels=4))
    shape = (3, *size)
    fields = receptive_fields(network, ["0"], shape)["0"]
    expected = by_brute_force(network, "0", shape)
    found = np.array([[fields.at(row, column) for column in range(expected.shape[1])] for row in range(len(expected))])
    assert found.tolist() == expected.tolist()
    assert (len(fields.rows), len(fields.columns)) == expected.shape[:2]


def test_fields_of_tokens_and_of_channels_last() -> None:
    torch.manual_seed(0)
    fields = receptive_fields(WithClassToken(2), ["patches", "blocks.0.norm1", "blocks.1.norm1", "head"], (3, 12, 8))
    assert fields["blocks.0.norm1"] == fields["patches"]
    assert [fields["patches"].at(row, 1) for row in range(3)] == [(0, 4, 4, 8), (4, 4, 8, 8), (8, 4, 12, 8)]
    assert fields["blocks.1.norm1"].at(2, 0) == (0, 0, 12, 8)
    assert fields["head"].at(0, 0) == (0, 0, 12, 8)
    assert receptive_fields(ChannelsLast(), ["act"], (3, 16, 16))["act"].at(3, 7) == (6, 14, 8, 16)


def test_fields_of_resnet18_are_those_of_the_formula() -> None:
    """Field and step of each stage by the recursion over its convolutions; the padding shifts them by half."""
    network = build_network("resnet18", num_outputs=5, channels=3, size=160, seed=0).network
    fields = receptive_fields(network, [f"features.layer{stage}" for stage in (1, 2, 3, 4)], (3, 160, 160))
    # (7x7, 2), (pooling 3x3, 2), then of each stage four convolutions 3x3, the first with a stride.
    layers = [[(7, 2), (3, 2), *[(3, 1)] * 4], *[[(3, 2), *[(3, 1)] * 3]] * 3]
    size, step, shift = 1, 1, 0  # of a unit's field; unit u begins at step * u - shift
    for stage, kernels in enumerate(layers, start=1):
        for kernel, stride in kernels:
            size, shift, step = size + (kernel - 1) * step, shift + kernel // 2 * step, step * stride
        found = fields[f"features.layer{stage}"]
        expected = tuple(
            (max(0, step * unit - shift), min(160, step * unit - shift + size)) for unit in range(160 // step)
        )
        assert found.rows == expected
        assert found.columns == expected
    assert size == 435


def test_the_network_is_as_it_was_and_unknown_layers_are_named() -> None:
    network = headed(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), channels=4).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    receptive_fields(network, ["0.1"], (3, 8, 8))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    with pytest.raises(InputError, match=r"no layer '0\.7'; did you mean '0\.\d'"):
        receptive_fields(network, ["0.7"], (3, 8, 8))
    assert receptive_fields(network, [], (3, 8, 8)) == {}
    spectral = nn.Sequential(nn.utils.parametrizations.spectral_norm(network[0][0]), network[1:])
    with pytest.raises(InputError, match=r"parametrizations\.weight\.0 .* gives no maps and no vector"):
        receptive_fields(spectral, ["0.parametrizations.weight.0"], (3, 8, 8))


def test_units_outside_of_the_map_and_networks_of_nan_are_refused() -> None:
    network = headed(nn.Conv2d(3, 4, 3), channels=4)
    with pytest.raises(InputError, match="no unit at row 6, column 0: the map has 6x6"):
        receptive_fields(network, ["0"], (3, 8, 8))["0"].at(6, 0)

    class Logarithm(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x - 1).log()

    with pytest.raises(InputError, match="gives NaN in '0' for a plain picture"):
        receptive_fields(headed(nn.Identity(), Logarithm(), channels=3), ["0"], (3, 8, 8))


@pytest.mark.parametrize("size", [(29, 26), (23, 29)])
def test_lines_that_fill_no_last_step_are_seen_by_no_unit(size: tuple[int, int]) -> None:
    """As in SqueezeNet: convolutions without padding, pooling that takes what is left."""
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 4, 7, 2), nn.AvgPool2d(3, 2, ceil_mode=True), nn.Conv2d(4, 4, 3, padding=1)]
    network = headed(*body, nn.AvgPool2d(3, 2, ceil_mode=True), channels=4)
    shape = (3, *size)
    names = ["0.0", "0.1", "0.2", "0.3"]
    fields = receptive_fields(network, names, shape)
    for name in names:
        rows, columns = fields[name].rows, fields[name].columns
        found = [[list(fields[name].at(r, c)) for c in range(len(columns))] for r in range(len(rows))]
        assert found == by_brute_force(network, name, shape).tolist(), name
