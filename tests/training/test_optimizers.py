"""Optimizers against plain NumPy loops in float64; which weights decay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import InputError
from striate.training.optimizers import build_optimizer, set_rate, weight_groups
from striate.training.recipe import OptimizerSettings

STEPS = 7


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2)).double()


def gradient(step: int, index: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([step, index]).normal(size=shape)


def steps_of(settings: OptimizerSettings, rates: list[float]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Weights before and after STEPS steps of our optimizer."""
    module = network()
    optimizer = build_optimizer(module, settings, rates[0])
    before = [weight.detach().numpy().copy() for weight in module.parameters()]
    for step, rate in enumerate(rates):
        set_rate(optimizer, rate)
        for index, weight in enumerate(module.parameters()):
            weight.grad = torch.from_numpy(gradient(step, index, tuple(weight.shape)))
        optimizer.step()
    return before, [weight.detach().numpy() for weight in module.parameters()]


RATES = [0.02 * (step + 1) for step in range(STEPS)]


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, True), (0.9, False), (0.0, True)])
def test_sgd_is_momentum_and_l2_on_weights_alone(momentum, nesterov):
    settings = OptimizerSettings(name="sgd", momentum=momentum, nesterov=nesterov, weight_decay=0.05)
    before, after = steps_of(settings, RATES)
    for index, weight in enumerate(before):
        decay = 0.05 if weight.ndim > 1 else 0.0
        velocity = np.zeros_like(weight)
        for step, rate in enumerate(RATES):
            slope = gradient(step, index, weight.shape) + decay * weight
            velocity = momentum * velocity + slope
            weight = weight - rate * (slope + momentum * velocity if nesterov else velocity)
        assert np.allclose(weight, after[index], rtol=0, atol=1e-12)


def test_adamw_is_algorithm_2_of_its_paper():
    settings = OptimizerSettings(name="adamw", beta1=0.8, beta2=0.95, weight_decay=0.3)
    before, after = steps_of(settings, RATES)
    for index, weight in enumerate(before):
        decay = 0.3 if weight.ndim > 1 else 0.0
        mean, square = np.zeros_like(weight), np.zeros_like(weight)
        for step, rate in enumerate(RATES):
            slope = gradient(step, index, weight.shape)
            mean = 0.8 * mean + 0.2 * slope
            square = 0.95 * square + 0.05 * slope**2
            unbiased, spread = mean / (1 - 0.8 ** (step + 1)), square / (1 - 0.95 ** (step + 1))
            weight = weight - rate * decay * weight
            weight = weight - rate * unbiased / (np.sqrt(spread) + 1e-8)
        assert np.allclose(weight, after[index], rtol=0, atol=1e-11)


def test_biases_and_norms_do_not_decay():
    module = network()
    groups = weight_groups(module, 0.1)
    names = {id(weight): name for name, weight in module.named_parameters()}
    decaying = {names[id(weight)] for group in groups if group["weight_decay"] for weight in group["params"]}
    still = {names[id(weight)] for group in groups if not group["weight_decay"] for weight in group["params"]}
    assert decaying == {"0.weight", "3.weight"}
    assert still == {"0.bias", "1.weight", "1.bias", "3.bias"}


def test_what_is_frozen_is_no_part_of_the_groups():
    module = network()
    module[0].requires_grad_(False)
    weights = [weight for group in weight_groups(module, 0.1) for weight in group["params"]]
    assert len(weights) == 4
    assert not any(weight is frozen for weight in weights for frozen in module[0].parameters())


def test_an_unknown_optimizer_is_named():
    with pytest.raises(InputError, match="no optimizer 'None'"):
        build_optimizer(network(), OptimizerSettings(), 0.1)


def test_a_network_without_trained_weights_is_refused():
    with pytest.raises(InputError, match="nothing to train"):
        build_optimizer(network().requires_grad_(False), OptimizerSettings(name="sgd"), 0.1)
