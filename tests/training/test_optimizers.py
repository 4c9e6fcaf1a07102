"""Optimizers against plain NumPy loops in float64; which weights decay."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import InputError
from striate.training.optimizers import build_optimizer, set_rate, weight_groups
from striate.training.part_settings import OptimizerSettings

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


def oracle(rule, settings: OptimizerSettings, before: list[np.ndarray]) -> list[np.ndarray]:
    """Weights after STEPS steps of `rule(weight, slope, kept, step, rate, decay)`, which changes `kept`."""
    after = []
    for index, weight in enumerate(before):
        kept = [np.zeros_like(weight), np.zeros_like(weight)]
        for step, rate in enumerate(RATES):
            decay = settings.weight_decay if weight.ndim > 1 else 0.0
            weight = rule(weight, gradient(step, index, weight.shape), kept, step, rate, decay)
        after.append(weight)
    return after


def test_adam_is_algorithm_1_of_its_paper_with_l2_in_the_gradient():
    settings = OptimizerSettings(name="adam", beta1=0.8, beta2=0.95, weight_decay=0.3)

    def rule(weight, slope, kept, step, rate, decay):
        slope = slope + decay * weight
        kept[0] = 0.8 * kept[0] + 0.2 * slope
        kept[1] = 0.95 * kept[1] + 0.05 * slope**2
        spread = np.sqrt(kept[1] / (1 - 0.95 ** (step + 1)))
        return weight - rate * kept[0] / (1 - 0.8 ** (step + 1)) / (spread + 1e-8)

    before, after = steps_of(settings, RATES)
    for found, expected in zip(after, oracle(rule, settings, before), strict=True):
        assert np.allclose(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop_divides_by_the_root_of_the_mean_square(momentum):
    settings = OptimizerSettings(name="rmsprop", momentum=momentum, beta2=0.9, weight_decay=0.3)

    def rule(weight, slope, kept, step, rate, decay):
        slope = slope + decay * weight
        kept[0] = 0.9 * kept[0] + 0.1 * slope**2
        kept[1] = momentum * kept[1] + slope / (np.sqrt(kept[0]) + 1e-8)
        return weight - rate * kept[1]

    before, after = steps_of(settings, RATES)
    for found, expected in zip(after, oracle(rule, settings, before), strict=True):
        assert np.allclose(found, expected, rtol=0, atol=1e-11)


def test_adagrad_divides_by_the_root_of_the_sum_of_squares():
    settings = OptimizerSettings(name="adagrad", weight_decay=0.3)

    def rule(weight, slope, kept, step, rate, decay):
        slope = slope + decay * weight
        kept[0] = kept[0] + slope**2
        return weight - rate * slope / (np.sqrt(kept[0]) + 1e-10)

    before, after = steps_of(settings, RATES)
    for found, expected in zip(after, oracle(rule, settings, before), strict=True):
        assert np.allclose(found, expected, rtol=0, atol=1e-11)


def deep() -> nn.Module:
    torch.manual_seed(1)
    layers = [nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5, 4), nn.Linear(4, 2)]
    return nn.Sequential(*layers).double()


def newton_schulz(matrix: np.ndarray) -> np.ndarray:
    """Jordan's iteration as his page has it, on the matrix as it lies."""
    found = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        gram = found @ found.T
        found = 3.4445 * found + (-4.7750 * gram + 2.0315 * gram @ gram) @ found
    return found


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_moves_hidden_matrices_by_their_direction_and_the_rest_by_adamw(nesterov):
    settings = OptimizerSettings(name="muon", momentum=0.8, nesterov=nesterov, weight_decay=0.3)
    modules = deep(), deep()
    optimizer = build_optimizer(modules[0], settings, RATES[0])
    other = build_optimizer(modules[1], OptimizerSettings(name="adamw", weight_decay=0.3), RATES[0])
    names = [name for name, _ in modules[0].named_parameters()]
    hidden = {"2.weight", "4.weight"}
    expected = {name: weight.detach().numpy().copy() for name, weight in modules[0].named_parameters()}
    kept = {name: np.zeros_like(expected[name]) for name in hidden}
    for step, rate in enumerate(RATES):
        for module, ours in zip(modules, (optimizer, other), strict=True):
            for index, weight in enumerate(module.parameters()):
                weight.grad = torch.from_numpy(gradient(step, index, tuple(weight.shape)))
            set_rate(ours, rate)
            ours.step()
        for name in hidden:
            slope = gradient(step, names.index(name), expected[name].shape)
            kept[name] = 0.8 * kept[name] + 0.2 * slope
            direction = 0.2 * slope + 0.8 * kept[name] if nesterov else kept[name]
            flat = direction.reshape(len(direction), -1)
            move = 0.2 * np.sqrt(max(flat.shape)) * newton_schulz(flat).reshape(direction.shape)
            expected[name] = expected[name] * (1 - rate * 0.3) - rate * move
    reference = dict(modules[1].named_parameters())
    for name, weight in modules[0].named_parameters():
        if name in hidden:
            assert np.allclose(weight.detach().numpy(), expected[name], rtol=0, atol=1e-10)
        else:
            assert torch.equal(weight, reference[name])


def test_muon_is_torchs_own_on_matrices_but_for_the_rounding_of_bfloat16():
    settings = OptimizerSettings(name="muon", momentum=0.9, weight_decay=0.1)
    modules = [nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 12), nn.Linear(12, 2)) for _ in range(2)]
    modules[1].load_state_dict(modules[0].state_dict())
    ours = build_optimizer(modules[0], settings, 0.01)
    theirs = torch.optim.Muon(
        [modules[1][1].weight], lr=0.01, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    before = modules[0][1].weight.detach().clone()
    for step in range(4):
        slope = torch.from_numpy(gradient(step, 0, (12, 8))).float()
        for module, optimizer in zip(modules, (ours, theirs), strict=True):
            optimizer.zero_grad()
            module[1].weight.grad = slope.clone()
            optimizer.step()
    moved = float((modules[0][1].weight - before).norm().detach())
    assert float((modules[0][1].weight - modules[1][1].weight).norm().detach()) < 0.03 * moved


def test_lbfgs_comes_to_the_bottom_of_a_regression_with_decay():
    """Ridge regression has a closed form."""
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(40, 6)), rng.normal(size=(40, 1))
    module = nn.Linear(6, 1, bias=False).double()
    settings = OptimizerSettings(name="lbfgs", weight_decay=0.5)
    optimizer = build_optimizer(module, settings, 1.0)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = ((module(torch.from_numpy(inputs)) - torch.from_numpy(targets)) ** 2).sum() / 2
        found.backward()
        return found.detach()

    for _ in range(6):
        optimizer.step(loss)
    best = np.linalg.solve(inputs.T @ inputs + 0.5 * np.eye(6), inputs.T @ targets)
    # It stops where the loss changes by less than 1e-9.
    assert np.allclose(module.weight.detach().numpy(), best.T, rtol=0, atol=1e-5)


def test_rates_fall_with_the_distance_to_the_head():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 2)).double()
    settings = OptimizerSettings(name="sgd", momentum=0.0, nesterov=False, weight_decay=0.0, layer_decay=0.5)
    optimizer = build_optimizer(module, settings, 0.1)
    set_rate(optimizer, 0.2)
    before = [weight.detach().clone() for weight in module.parameters()]
    for weight in module.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    moves = [float((old - weight).detach().mean()) for weight, old in zip(module.parameters(), before, strict=True)]
    # The norm goes with the layer before it.
    assert moves == pytest.approx([0.05, 0.05, 0.05, 0.05, 0.1, 0.1, 0.2, 0.2])


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        (
            OptimizerSettings(name="sgd", momentum=0.9, weight_decay=0.05),
            lambda groups: torch.optim.SGD(groups, lr=0.02, momentum=0.9, nesterov=True, fused=True),
        ),
        (
            OptimizerSettings(name="sgd", momentum=0.0, weight_decay=0.05),
            lambda groups: torch.optim.SGD(groups, lr=0.02, fused=True),
        ),
        (
            OptimizerSettings(name="adamw", beta1=0.8, beta2=0.95, weight_decay=0.3),
            lambda groups: torch.optim.AdamW(groups, lr=0.02, betas=(0.8, 0.95), fused=True),
        ),
        (
            OptimizerSettings(name="adam", beta1=0.8, beta2=0.95, weight_decay=0.3),
            lambda groups: torch.optim.Adam(groups, lr=0.02, betas=(0.8, 0.95), fused=True),
        ),
        (
            OptimizerSettings(name="adagrad", weight_decay=0.3),
            lambda groups: torch.optim.Adagrad(groups, lr=0.02, fused=True),
        ),
        (
            OptimizerSettings(name="rmsprop", momentum=0.9, weight_decay=0.3),
            lambda groups: torch.optim.RMSprop(groups, lr=0.02, momentum=0.9, foreach=True),
        ),
        (
            OptimizerSettings(name="rmsprop", momentum=0.0),
            lambda groups: torch.optim.RMSprop(groups, lr=0.02, foreach=True),
        ),
    ],
)
@pytest.mark.parametrize("skipped", [None, 1])
def test_every_bit_is_that_of_torchs_own_optimizer(settings, theirs, skipped):
    """Also where a weight has no gradient in some steps, and after the state went through a checkpoint's form."""
    modules = [network().float().to(memory_format=torch.channels_last) for _ in range(2)]
    ours = build_optimizer(modules[0], settings, 0.02)
    other = theirs(weight_groups(modules[1], settings.weight_decay or 0.0))
    for step in range(STEPS):
        for module in modules:
            for index, weight in enumerate(module.parameters()):
                slope = torch.from_numpy(gradient(step, index, tuple(weight.shape))).float()
                skip = index == skipped and step % 2 == 1
                weight.grad = None if skip else torch.empty_like(weight).copy_(slope)
        for optimizer in (ours, other):
            set_rate(optimizer, RATES[step])
            optimizer.step()
        if step == 3:
            again = build_optimizer(modules[0], settings, 0.02)
            again.load_state_dict(ours.state_dict())
            ours = again
    for mine, reference in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        assert torch.equal(mine, reference)
    state, expected = ours.state_dict()["state"], other.state_dict()["state"]
    for number, values in state.items():
        for name, value in values.items():
            assert torch.equal(value, expected[number][name]), (number, name)


def test_the_state_of_other_weights_or_of_another_rule_is_refused():
    ours = build_optimizer(network(), OptimizerSettings(name="sgd", momentum=0.9), 0.1)
    for weight in ours.param_groups[0]["params"]:
        weight.grad = torch.ones_like(weight)
    ours.step()
    with pytest.raises(ValueError, match="another optimizer"):
        build_optimizer(network(), OptimizerSettings(name="adamw"), 0.1).load_state_dict(ours.state_dict())
    other = build_optimizer(nn.Linear(2, 2), OptimizerSettings(name="sgd", momentum=0.9), 0.1)
    with pytest.raises(ValueError, match="other weights"):
        other.load_state_dict(ours.state_dict())


def test_an_optimizer_does_not_import_torchs_compiler():
    code = (
        "import sys, torch; from striate.training.optimizers import build_optimizer; "
        "from striate.training.part_settings import OptimizerSettings; "
        "module = torch.nn.Linear(2, 2); "
        "optimizer = build_optimizer(module, OptimizerSettings(name='adamw'), 0.1); "
        "optimizer.zero_grad(); optimizer.step(lambda: module(torch.ones(1, 2)).sum().backward()); "
        "optimizer.state_dict(); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
