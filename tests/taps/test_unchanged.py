"""After a look everything of a network is bit for bit what it was."""

from __future__ import annotations

import pickle
import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hard_networks import Reused, Unruly
from striate.errors import InputError
from striate.taps.unchanged import unchanged

PICTURES = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)


def state(network: nn.Module) -> dict[str, Any]:
    """All that must stay, bytes where it has bytes, and the identities of tensors."""

    def written(tensor: Tensor | None) -> object:
        return None if tensor is None else (id(tensor), tensor.detach().numpy().tobytes(), tensor.requires_grad)

    return {
        "parameters": [(name, written(one), written(one.grad)) for name, one in network.named_parameters()],
        "buffers": [(name, written(one)) for name, one in network.named_buffers()],
        "modes": [(name, module.training) for name, module in network.named_modules()],
        "saved": list(network.state_dict()),
        "temporary": [set(module._non_persistent_buffers_set) for module in network.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()],
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": pickle.dumps(np.random.get_state()),
        "python": random.getstate(),
        "grad": torch.is_grad_enabled(),
    }


def trained(network: nn.Module) -> nn.Module:
    """In the middle of a training: gradients, modes that differ, one weight frozen."""
    network.train()
    network(PICTURES).sum().backward()
    network.get_submodule("conv").eval()
    next(network.parameters()).requires_grad_(False)
    del network.late  # registered again by the next pass
    return network


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_everything_is_bit_for_bit_as_before(fails: bool, grad: bool) -> None:
    network = trained(Unruly())
    network.fails = fails
    with torch.set_grad_enabled(grad):
        before = state(network)
        try:
            with unchanged(network) as bare:
                assert bare is network
                assert not any(module.training for module in bare.modules())
                assert not any(weight.requires_grad for weight in bare.parameters())
                pictures = PICTURES.clone().requires_grad_()
                torch.rand(3)
                torch.autograd.grad(bare(pictures).sum(), pictures)
                random.shuffle([1, 2, 3])
                bare.get_submodule("conv").train()
        except ValueError as error:
            assert fails
            assert str(error) == "in the middle"  # noqa: PT017
        assert state(network) == before


def test_a_network_that_writes_into_its_weights_is_refused() -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, pictures: Tensor) -> Tensor:
            with torch.no_grad():
                self.layer.weight.mul_(0.9)
            return self.layer(pictures)

    network = Writes()
    with pytest.raises(InputError, match="Writes writes into its own weights"), unchanged(network):
        network(torch.zeros(1, 2))
    assert network.layer.weight.requires_grad


def test_wrapped_networks_are_looked_at_bare() -> None:
    network = Reused()
    for wrapped in (nn.DataParallel(network), torch.compile(network)):
        with unchanged(wrapped) as bare:
            assert bare is network
        assert wrapped.training


class Centring(nn.Module):
    """Takes the mean off its pictures in place, as some networks normalise them."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(pictures.sub_(0.5).mul_(2).mean((2, 3)))


def test_a_network_may_write_into_its_pictures_and_the_callers_stay() -> None:
    network, pictures = Centring(), PICTURES.clone()
    expected = network(PICTURES.clone())
    with unchanged(network) as bare:
        for _ in range(2):
            assert torch.equal(bare(pictures), expected)
    assert torch.equal(pictures, PICTURES)
    assert not network._forward_pre_hooks


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch would have it given up
        return torch.jit.script(nn.Conv2d(3, 4, 3))


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3)).to("meta"), "'0.weight' is on the meta device"),
        (nn.Sequential(nn.LazyConv2d(4, 3)), "'0.weight' has no shape yet"),
        (scripted(), "^the network is scripted or traced"),
        (nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)), r"'0' \(BatchNorm2d\) keeps no running stat"),
        (nn.Sequential(nn.ReLU(), scripted()), "^'1' of the network is scripted or traced"),
    ],
)
def test_a_network_that_nothing_can_be_seen_of_is_refused(network: nn.Module, says: str) -> None:
    with pytest.raises(InputError, match=says), unchanged(network):
        pytest.fail("it was looked into")
