"""Steps between the fields of neighbouring units, against the product of the strides below each map."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hard_networks import ChannelsLast, WithClassToken, headed
from striate.networks import build_network
from striate.taps.fields import Fields, receptive_fields
from striate.taps.places import find_places
from striate.taps.steps import field_steps


def steps_of(network: nn.Module, shape: tuple[int, int, int]) -> dict[str, tuple[int, int] | None]:
    """Of every place that can be looked at."""
    places = [place.name for place in find_places(network, torch.zeros(1, *shape)) if place.layout != "other"]
    fields = receptive_fields(network, places, shape)
    return field_steps(network, fields, shape)


def test_neighbours_whose_fields_no_border_cuts_off_show_the_step() -> None:
    fields = Fields(rows=((0, 2), (1, 4), (3, 6), (5, 7)), columns=((0, 3), (0, 5), (1, 7), (3, 7), (5, 7)))
    assert fields.step == (2, 2)
    assert Fields(rows=((0, 5), (0, 7), (0, 7)), columns=((0, 5), (0, 7), (0, 7))).step is None  # both ends cut off
    assert Fields(rows=((0, 3), (3, 6), (6, 8)), columns=((0, 1), (1, 2), (3, 4), (4, 5))).step is None  # uneven
    assert Fields(rows=((0, 9),), columns=((0, 9),)).step is None  # no neighbour
    assert Fields(rows=((0, 0), (0, 0)), columns=((0, 0), (0, 0))).step is None  # sees nothing


def test_of_squeezenet_they_are_powers_of_two_though_its_maps_are_not() -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    network = models.squeezenet1_0(num_classes=4).eval()
    found = steps_of(network, (3, 224, 224))
    expected = {"features.0": 2, "features.1": 2, "features.2": 4, "features.5": 4, "features.6": 8, "features.10": 8}
    expected |= {"features.11": 16, "features.12.expand3x3": 16, "features": 16, "classifier.1": 16}
    for name, step in expected.items():
        assert found[name] == (step, step), name  # 224 pixels over 13 cells are 17.2
    assert found["classifier.3"] is None  # one cell


def test_of_resnet18_also_where_every_field_is_cut_off() -> None:
    network = build_network("resnet18", num_outputs=5, channels=3, size=160, seed=0).network
    found = steps_of(network, (3, 160, 160))
    for stage, step in ((1, 4), (2, 8), (3, 16), (4, 32)):
        own = {name: one for name, one in found.items() if name.startswith(f"features.layer{stage}")}
        inside = {name: one for name, one in own.items() if not name.startswith(f"features.layer{stage}.0.")}
        assert set(inside.values()) == {(step, step)}, stage
    # The last map has 5x5 cells that see 435 pixels: none of its fields shows where it begins.
    assert receptive_fields(network, ["features.layer4"], (3, 160, 160))["features.layer4"].step is None


def test_of_a_vision_transformer_they_are_those_of_its_patches() -> None:
    found = steps_of(WithClassToken(2), (3, 16, 24))
    assert found["patches"] == (4, 4)
    assert found["blocks.0.norm1"] == (4, 4)
    assert found["blocks.1"] == (4, 4)  # every token sees everything
    assert found["head"] is None
    assert steps_of(ChannelsLast(), (3, 16, 16))["act"] == (2, 2)


def test_a_map_of_another_size_is_told_by_the_one_below() -> None:
    """From 8x8 cells, none of whose fields the borders spare, to 3x3: no cell of these shows the step of 8."""
    torch.manual_seed(0)
    network = headed(
        nn.Conv2d(3, 4, 9, stride=2, padding=4),
        nn.Conv2d(4, 4, 9, stride=2, padding=4),
        nn.Conv2d(4, 4, 9, padding=4),
        nn.Conv2d(4, 4, 3, stride=2),
        channels=4,
    )
    found = steps_of(network, (3, 32, 32))
    assert [found[f"0.{number}"] for number in range(4)] == [(2, 2), (4, 4), (4, 4), (8, 8)]
    fields = receptive_fields(network, ["0.2", "0.3"], (3, 32, 32))
    assert fields["0.2"].step is None
    assert fields["0.3"].step is None


def test_of_units_that_see_everything_it_is_told_from_below_or_not_at_all() -> None:
    class Gated(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return maps * maps.mean((2, 3), keepdim=True).sigmoid()

    torch.manual_seed(0)
    network = headed(nn.Conv2d(3, 4, 3, 2, 1), Gated(), nn.Conv2d(4, 4, 3, 2, 1), channels=4)
    found = steps_of(network, (3, 32, 32))
    assert [found[f"0.{number}"] for number in range(3)] == [(2, 2), (2, 2), (4, 4)]
    fields = receptive_fields(network, ["0.2"], (3, 32, 32))["0.2"]
    assert set(fields.rows) == {(0, 32)}
    first = steps_of(headed(Gated(), nn.Conv2d(3, 4, 3, 2, 1), channels=4), (3, 32, 32))
    assert first["0.0"] is None
    assert first["0.1"] is None


def test_the_network_is_as_it_was() -> None:
    torch.manual_seed(0)
    network = headed(nn.Conv2d(3, 4, 9, 2, 4), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 9, 3), channels=4).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    steps_of(network, (3, 24, 24))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
