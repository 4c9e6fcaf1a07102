"""Dropout before the head of any network: of the share asked for, in training alone, with the weights as they were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.errors import InputError
from striate.networks import build_network
from striate.networks.fused import fused
from striate.networks.heads import drop_before_head, find_head


def built(name: str) -> nn.Module:
    return build_network(name, num_outputs=5, channels=3, size=32, seed=0).network


@pytest.mark.parametrize("name", ["linear", "mlp", "lenet5", "small-conv", "small-resnet", "mobilenet_v3_small"])
def test_a_share_of_what_comes_into_the_head_is_left_away(name):
    network = built(name)
    names = list(network.state_dict())
    with torch.no_grad():
        find_head(network).layer.weight.fill_(1.0)
        find_head(network).layer.bias.zero_()
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Tensor] = []
    handle = find_head(network).layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network.eval()
    with torch.no_grad():
        whole = network(pictures)[:, 0]
        handle.remove()
        drop_before_head(network, 0.75)
        assert list(network.state_dict()) == names
        network.eval()
        assert torch.allclose(network(pictures)[:, 0], whole, rtol=1e-4)
        # Only what drops is in training mode.
        for module in network.modules():
            if isinstance(module, nn.Dropout) and module.p == 0.75:
                module.train()
        torch.manual_seed(1)
        drawn = torch.stack([network(pictures)[:, 0] for _ in range(6)])
    # A sum in which each of F numbers x is 4 x with probability 1/4, else 0: mean sum x, variance 3 sum x^2.
    spread = (3 * seen[0].flatten(1).square().sum(1)).sqrt()
    assert bool(((drawn - whole).abs() < 6 * spread).all())
    assert bool((drawn.std(0) > 0.2 * spread).all())


def test_a_network_with_dropout_before_its_head_gets_another_share_and_no_second_one():
    network = built("mobilenet_v3_small")
    before = [name for name, one in network.named_modules() if isinstance(one, nn.Dropout)]
    drop_before_head(network, 0.9)
    after = {name: one.p for name, one in network.named_modules() if isinstance(one, nn.Dropout)}
    assert list(after) == before
    assert list(after.values())[-1] == 0.9
    lite = built("efficientnet-lite0")
    drop_before_head(lite, 0.0)
    assert lite.dropout.p == 0.0


def test_it_answers_in_its_fused_form_as_without():
    network, plain = built("resnet18").eval(), built("resnet18").eval()
    drop_before_head(network, 0.5)
    network.eval()
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    run, other = (fused(one, device="cpu", precision="float32") for one in (network, plain))
    assert (run is None) == (other is None)
    with torch.no_grad():
        shown = network(pictures) if run is None else run(pictures.clone())
        assert torch.allclose(shown, plain(pictures), rtol=1e-4, atol=1e-5)


def test_a_network_without_a_linear_head_is_refused():
    with pytest.raises(InputError, match="dropout cannot be put before"):
        drop_before_head(nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 0.5)
