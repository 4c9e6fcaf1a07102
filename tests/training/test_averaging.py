"""Averaged weights against a slow loop in float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from striate.training.averaging import Averaged


def moved(network: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            else:
                tensor.add_(3)


def test_weights_and_statistics_follow_with_a_decay_that_rises():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(2, 2))
    network.to(memory_format=torch.channels_last)
    averaged = Averaged(network, 0.8)
    expected = {name: value.double().numpy().copy() for name, value in network.state_dict().items()}
    for step in range(1, 60):
        moved(network, step)
        averaged.update(step)
        decay = min(0.8, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value.double().numpy()
            else:
                expected[name] = value.numpy().copy()
    found = averaged.network.state_dict()
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert np.allclose(found[name].numpy(), value, rtol=0, atol=2e-6), name
    assert int(found["1.num_batches_tracked"]) == 3 * 59


def test_the_copy_is_one_that_answers_and_does_not_learn():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    averaged = Averaged(network, 0.9)
    assert not averaged.network.training
    assert not any(weight.requires_grad for weight in averaged.network.parameters())
    assert network.training
    assert all(weight.requires_grad for weight in network.parameters())


def test_weights_that_are_shared_stay_shared():
    first = nn.Linear(3, 3)
    network = nn.Sequential(first, nn.ReLU(), first)
    averaged = Averaged(network, 0.9)
    with torch.no_grad():
        first.weight.fill_(5.0)
    averaged.update(1)
    assert averaged.network[0].weight is averaged.network[2].weight
