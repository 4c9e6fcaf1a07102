"""Averaged weights against a slow loop in float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from striate.data.augmentation import Augmentation
from striate.observer import Observer
from striate.training.averaging import AVERAGES, Averaged, AveragedEpochs, batch_norms, count_norms_anew


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


def named_weights(network: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().double().numpy().copy() for name, value in network.named_parameters()}


def test_weights_of_epochs_count_alike_and_buffers_are_the_networks_own():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(2, 2))
    averaged = AveragedEpochs(network)
    seen = []
    for epoch in range(5):
        moved(network, epoch + 1)
        averaged.update(epoch)  # steps change nothing
        averaged.add(epoch)
        seen.append(named_weights(network))
    for name, value in averaged.network.named_parameters():
        assert np.allclose(value.numpy(), np.mean([one[name] for one in seen], axis=0), rtol=0, atol=1e-6)
    for mine, theirs in zip(averaged.network.buffers(), network.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_statistics_are_counted_anew_as_the_mean_over_batches():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5)).eval()
    moved(network, 1)
    batches = [torch.randn(4, 1, 6, 6), 3 * torch.randn(4, 1, 6, 6), torch.randn(2, 1, 6, 6) + 1]
    count_norms_anew(batch_norms(network), batches, network)
    maps = [network[0](batch).detach().double().numpy() for batch in batches]
    means = np.mean([one.mean(axis=(0, 2, 3)) for one in maps], axis=0)
    spreads = np.mean([one.var(axis=(0, 2, 3), ddof=1) for one in maps], axis=0)
    assert np.allclose(network[1].running_mean.numpy(), means, atol=1e-5)
    assert np.allclose(network[1].running_var.numpy(), spreads, atol=1e-4)
    assert network[1].momentum == 0.1
    assert not any(module.training for module in network.modules())


def test_a_run_answers_with_the_mean_of_its_last_epochs(make_loop):
    """Of 6 epochs the last half: the mean of three, with the statistics of that mean, is what is judged and kept."""
    ends: list[dict[str, np.ndarray]] = []
    loop = make_loop(averaging=0.0, swa=0.5, epochs=6, validation=False, augmentation=Augmentation(rotation=5.0))

    class Ends(Observer):
        def on_epoch(self, record):
            ends.append(named_weights(loop.network))

    loop.observer = Ends()
    progress = loop.run()
    assert progress.averaged == 3
    named = dict(loop.network.named_parameters())
    for name, value in named.items():
        assert np.allclose(value.detach().numpy(), np.mean([one[name] for one in ends[3:]], axis=0), atol=1e-6)
    assert not np.allclose(named["8.weight"].detach().numpy(), ends[-1]["8.weight"], atol=1e-6)
    with torch.no_grad():
        maps = [loop.network[0](loop.model.inputs(batch.pictures)) for batch in loop.batches.epoch(5)]
    means = torch.stack([one.mean(dim=(0, 2, 3)) for one in maps]).mean(dim=0)
    assert torch.allclose(loop.network[1].running_mean, means, atol=1e-5)


def test_before_the_last_share_the_network_itself_answers(make_loop):
    loop = make_loop(averaging=0.0, swa=0.25, epochs=4)
    answered: list[bool] = []

    class Who(Observer):
        def on_epoch(self, record):
            answered.append(loop.answering().network is loop.network)

    loop.observer = Who()
    loop.run()
    assert answered == [True, True, True, False]


def test_every_row_says_how_it_is_asked_for():
    assert all(row.flags.startswith("--") for row in AVERAGES.values())
