"""Draws: against splitmix64 in plain Python, uniform, independent, equal however the work is divided."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from striate.data import draws
from striate.data.draws import levels, permutation, uniforms

MASK = (1 << 64) - 1


class SplitMix64:
    """The published generator, one number at a time (the constants of Vigna's splitmix64.c)."""

    def __init__(self, state: int) -> None:
        self.state = state

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)


def hashed(value: int) -> int:
    return SplitMix64(value & MASK).next()


def finalized(value: int) -> int:
    """The generator's output function: its next number, seen from the state one step before."""
    return SplitMix64((value - 0x9E3779B97F4A7C15) & MASK).next()


def raw(seed: int, epoch: int, row: int, count: int, purpose: int = 0) -> list[int]:
    """The hashes of 64 bits."""
    key = 0
    for part in (seed, purpose, epoch, row):
        key = finalized(key ^ hashed(part))
    generator = SplitMix64(key)
    return [generator.next() for _ in range(count)]


def oracle(seed: int, epoch: int, row: int, count: int, purpose: int = 0) -> list[float]:
    return [(bits >> 11) / 2**53 for bits in raw(seed, epoch, row, count, purpose)]


def test_the_oracle_is_the_published_generator():
    # first outputs for the state 1234567, as printed by the reference implementation
    generator = SplitMix64(1234567)
    assert [generator.next() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("seed", [0, 7, 2**63, -1, 2**70 + 3])
@pytest.mark.parametrize(("epoch", "purpose"), [(0, 0), (3, 0), (0, 2), (11, 5)])
def test_equal_to_the_slow_oracle(seed, epoch, purpose):
    rows = np.array([0, 1, 41, 2**40, 2**62, 0])
    expected = [oracle(seed, epoch, int(row), 5, purpose) for row in rows]
    assert uniforms(seed, epoch, rows, 5, purpose=purpose).tolist() == expected


def test_equal_however_the_work_is_divided(monkeypatch):
    rows = np.arange(1000)
    whole = uniforms(3, 2, rows, 7)
    order = np.random.default_rng(0).permutation(1000)
    np.testing.assert_array_equal(uniforms(3, 2, rows[order], 7), whole[order])
    np.testing.assert_array_equal(np.concatenate([uniforms(3, 2, part, 7) for part in np.split(rows, 8)]), whole)
    np.testing.assert_array_equal(uniforms(3, 2, rows, 3), whole[:, :3])
    np.testing.assert_array_equal(uniforms(3, 2, rows, [5, 0, 3]), whole[:, [5, 0, 3]])
    monkeypatch.setattr(draws, "CHUNK", 10)
    np.testing.assert_array_equal(uniforms(3, 2, rows, 7), whole)


def test_levels_are_four_of_each_hash():
    rows = np.array([0, 5, 2**40, -3])
    for count in (1, 4, 11):
        made = levels(7, 3, rows, count, purpose=6)
        assert made.dtype == np.uint16
        for line, row in zip(made, rows.tolist(), strict=True):
            parts = [bits >> 16 * place & 0xFFFF for bits in raw(7, 3, row, 3, purpose=6) for place in range(4)]
            assert line.tolist() == parts[:count]


def test_empty_requests():
    assert uniforms(0, 0, np.array([], dtype=np.int64), 4).shape == (0, 4)
    assert uniforms(0, 0, np.arange(3), 0).shape == (3, 0)
    assert uniforms(0, 0, np.arange(3), []).shape == (3, 0)
    assert permutation(0, 0, 0).shape == (0,)


@pytest.mark.parametrize("axis", ["rows", "count", "epoch", "seed", "purpose"])
def test_uniform_and_uncorrelated_along_every_argument(axis):
    n = 50_000
    few = range(n // 25)
    drawn = {
        "rows": lambda: uniforms(1, 0, np.arange(n), 1).ravel(),
        "count": lambda: uniforms(1, 0, np.array([5]), n).ravel(),
        "epoch": lambda: np.concatenate([uniforms(1, epoch, np.arange(25), 1).ravel() for epoch in few]),
        "seed": lambda: np.concatenate([uniforms(seed, 0, np.arange(25), 1).ravel() for seed in few]),
        "purpose": lambda: np.concatenate([uniforms(1, 0, np.arange(25), 1, purpose=p).ravel() for p in few]),
    }[axis]()
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    # fixed draws, so the verdict never changes: 0.001 is the chance a good generator had to fail once
    assert stats.kstest(drawn, "uniform").pvalue > 0.001
    for lag in (1, 2, 25):
        correlation = np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(n)
    pairs, _, _ = np.histogram2d(drawn[:-1:2], drawn[1::2], bins=16, range=[[0, 1], [0, 1]])
    assert stats.chisquare(pairs.ravel()).pvalue > 0.001


@pytest.mark.parametrize(
    ("one", "other"),
    [((0, 1, 0), (1, 0, 0)), ((0, 0, 1), (0, 1, 0)), ((0, 0, 1), (1, 0, 0)), ((5, 0, 0), (5, 1, 0))],
)
def test_swapped_parts_of_the_key_share_nothing(one, other):
    drawn = [uniforms(s, e, np.arange(20_000), 1, purpose=p).ravel() for s, e, p in (one, other)]
    assert len(np.intersect1d(*drawn)) == 0
    assert abs(np.corrcoef(*drawn)[0, 1]) < 0.03


def test_permutation_is_one_and_depends_on_seed_and_epoch():
    first = permutation(1, 1, 1000)
    assert first.dtype == np.int64
    assert sorted(first.tolist()) == list(range(1000))
    np.testing.assert_array_equal(first, permutation(1, 1, 1000))
    for other in (permutation(2, 1, 1000), permutation(1, 2, 1000), permutation(1, 1, 1000, purpose=1)):
        assert (first == other).mean() < 0.02


def test_every_permutation_is_as_likely():
    seen = [tuple(permutation(seed, 0, 4).tolist()) for seed in range(4800)]
    counts = [seen.count(each) for each in set(seen)]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(
    "arguments", [(0, 0, np.zeros((2, 2), dtype=np.int64), 1), (0, 0, np.arange(2), -1), (0, 0, np.arange(2), [1, -1])]
)
def test_a_wrong_call_is_a_defect(arguments):
    with pytest.raises(ValueError, match="must be"):
        uniforms(*arguments)
