"""Penalties of weights against a loop in float64, and as a part of a step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from striate.training.part_settings import OptimizerSettings, RegularizerSettings
from striate.training.regularizers import REGULARIZERS, Penalty, penalty_of

CASES = [(0.3, 0.0, False), (0.0, 0.2, False), (0.1, 0.4, False), (0.1, 0.4, True)]


def network() -> nn.Module:
    torch.manual_seed(1)
    made = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        made[0].weight[0, 0, 0] = torch.tensor([0.0, -0.0, 1.5])
    return made


def oracle(weights: list[np.ndarray], l1: float, l2: float, biases: bool) -> tuple[float, list[np.ndarray]]:
    value, slopes = 0.0, []
    for weight in weights:
        slope = np.zeros_like(weight)
        if weight.ndim > 1 or biases:
            for place in np.ndindex(weight.shape):
                number = float(weight[place])
                value += l1 * abs(number) + l2 / 2 * number * number
                slope[place] = l1 * ((number > 0) - (number < 0)) + l2 * number
        slopes.append(slope)
    return value, slopes


@pytest.mark.parametrize(("l1", "l2", "biases"), CASES)
def test_value_and_subgradient_are_those_of_the_sum(l1, l2, biases):
    module = network()
    weights = [weight.detach().numpy().copy() for weight in module.parameters()]
    for weight in module.parameters():
        weight.grad = torch.ones_like(weight)
    module[3].bias.grad = None
    found = Penalty(module, RegularizerSettings(l1=l1, l2=l2, biases=biases)).add_gradient()
    value, slopes = oracle(weights, l1, l2, biases)
    assert float(found) == pytest.approx(value, rel=1e-12)
    for weight, slope in zip(module.parameters(), slopes, strict=True):
        if weight is module[3].bias and not biases:
            assert weight.grad is None
        else:
            there = 0.0 if weight is module[3].bias else 1.0
            assert np.allclose(weight.grad.numpy(), there + slope, rtol=0, atol=1e-12)


def test_what_is_frozen_is_not_penalised():
    module = network()
    module[0].requires_grad_(False)
    penalty = Penalty(module, RegularizerSettings(l1=1.0)).add_gradient()
    assert float(penalty) == pytest.approx(float(module[3].weight.detach().abs().sum()))
    assert module[0].weight.grad is None


def test_none_is_made_where_none_is_asked_for():
    assert penalty_of(network(), RegularizerSettings()) is None
    assert penalty_of(network(), RegularizerSettings(l1=1e-5)) is not None


PLAIN = OptimizerSettings(name="sgd", momentum=0.0, nesterov=False, weight_decay=0.0)


@pytest.mark.parametrize("parts", [1, 3])
def test_it_is_added_to_the_loss_once_however_the_batch_is_done(make_loop, parts):
    def stepped(regularizer, **plan):
        loop = make_loop(optimizer=PLAIN, regularizer=regularizer, averaging=0.0, network=linear(), **plan)
        loss = float(loop.step(next(iter(loop.batches.epoch(0)))))
        return loss, [weight.detach().double().numpy() for weight in loop.network.parameters()]

    before = [weight.detach().double().numpy() for weight in linear().parameters()]
    split = {"splits": ((1, parts),)} if parts > 1 else {}
    plain_loss, plain = stepped(RegularizerSettings(), **split)
    loss, weights = stepped(RegularizerSettings(l1=0.03, l2=0.2), **split)
    value, slopes = oracle(before, 0.03, 0.2, False)
    assert loss == pytest.approx(plain_loss + value, rel=1e-5)
    for one, other, slope in zip(plain, weights, slopes, strict=True):
        assert np.allclose(other, one - 0.1 * slope, rtol=0, atol=2e-7)


def test_l2_is_the_decay_of_sgd(make_loop):
    def trained(decay: float, l2: float) -> list[torch.Tensor]:
        optimizer = OptimizerSettings(name="sgd", momentum=0.9, weight_decay=decay)
        loop = make_loop(optimizer=optimizer, regularizer=RegularizerSettings(l2=l2), epochs=2)
        loop.run()
        return list(loop.network.parameters())

    for one, other in zip(trained(0.05, 0.0), trained(0.0, 0.05), strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


def test_l1_makes_weights_small_that_l2_leaves(make_loop):
    def small(**strengths: float) -> float:
        loop = make_loop(
            network=linear(), optimizer=PLAIN, regularizer=RegularizerSettings(**strengths), epochs=15, averaging=0.0
        )
        loop.run()
        return float((loop.network[1].weight.abs() < 0.02).float().mean())

    assert small(l1=0.1) > 2 * small(l2=0.1)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def test_every_row_says_how_it_is_asked_for():
    assert all(row.flags.startswith("--") for row in REGULARIZERS.values())
