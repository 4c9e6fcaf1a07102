"""Paired tests against scipy, all ways counted by hand, and how often they reject what is true."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from striate.errors import InputError
from striate.evaluation import bootstrap
from striate.evaluation.paired import binomial_half, holm, mcnemar, sign_flips


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 0), (0, 1), (3, 10), (7, 10), (5, 10), (40, 100), (1, 900), (2100, 4000)]
)
def test_binomial_is_scipys(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n, 0.5).pvalue if n else 1.0
    assert binomial_half(successes, n) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_counts_the_pictures_that_one_alone_answers_rightly() -> None:
    first = np.array([1, 1, 1, 1, 1, 0, 0, 0, 1, 0], dtype=bool)
    second = np.array([1, 0, 0, 0, 0, 0, 1, 0, 0, 0], dtype=bool)
    found = mcnemar(first, second, seed=3)
    assert (found.only_first, found.only_second, found.n) == (5, 1, 10)
    assert found.p == pytest.approx(stats.binomtest(1, 6, 0.5).pvalue)
    assert found.difference.value == pytest.approx(-0.4)
    counts = np.concatenate(list(bootstrap.resamples(10, seed=3)), axis=1)
    means = (second.astype(float) - first) @ counts / 10
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))
    again = mcnemar(second, first, seed=3)
    assert again.p == found.p
    assert again.difference.value == -found.difference.value


def test_models_that_answer_alike_do_not_differ() -> None:
    same = np.array([1, 0, 1], dtype=bool)
    found = mcnemar(same, same)
    assert (found.p, found.difference.value, found.difference.low) == (1.0, 0.0, None)
    numbers = np.array([0.5, 1.5, 2.0])
    assert sign_flips(numbers, numbers).p == 1.0


def brute_force(differences: np.ndarray) -> float:
    """The share of all ways to turn differences round that give a mean as far from 0."""
    ways = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return float(np.mean([way >= abs(differences.sum()) - 1e-12 for way in ways]))


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e6])
def test_of_few_pictures_all_ways_are_counted(scale: float) -> None:
    generator = np.random.default_rng(5)
    first = generator.normal(size=11) * scale
    second = first + (generator.normal(size=11) + 0.5) * scale
    second[4] = first[4]  # turned round it stays what it is
    found = sign_flips(first, second)
    assert found.exact
    assert found.p == pytest.approx(brute_force(second - first))
    assert found.difference.value == pytest.approx((second - first).mean())
    assert found.difference.low is not None


def test_of_many_pictures_the_draws_come_near_all_ways_and_are_the_same_again() -> None:
    generator = np.random.default_rng(8)
    first = np.round(generator.normal(size=14), 1)
    second = first + np.round(generator.normal(size=14) + 0.4, 1)
    drawn = sign_flips(first, second, seed=2)
    assert not drawn.exact
    # 10,000 draws: a deviation of at most 0.005.
    assert drawn.p == pytest.approx(brute_force(second - first), abs=0.02)
    assert sign_flips(first, second, seed=2) == drawn
    assert sign_flips(first, second, seed=3).p != drawn.p
    scipys = stats.permutation_test(
        (second - first,), lambda values: values.mean(), permutation_type="samples", n_resamples=np.inf
    )
    assert drawn.p == pytest.approx(scipys.pvalue, abs=0.02)


def test_more_pictures_than_a_word_has_signs_are_all_turned() -> None:
    """A difference that only the last of 130 pictures has is as likely turned as not."""
    first, second = np.zeros(130), np.zeros(130)
    second[129] = 3.0
    assert sign_flips(first, second).p == 1.0
    everywhere = np.full(130, 0.1)
    assert sign_flips(first, everywhere, seed=1).p == pytest.approx(1 / 10_001)


def test_what_is_true_is_rejected_as_often_as_it_should_be() -> None:
    generator = np.random.default_rng(0)
    values = [
        sign_flips(*generator.normal(size=(2, 40)), seed=seed, draws=400, resample_count=2).p for seed in range(100)
    ]
    # Binomial(100, 0.05): 1 to 13 in 99.4 % of all tries.
    assert 1 <= sum(p <= 0.05 for p in values) <= 13


def test_holm_is_the_published_example() -> None:
    """Holm 1979, by hand: 0.01 * 4, 0.02 * 3 (0.06), 0.03 * 2 (0.06), 0.04."""
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_no_picture_is_one_sentence_and_no_pairs_are_our_defect() -> None:
    with pytest.raises(InputError, match="no picture"):
        mcnemar(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="no pairs"):
        sign_flips(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="finite"):
        sign_flips(np.zeros(3), np.full(3, np.nan))
