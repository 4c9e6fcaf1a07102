"""Maps that are made together: each is the one that its view gives alone, and what they share is computed once."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from small_networks import Functions, Modules, made, noise
from striate.errors import InputError
from striate.views import VIEWS
from striate.views.maps import Maps
from striate.views.together import MADE_OF, maps_together

SIDE = 16
SETTINGS: dict[str, dict[str, Any]] = {
    **{name: {} for name, view in VIEWS.items() if view.group == "map"},
    "smoothgrad": {"samples": 3},
    "integrated-gradients": {"steps": 4},
    "occlusion": {"size": 6, "stride": 5},
}
LAYERED = ("grad-cam", "grad-cam++", "guided-grad-cam")


class Counting(Functions):
    """How often the network was called."""

    calls = 0

    def forward(self, pictures: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(pictures)


def calls_of(*methods: str) -> int:
    network = made(Counting())
    for _, found in maps_together(network, noise(1, 3, SIDE, SIDE), [1], {name: SETTINGS[name] for name in methods}):
        assert isinstance(found, Maps)
    return network.calls


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("layer", [None, "conv1"])
def test_each_is_the_map_that_its_view_gives_alone(backwards: bool, layer: str | None) -> None:
    network, pictures, asked = made(Functions()), noise(2, 3, SIDE, SIDE), [3, 0]
    names = list(reversed(SETTINGS)) if backwards else list(SETTINGS)
    together = dict(maps_together(network, pictures, asked, {name: SETTINGS[name] for name in names}, layer=layer))
    assert list(together) == names
    for name, found in together.items():
        looking = {"layer": layer} if name in LAYERED else {}
        alone = VIEWS[name].load()(network, pictures, asked, **SETTINGS[name], **looking)
        assert isinstance(found, Maps)
        assert (found.method, found.layer) == (name, alone.layer)
        assert torch.equal(found.values, alone.values), name
        assert (found.channels is None) == (alone.channels is None)
        assert found.channels is None or torch.equal(found.channels, alone.channels)
        assert torch.equal(found.classes, alone.classes)
        assert torch.equal(found.scores, alone.scores)


def test_what_maps_share_is_computed_once() -> None:
    for whole, parts in MADE_OF.items():
        assert calls_of(*parts, whole) == calls_of(whole, *parts) == calls_of(*parts), whole
    assert calls_of("grad-cam", "grad-cam++") == calls_of("grad-cam++") == calls_of("grad-cam")
    for one, other in itertools.permutations(("gradient", "grad-cam", "guided-backpropagation"), 2):
        assert calls_of(one, other) == calls_of(one) + calls_of(other)


def test_a_map_is_there_before_the_next_is_begun() -> None:
    network = made(Counting())
    coming = maps_together(network, noise(1, 3, SIDE, SIDE), [1], {"gradient": {}, "grad-cam": {}})
    assert network.calls == 0
    assert next(coming)[0] == "gradient"
    assert network.calls == calls_of("gradient")


def test_what_cannot_be_right_comes_with_its_reason_and_the_others_go_on() -> None:
    class Smooth(Modules):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.GELU()

    names = ("guided-grad-cam", "gradient", "guided-backpropagation", "grad-cam")
    found = dict(maps_together(made(Smooth()), noise(1, 3, SIDE, SIDE), [1], {name: {} for name in names}))
    assert [name for name, one in found.items() if isinstance(one, Maps)] == ["gradient", "grad-cam"]
    for name in ("guided-grad-cam", "guided-backpropagation"):
        assert isinstance(found[name], InputError)
        assert "GELU" in str(found[name])
    missing = dict(
        maps_together(made(Modules()), noise(1, 3, SIDE, SIDE), [1], {name: {} for name in names}, layer="conv3")
    )
    assert [name for name, one in missing.items() if isinstance(one, InputError)] == ["guided-grad-cam", "grad-cam"]
    assert "did you mean 'conv" in str(missing["grad-cam"])
