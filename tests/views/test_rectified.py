"""Guided back-propagation and deconvolution: by hand, against published values, however the ReLUs are written."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from small_networks import Functions, Modules, OneConvolution, made, noise
from striate.errors import InputError
from striate.views.gradients import gradient
from striate.views.rectified import deconvolution, guided_backpropagation

RULES = {"guided": guided_backpropagation, "deconvolution": deconvolution}
COUNTED = torch.arange(16.0).view(1, 1, 4, 4)
# tests/attr/test_guided_backprop.py and test_deconvolution.py of captum 0.7: inputs 0 to 15, and the same with 1 added
PUBLISHED = {
    ("guided", 0): [[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]],
    ("guided", 1): [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]],
    ("deconvolution", 0): [[2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1]],
    ("deconvolution", 1): [[2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1]],
}


def chain() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 8, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(32, 10), nn.ReLU(), nn.Linear(10, 5)),
    )


class Written(nn.Module):
    """The layers of `chain` with the rectifiers as calls."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, pictures: Tensor) -> Tensor:
        first, norm, pool, second, third, last = (self.layers[number] for number in (0, 1, 3, 4, 7, 9))
        maps = pool(functional.relu_(norm(first(pictures))))
        maps = functional.relu6(second(maps)).flatten(1)
        return last(third(maps).relu())


def by_hand(layers: nn.Sequential, pictures: Tensor, number: int, rule: str) -> Tensor:
    """Backward through one layer after another; at rectifiers by the words of the papers."""
    inputs = []
    signal = pictures
    for layer in layers:
        inputs.append(signal)
        with torch.no_grad():
            signal = layer(signal.clone())
    back = torch.zeros_like(signal)
    back[:, number] = 1
    for layer, given in zip(reversed(layers), reversed(inputs), strict=True):
        if isinstance(layer, nn.ReLU | nn.ReLU6):
            above = float("inf") if isinstance(layer, nn.ReLU) else 6.0
            open_ = (given > 0) & (given < above)
            back = back * (back > 0) * (open_ if rule == "guided" else 1)
        else:
            leaf = given.detach().requires_grad_()
            (back,) = torch.autograd.grad(layer(leaf), leaf, back)
    return back


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("written", [False, True])
def test_the_rules_by_hand(rule: str, written: bool) -> None:
    layers = made(chain()).eval()
    assert isinstance(layers, nn.Sequential)
    pictures = 3 * noise(2, 3, 8, 8)
    network = Written(layers) if written else layers
    found = RULES[rule](network, pictures, [3, 0])
    plain = gradient(network, pictures, [3, 0])
    assert found.channels is not None
    assert plain.channels is not None
    for k, number in enumerate((3, 0)):
        expected = by_hand(layers, pictures, number, rule)
        assert float((found.channels[:, k] - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    assert float((found.channels - plain.channels).abs().max()) > 0.1 * float(plain.channels.abs().max())
    assert torch.equal(found.values, found.channels.abs().max(dim=2).values)
    assert torch.equal(found.scores, plain.scores)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(("rule", "added"), PUBLISHED)
def test_published_values_of_captum_come_out(rule: str, added: int, inplace: bool) -> None:
    found = RULES[rule](OneConvolution(inplace=inplace), COUNTED + added, 0)
    assert found.channels is not None
    assert found.channels[0, 0, 0].tolist() == PUBLISHED[rule, added]


@pytest.mark.parametrize("rule", RULES)
def test_modules_and_calls_in_networks_with_sums_meet_the_same_rule(rule: str) -> None:
    """A reference whose rectifiers are autograd functions of its own."""

    class Ruled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, given):
            ctx.save_for_backward(given)
            return given.clamp(min=0)

        @staticmethod
        def backward(ctx, back):
            (given,) = ctx.saved_tensors
            return back.clamp(min=0) * ((given > 0) if rule == "guided" else 1)

    class Reference(Functions):
        def forward(self, pictures: Tensor) -> Tensor:
            maps = self.pool(Ruled.apply(self.norm(self.conv1(pictures))))
            branch = Ruled.apply(self.conv2(maps))
            branch = Ruled.apply(branch - 0.1 + functional.pad(maps, (0, 0, 0, 0, 0, 2)))
            return self.head(Ruled.apply(branch).mean(dim=(2, 3)))

    pictures = noise(2, 3, 12, 12)
    expected = gradient(made(Reference()), pictures, range(5))
    found = RULES[rule](made(Functions()), pictures, range(5))
    assert found.channels is not None
    assert expected.channels is not None
    assert torch.allclose(found.channels, expected.channels, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("activation", "name"), [(nn.GELU(), "GELU"), (nn.SiLU(), "SiLU")])
def test_activations_that_are_no_rectifiers_are_refused_by_name(rule: str, activation: nn.Module, name: str) -> None:
    class Other(Modules):
        def __init__(self) -> None:
            super().__init__()
            self.other = activation

        def forward(self, pictures: Tensor) -> Tensor:
            return super().forward(self.other(pictures))

    with pytest.raises(InputError, match=name):
        RULES[rule](made(Other()), noise(1, 3, 8, 8))
