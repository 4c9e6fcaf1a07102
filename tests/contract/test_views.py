"""Every view of the table against the same expectations: nothing is changed, the same comes out twice, and so on."""

from __future__ import annotations

import dataclasses
import importlib.util
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from small_networks import Broken, Functions, Modules, made, noise
from striate.errors import InputError
from striate.networks import build_network
from striate.taps.places import find_places
from striate.views import VIEWS, View
from striate.views.maps import Maps

SIDE = 16
MAPS = [name for name, view in VIEWS.items() if view.group == "map"]
# What a map needs beyond network, pictures and classes to be quick on pictures this small.
SETTINGS: dict[str, dict[str, Any]] = {
    "smoothgrad": {"samples": 3},
    "integrated-gradients": {"steps": 4},
    "occlusion": {"size": 6, "stride": 5},
}
# How each view that is no map is called: (function, network, pictures) -> what it gives.
INPUT = {"mean": (0.5,) * 3, "deviation": (0.25,) * 3}
CALLS: dict[str, Callable[[Any, nn.Module, Tensor], Any]] = {
    "filters": lambda function, network, pictures: function(network, pictures),
    "feature-maps": lambda function, network, pictures: function(network, pictures),
    "top-patches": lambda function, network, pictures: function(network, pictures, count=2),
    "units": lambda function, network, pictures: _told(function(network, pictures, torch.tensor([0, 1]))),
    "feature-space": lambda view, network, pictures: view(network, pictures),
    "deletion": lambda view, network, pictures: view(network, pictures[0], slope(pictures), 3, steps=4),
    "insertion": lambda view, network, pictures: view(network, pictures[0], slope(pictures), 3, steps=4),
    "fared": lambda view, network, pictures: view(network, pictures[0], {"slope": slope(pictures)}, 3, steps=3),
    "randomisation": lambda view, network, pictures: view(network, pictures, VIEWS["gradient"].load(), steps=2),
    "dreams": lambda view, network, pictures: view(network, [1, 2], size=(SIDE, SIDE), steps=3, **INPUT),
    "deepdream": lambda view, network, pictures: view(
        network, pictures[0].sigmoid(), 1, kind="class", steps=3, **INPUT
    ),
    "invariance": lambda view, network, pictures: view(network, pictures, amounts={"scale": (1.0, 0.5)}),
    "features-through-training": lambda view, network, pictures: view(
        [(1, network), (2, network)], pictures, [0, 1], layer=find_places(network, pictures)[0].name
    ),
}
# These judge a map, or bring a network of their own: the one at hand they never see.
WITHOUT_NETWORK = ("pointing-game", "planted-square")
LOOKING = [name for name in VIEWS if name not in WITHOUT_NETWORK]


def slope(pictures: Tensor) -> Tensor:
    """A map that rises from left to right."""
    return torch.arange(float(pictures.shape[3])).expand(pictures.shape[2:])


def _told(reports: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All but what two pictures cannot tell, which is NaN."""
    untold = ("selectivity", "explained")
    return [{name: value for name, value in vars(one).items() if name not in untold} for one in reports.values()]


def residual() -> nn.Module:
    return build_network("small-resnet", num_outputs=5, channels=3, size=SIDE, seed=0).network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "modules": lambda: made(Modules()),
    "functions": lambda: made(Functions()),
    "residual": residual,
}


def call(name: str, network: nn.Module, pictures: Tensor) -> Any:
    function = VIEWS[name].load()
    if VIEWS[name].group == "map":
        return function(network, pictures, [3, 0], **SETTINGS.get(name, {}))
    assert name in CALLS, f"say in CALLS how the view '{name}' is called"
    return CALLS[name](function, network, pictures)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor and array in what a view gives, numbers too, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, np.ndarray):
        yield torch.from_numpy(value)
    elif isinstance(value, int | float):
        yield torch.tensor(value)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from tensors_in(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from tensors_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors_in(one)


def equal(first: Any, second: Any) -> bool:
    """Bit for bit, in all of a nested state."""
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and torch.equal(first, second)
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


def state(network: nn.Module) -> dict[str, Any]:
    """All that a view must leave as it was."""
    hooks = [name for name in vars(network) if name.startswith("_") and name.endswith("_hooks")]
    assert "_forward_hooks" in hooks
    return {
        "parameters": {name: one.detach().clone() for name, one in network.named_parameters()},
        "buffers": {name: one.clone() for name, one in network.named_buffers()},
        "gradients": {
            name: one.grad.clone() if one.grad is not None else None for name, one in network.named_parameters()
        },
        "wanted": {name: one.requires_grad for name, one in network.named_parameters()},
        "identities": [id(one) for one in (*network.modules(), *network.parameters(), *network.buffers())],
        "modes": {name: module.training for name, module in network.named_modules()},
        "hooks": {name: [list(vars(module)[hook]) for hook in hooks] for name, module in network.named_modules()},
        "attributes": {name: sorted(vars(module)) for name, module in network.named_modules()},
        "torch": torch.get_rng_state(),
        "numpy": list(np.random.get_state()),
        "python": random.getstate(),
        "grad": torch.is_grad_enabled(),
    }


def used(network: nn.Module) -> nn.Module:
    """As a network may be in the middle of a training: parts in other modes, gradients, frozen weights, a hook."""
    network.train()
    modules = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    modules[0].eval()
    for number, parameter in enumerate(network.parameters()):
        if number % 2:
            parameter.grad = torch.full_like(parameter, float(number))
        parameter.requires_grad_(number % 3 > 0)
    modules[0].register_forward_hook(lambda module, given, output: None)
    return network


@pytest.mark.parametrize("name", LOOKING)
@pytest.mark.parametrize("kind", NETWORKS)
def test_afterwards_nothing_of_the_network_has_changed(name: str, kind: str) -> None:
    network, pictures = used(NETWORKS[kind]()), noise(2, 3, SIDE, SIDE)
    kept, before = pictures.clone(), state(network)
    call(name, network, pictures)
    assert equal(state(network), before)
    assert torch.equal(pictures, kept)
    assert not pictures.requires_grad


@pytest.mark.parametrize("name", LOOKING)
def test_nothing_has_changed_after_an_exception_either(name: str) -> None:
    pictures = noise(2, 3, SIDE, SIDE)
    for number in range(1, 6):
        network = used(made(Broken(number)))
        before = state(network)
        try:
            call(name, network, pictures)
        except ArithmeticError:
            assert equal(state(network), before), f"after an exception in call {number}"
        else:
            assert number > 1, "the network was never called"
            break


@pytest.mark.parametrize("name", LOOKING)
def test_the_same_comes_out_twice_and_is_finite(name: str) -> None:
    network, pictures = made(Functions()).eval(), noise(2, 3, SIDE, SIDE)
    first = list(tensors_in(call(name, network, pictures)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        second = list(tensors_in(call(name, network, pictures)))
    assert first
    assert equal(first, second)
    for tensor in first:
        assert not tensor.requires_grad
        assert not tensor.is_floating_point() or bool(tensor.isfinite().all())


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_map_for_each_picture_and_class(name: str, kind: str) -> None:
    network, pictures = NETWORKS[kind]().eval(), noise(3, 3, SIDE, 20)
    with torch.no_grad():
        scores = network(pictures)
    found = VIEWS[name].load()(network, pictures, range(5), **SETTINGS.get(name, {}))
    assert isinstance(found, Maps)
    assert found.method == name
    assert found.values.shape == (3, 5, SIDE, 20)
    assert (found.values.dtype, found.values.device.type) == (torch.float32, "cpu")
    assert found.classes.tolist() == [[0, 1, 2, 3, 4]] * 3
    assert found.classes.dtype == torch.int64
    assert torch.allclose(found.scores, scores, atol=1e-5)
    assert found.small is None or found.small.shape[:2] == (3, 5)
    assert found.channels is None or found.channels.shape == (3, 5, 3, SIDE, 20)
    assert bool(found.values.abs().amax(dim=(2, 3)).gt(0).any())


@pytest.mark.parametrize("name", MAPS)
def test_a_picture_s_map_depends_neither_on_its_company_nor_on_other_classes(name: str) -> None:
    network, pictures = made(Functions()).eval(), noise(3, 3, SIDE, SIDE)
    view, settings = VIEWS[name].load(), SETTINGS.get(name, {})
    several = view(network, pictures, torch.tensor([[0, 1], [2, 3], [4, 0]]), **settings).values
    tolerance = 1e-5 * float(several.abs().max())
    for row, asked in enumerate(([0, 1], [2, 3], [4, 0])):
        for column, number in enumerate(asked):
            alone = view(network, pictures[row : row + 1], number, **settings).values
            assert torch.allclose(several[row, column], alone[0, 0], atol=tolerance)


@pytest.mark.parametrize("name", MAPS)
def test_the_mode_that_the_network_is_in_does_not_count(name: str) -> None:
    network, pictures, settings = made(Modules()), noise(2, 3, SIDE, SIDE), SETTINGS.get(name, {})
    evaluated = VIEWS[name].load()(network.eval(), pictures, 1, **settings)
    trained = VIEWS[name].load()(network.train(), pictures, 1, **settings)
    assert torch.equal(evaluated.values, trained.values)


@pytest.mark.parametrize("name", MAPS)
def test_a_dictionary_of_outputs_needs_the_name_of_one(name: str) -> None:
    class Several(Modules):
        def forward(self, pictures: Tensor) -> Any:
            return {"scores": super().forward(pictures), "other": pictures.mean()}

    network, pictures, view = made(Several()).eval(), noise(2, 3, SIDE, SIDE), VIEWS[name].load()
    settings = SETTINGS.get(name, {})
    with pytest.raises(InputError, match="scores"):
        view(network, pictures, 1, **settings)
    found = view(network, pictures, 1, output="scores", **settings)
    assert torch.equal(found.values, view(made(Modules()).eval(), pictures, 1, **settings).values)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(
    ("pictures", "classes", "said"),
    [
        (noise(1, 3, SIDE, SIDE), 5, "no class 5: the network gives 5 scores"),
        (noise(1, 3, SIDE, SIDE), [], "no class was asked for"),
        (noise(3, SIDE, SIDE), 0, r"pictures must be \(B, C, H, W\)"),
        (noise(0, 3, SIDE, SIDE), 0, "no pictures"),
        (torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8), 0, "uint8"),
    ],
)
def test_bad_input_is_one_sentence(name: str, pictures: Tensor, classes: Any, said: str) -> None:
    network = used(made(Modules()))
    before = state(network)
    with pytest.raises(InputError, match=said) as error:
        VIEWS[name].load()(network, pictures, classes, **SETTINGS.get(name, {}))
    assert "\n" not in str(error.value)
    assert equal(state(network), before)


@pytest.mark.parametrize("name", VIEWS)
def test_each_row_says_what_a_reader_must_know(name: str) -> None:
    row: View = VIEWS[name]
    assert importlib.util.find_spec(row.module) is not None
    assert row.load().__doc__
    for text in (row.answers, row.cost, row.misleads, row.paper):
        assert text
        assert text == text.strip()
    assert name == name.lower()
