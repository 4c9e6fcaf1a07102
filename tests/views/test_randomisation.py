"""What a method keeps when the weights lose their order; the copy alone is changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from striate.errors import InputError
from striate.taps.unchanged import unchanged
from striate.views.maps import Maps
from striate.views.randomisation import put_out_of_order, randomisation


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 4, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        ).eval()


def pictures(count: int = 3) -> Tensor:
    return torch.randn(count, 2, 9, 9, generator=torch.Generator().manual_seed(1))


def as_maps(values: Tensor, classes: Tensor) -> Maps:
    return Maps(
        method="ours", layer=None, values=values, small=None, classes=classes, scores=torch.zeros(classes.shape)
    )


def edges(_: nn.Module, given: Tensor, classes: Tensor, *, output: Any = None) -> Maps:
    """A map of the picture alone."""
    sizes = given.diff(dim=3, append=given[..., -1:]).abs().sum(dim=1, keepdim=True)
    return as_maps(sizes.expand(-1, classes.shape[1], -1, -1), classes)


def evidence(given_network: nn.Module, given: Tensor, classes: Tensor, *, output: Any = None) -> Maps:
    """A map of the network's own: what each pixel adds to a class (its class activation map, without the bias)."""
    with unchanged(given_network) as bare, torch.no_grad():
        assert isinstance(bare, nn.Sequential)
        cells = bare[:4](given)
        weights = bare[6].weight[classes]  # (B, K, 4)
    return as_maps(torch.einsum("bdhw,bkd->bkhw", cells, weights), classes)


def test_a_map_of_the_picture_alone_fails_and_one_of_the_network_passes() -> None:
    stays = randomisation(network(), pictures(), edges)
    assert torch.allclose(stays.correlations, torch.ones_like(stays.correlations), atol=1e-12)
    assert stays.kept == pytest.approx(1.0)
    assert not stays.passed
    assert "shows the picture more than the network" in stays.sentence()
    changes = randomisation(network(), pictures(6), evidence, seed=3)
    assert changes.kept < 0.5
    assert changes.passed
    assert changes.sentence().startswith("Depends on the weights")


def test_correlations_are_those_of_scipy() -> None:
    made = network()
    found = randomisation(made, pictures(), evidence, [2, 0], steps=4, seed=5)
    assert found.layers == (("6",), ("3",), ("1",), ("0",))  # from the top
    classes = torch.tensor([[2, 0]]).expand(3, -1)
    first = evidence(made, pictures(), classes).values
    other = copy.deepcopy(made)
    for step, names in enumerate(found.layers):
        for name in names:
            put_out_of_order(other.get_submodule(name), name, 5)
        values = evidence(other, pictures(), classes).values
        for picture in range(3):
            pairs = [(first[picture, k].flatten(), values[picture, k].flatten()) for k in range(2)]
            wanted = sum(spearmanr(a, b).statistic for a, b in pairs) / 2
            sizes = sum(spearmanr(a.abs(), b.abs()).statistic for a, b in pairs) / 2
            assert float(found.correlations[step, picture]) == pytest.approx(wanted, abs=1e-9)
            assert float(found.sizes[step, picture]) == pytest.approx(sizes, abs=1e-9)


def test_ties_share_their_rank_as_in_scipy() -> None:
    def steps_of(scale: float) -> Any:
        def method(given_network: nn.Module, given: Tensor, classes: Tensor, *, output: Any = None) -> Maps:
            # Depends on the weights, and has many equal values.
            assert isinstance(given_network, nn.Sequential)
            first = given_network[0].weight.detach()[0, 0, 0, 0]
            return as_maps((given.sum(dim=1, keepdim=True) * first.sign() * scale).round(), classes)

        return method

    made = network()
    found = randomisation(made, pictures(1), steps_of(1.0), steps=1, seed=1)
    other = copy.deepcopy(made)
    for name in found.layers[0]:
        put_out_of_order(other.get_submodule(name), name, 1)
    maps = [steps_of(1.0)(one, pictures(1), torch.zeros(1, 1)).values.flatten() for one in (made, other)]
    assert len(maps[0].unique()) < 12
    assert float(found.correlations[0, 0]) == pytest.approx(spearmanr(*maps).statistic, abs=1e-9)


def test_the_network_stays_as_it_was_and_draws_come_from_the_seed() -> None:
    made = network().train()
    before = copy.deepcopy(made.state_dict())
    state = torch.get_rng_state()
    first, again, other = (randomisation(made, pictures(), evidence, 0, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    assert all(module.training for module in made.modules())
    assert torch.equal(first.correlations, again.correlations)
    assert not torch.equal(first.correlations, other.correlations)


def test_values_change_places_and_nothing_else() -> None:
    made = network()
    made[1].running_var.copy_(torch.arange(8.0))
    before = copy.deepcopy(made.state_dict())
    for name, module in made.named_modules():
        put_out_of_order(module, name, 0)
    after = made.state_dict()
    for name, value in after.items():
        assert torch.equal(value.flatten().sort().values, before[name].flatten().sort().values), name
    for name in ("0.weight", "3.weight", "6.weight", "0.bias", "1.running_var"):
        assert not torch.equal(after[name], before[name]), name


def test_layers_run_in_groups_of_about_the_same_size() -> None:
    found = randomisation(network(), pictures(1), edges, steps=2)
    assert found.layers == (("6", "3"), ("1", "0"))
    assert len(randomisation(network(), pictures(1), edges, steps=100).layers) == 4


def test_layers_are_ordered_as_they_run_and_not_as_they_were_defined() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 3)
            self.first = nn.Conv2d(2, 4, 3)

        def forward(self, given: Tensor) -> Tensor:
            scores: Tensor = self.last(self.first(given).mean(dim=(2, 3)))
            return scores

    assert randomisation(Backwards(), pictures(1), edges).layers == (("last",), ("first",))


def test_bad_input() -> None:
    with pytest.raises(InputError, match="at least 1 step"):
        randomisation(network(), pictures(), edges, steps=0)
    with pytest.raises(InputError, match="no weights"):
        randomisation(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), pictures(), edges)
    with pytest.raises(InputError, match="no class 3"):
        randomisation(network(), pictures(), edges, 3)
