"""What units respond to, against loops over pictures and figures by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.errors import InputError
from striate.views.one_pass import Batch
from striate.views.units import LIKE, Units, explained, selectivity, twins, unit_report

CLASSES = 3


class Rectified(nn.Module):
    """A convolution whose units 0 to 3 are: free, dead, three times unit 0, free."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(1, 4, 3)
        with torch.no_grad():
            self.conv.weight[1], self.conv.bias[1] = 0.0, -1.0
            self.conv.weight[2], self.conv.bias[2] = 3 * self.conv.weight[0], 3 * self.conv.bias[0]
        self.relu = nn.ReLU()
        self.head = nn.Linear(4, CLASSES)

    def forward(self, given: Tensor) -> Tensor:
        scores: Tensor = self.head(self.relu(self.conv(given)).mean((2, 3)))
        return scores


def data(count: int = 50) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(5)
    targets = torch.randint(0, CLASSES, (count,), generator=draws)
    return torch.randn(count, 1, 6, 6, generator=draws) + targets[:, None, None, None], targets


def report(sizes: tuple[int, ...] = (), count: int = 50) -> Units:
    given, targets = data(count)
    if not sizes:
        return unit_report(Rectified(), given, targets, layers=["relu"])["relu"]
    parts = torch.split(torch.arange(count), sizes)
    batches = [Batch(given[rows], rows, targets[rows]) for rows in parts]
    return unit_report(Rectified(), batches, layers=["relu"], classes=CLASSES)["relu"]


def test_every_figure_against_a_loop() -> None:
    net, (given, targets) = Rectified(), data()
    found = report()
    with torch.no_grad():
        maps = [net.relu(net.conv(one[None]))[0].double().numpy() for one in given]
    for unit in range(4):
        means = [float(one[unit].mean()) for one in maps]
        highest = [float(one[unit].max()) for one in maps]
        assert found.pictures == 50
        assert found.mean[unit] == pytest.approx(sum(means) / 50, rel=1e-5)
        middle = sum(means) / 50
        spread = math.sqrt(sum((one - middle) ** 2 for one in means) / 50)
        assert found.deviation[unit] == pytest.approx(spread, rel=1e-4, abs=1e-6)
        assert (found.lowest[unit], found.highest[unit]) == pytest.approx((min(highest), max(highest)), rel=1e-5)
        assert found.fires[unit] == sum(one > 0 for one in highest) / 50
        for k in range(CLASSES):
            own = [one for one, target in zip(means, targets.tolist(), strict=True) if target == k]
            assert found.class_means[unit, k] == pytest.approx(sum(own) / len(own), rel=1e-4)
            assert found.class_counts[k] == len(own)


def test_dead_units_and_twins_are_named() -> None:
    found = report()
    assert found.dead.tolist() == [False, True, False, False]
    assert found.twin.tolist() == [2, -1, 0, -1]
    assert found.likeness[[0, 2]] == pytest.approx([1, 1], abs=1e-3)
    assert found.classes_of(1) == []
    assert sorted(found.classes_of(0)) == [0, 1, 2]
    assert found.classes_of(0, 1) == [int(found.class_means[0].argmax())]


@pytest.mark.parametrize("sizes", [(1, 49), (7,) * 7 + (1,)])
def test_the_same_whatever_the_batches(sizes: tuple[int, ...]) -> None:
    whole, parts = report((50,)), report(sizes)
    for name in ("mean", "deviation", "lowest", "highest", "fires", "class_means", "selectivity", "explained"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-4, nan_ok=True), name
    assert parts.twin.tolist() == whole.twin.tolist()


def test_many_pictures_are_compared_evenly_whatever_the_batches() -> None:
    """3,000 pictures are thinned to every eighth, on which alone the second unit does as the first."""
    responses = torch.randn(3000, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    both = torch.cat([responses, -responses], dim=1)
    both[::8, 1] = both[::8, 0]
    net = nn.Sequential(nn.Identity(), nn.Flatten())
    for sizes in ((3000,), (999, 1, 2000), (64,) * 46 + (56,)):
        parts = torch.split(torch.arange(3000), sizes)
        found = unit_report(net, [Batch(both[rows], rows) for rows in parts], layers=["1"])["1"]
        assert found.twin.tolist() == [1, 0], sizes


def test_selectivity_by_hand() -> None:
    means = np.array([[3.0, 1.0, 1.0], [2.0, 2.0, 2.0], [5.0, 0.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 0.0]])
    counts = np.array([4, 4, 4])
    found = selectivity(means, counts)
    assert found[:3] == pytest.approx([(3 - 1) / (3 + 1), 0, 1])
    assert np.isnan(found[3:]).all()  # a negative mean; nothing but zero
    assert np.isnan(selectivity(means, np.array([4, 0, 0]))).all()
    # A class without pictures counts for nothing.
    assert selectivity(np.array([[3.0, np.nan, 1.0]]), np.array([2, 0, 2])) == pytest.approx([0.5])


def test_the_share_that_the_class_explains_by_hand() -> None:
    """Classes of 2, 2 and 2 responses: 1, 3 | 5, 7 | 9, 11. Within: 6; between: 64; in all 70."""
    means, counts = np.array([[2.0, 6.0, 10.0]]), np.array([2, 2, 2])
    assert explained(means, counts, np.array([70.0])) == pytest.approx([1 - (6 / 3) / (70 / 5)])
    # As much as chance gives: nothing, and never below.
    assert explained(np.array([[1.0, 1.0, 1.0]]), counts, np.array([70.0])) == pytest.approx([0])
    assert np.isnan(explained(means, counts, np.array([0.0]))).all()
    assert np.isnan(explained(means, np.array([2, 0, 0]), np.array([70.0]))).all()
    assert np.isnan(explained(means, np.array([1, 1, 1]), np.array([70.0]))).all()  # one each: nothing is known


def test_twins_are_those_that_correlate() -> None:
    draws = np.random.default_rng(0)
    one = draws.normal(size=300)
    near = one + draws.normal(size=300) * 0.05  # a correlation of about 0.9988
    far = one + draws.normal(size=300) * 0.3  # about 0.958
    responses = np.stack([one, near, far, 7 - 2 * one, np.zeros(300)], axis=1)
    twin, likeness = twins(responses, np.array([False] * 4 + [True]))
    assert twin.tolist() == [1, 0, -1, -1, -1]  # the opposite is no twin
    assert likeness[0] == pytest.approx(np.corrcoef(one, near)[0, 1], abs=1e-3)
    assert likeness[0] > LIKE > np.corrcoef(one, far)[0, 1]
    few = twins(responses[:5], np.zeros(5, dtype=bool))
    assert few[0].tolist() == [-1] * 5


def test_targets_that_are_not_known_count_for_no_class() -> None:
    given, targets = data()
    targets[10:] = -1
    found = unit_report(Rectified(), given, targets, layers=["relu"], classes=CLASSES)["relu"]
    first = unit_report(Rectified(), given[:10], targets[:10], layers=["relu"], classes=CLASSES)["relu"]
    assert found.pictures == 50
    assert found.class_counts.sum() == 10
    assert found.class_means == pytest.approx(first.class_means, rel=1e-4)
    assert found.explained == pytest.approx(first.explained, rel=1e-3, nan_ok=True)


def test_a_target_beyond_the_classes_is_refused() -> None:
    given, targets = data(4)
    with pytest.raises(InputError, match="there are 1 classes, and a target is"):
        unit_report(Rectified(), given, targets + 1, layers=["relu"], classes=1)
