"""Several batches as one step, frozen layers, dropout before the head: what a step makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from striate.data.augmentation import Augmentation
from striate.networks.blocks import freeze
from striate.networks.heads import drop_before_head
from striate.training.part_settings import OptimizerSettings


def plain() -> nn.Module:
    """Without batch norm and dropout, which see a batch at a time."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3)
    )


def weights_of(loop) -> list[np.ndarray]:
    return [value.detach().numpy().copy() for value in loop.network.state_dict().values()]


@pytest.mark.parametrize("rows", [None, np.linspace(0, 2, 48).astype(np.float32)], ids=["alike", "weighted"])
def test_batches_that_add_up_to_a_step_are_the_large_batch(make_loop, rows):
    options = {"network": None, "epochs": 3, "weights": rows, "averaging": 0.0}
    large = make_loop(**{**options, "network": plain()}, batch_size=24)
    added = make_loop(**{**options, "network": plain()}, batch_size=6, accumulate=4)
    assert added.batches.steps_per_epoch == large.batches.steps_per_epoch == 2
    histories = [loop.run().history for loop in (large, added)]
    for one, other in zip(weights_of(large), weights_of(added), strict=True):
        assert np.allclose(one, other, rtol=0, atol=2e-6)
    assert [row["loss"] for row in histories[1]] == pytest.approx([row["loss"] for row in histories[0]], rel=1e-5)


def test_each_of_them_goes_through_the_network_alone(make_loop):
    network, sizes = plain(), []
    loop = make_loop(network=network, batch_size=7, accumulate=3, epochs=1, averaging=0.0, validation=False)
    network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    loop.run()
    assert loop.total_steps == 2
    assert sizes == [7] * 6


def test_frozen_layers_keep_every_bit_and_their_statistics(make_loop, small_network):
    network = small_network()
    freeze(network, "0,1")
    loop = make_loop(network=network, freeze="0,1", epochs=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loop.run()
    for name, value in network.state_dict().items():
        frozen = name.startswith(("0.", "1."))
        assert torch.equal(value, before[name]) == frozen, name


def test_a_frozen_norm_takes_its_kept_statistics_in_training_too(make_loop):
    """Softmax regression on what a frozen norm makes of the pictures, whose statistics are far from theirs."""

    def network(norm: nn.Module) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(norm, nn.Flatten(), nn.Linear(64, 3))

    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x - 0.5) / (4.0 + 1e-5) ** 0.5

    norm = nn.BatchNorm2d(1)
    norm.running_mean.fill_(0.5)
    norm.running_var.fill_(4.0)
    frozen = network(norm)
    freeze(frozen, "0")
    one = make_loop(network=frozen, freeze="0", epochs=2, averaging=0.0)
    other = make_loop(network=network(Fixed()), epochs=2, averaging=0.0)
    one.run(), other.run()
    assert torch.allclose(one.network[2].weight, other.network[2].weight, atol=1e-5)


def test_a_head_on_a_frozen_backbone_learns_what_it_learns_on_its_features(make_loop, small_network):
    network = small_network(dropout=0.0)
    freeze(network, "backbone")
    loop = make_loop(
        network=network, freeze="backbone", averaging=0.0, epochs=3, augmentation=Augmentation(), validation=False
    )
    features, targets = [], []
    network[8].register_forward_pre_hook(lambda module, inputs: features.append(inputs[0].detach().double().numpy()))
    for epoch in range(3):
        targets += [batch.targets.numpy() for batch in loop.batches.epoch(epoch)]
    weight, bias = (value.detach().double().numpy().copy() for value in network[8].parameters())
    loop.run()
    for number, (inputs, classes) in enumerate(zip(features, targets, strict=True)):
        scores = inputs @ weight.T + bias
        shares = np.exp(scores - scores.max(1, keepdims=True))
        slope = (shares / shares.sum(1, keepdims=True) - np.eye(3)[classes]) / len(inputs)
        rate = 0.1 * loop.schedule(number / 18)
        weight, bias = weight - rate * (slope.T @ inputs + 5e-4 * weight), bias - rate * slope.sum(0)
    assert np.allclose(network[8].weight.detach().numpy(), weight, rtol=0, atol=1e-5)


def test_dropout_before_the_head_is_a_function_of_the_step(make_loop):
    def trained(**plan) -> list[np.ndarray]:
        network = plain()
        drop_before_head(network, 0.5)
        loop = make_loop(network=network, epochs=2, averaging=0.0, **plan)
        loop.run()
        return weights_of(loop)

    first, again, other = trained(), trained(), trained(seed=5)
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(first, other, strict=True))
    without = make_loop(network=plain(), epochs=2, averaging=0.0)
    without.run()
    assert not all(np.array_equal(one, two) for one, two in zip(first, weights_of(without), strict=True))


@pytest.mark.parametrize(
    ("name", "rate", "more"),
    [
        ("adam", 0.01, {}),
        ("adagrad", 0.05, {}),
        ("rmsprop", 0.002, {}),
        ("muon", 0.02, {}),
        ("lbfgs", 1.0, {"batch_size": 48, "augmentation": Augmentation(), "epochs": 4}),
    ],
)
def test_every_optimizer_learns_a_small_set(make_loop, small_network, name, rate, more):
    options = {"epochs": 10, "averaging": 0.0, **more}
    optimizer = OptimizerSettings(name=name, weight_decay=1e-4)
    loop = make_loop(network=small_network(dropout=0.0), optimizer=optimizer, learning_rate=rate, **options)
    progress = loop.run()
    assert max(row["validation_accuracy"] for row in progress.history) >= 0.9
