"""The test of mean average precision against all swaps made one by one, and how often it rejects what is true."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from striate.errors import InputError
from striate.evaluation import bootstrap
from striate.evaluation.paired_labels import swaps


def area(probabilities: np.ndarray, has: np.ndarray) -> float:
    """Average precision by its definition, threshold by threshold, in plain Python."""
    found, precisions = 0, 0.0
    for threshold in sorted(set(probabilities.tolist()), reverse=True):
        above = [row for row in range(len(has)) if probabilities[row] >= threshold]
        hits = sum(bool(has[row]) for row in above)
        precisions += (hits - found) * hits / len(above)
        found = hits
    return precisions / found


def mean_area(probabilities: np.ndarray, has: np.ndarray) -> float:
    return float(np.mean([area(probabilities[:, k], has[:, k]) for k in range(has.shape[1])]))


def by_hand(first: np.ndarray, second: np.ndarray, has: np.ndarray) -> float:
    """The share of all ways to swap the answers for pictures whose difference is as far from 0."""
    own = abs(mean_area(second, has) - mean_area(first, has))
    as_far = []
    for ways in itertools.product((False, True), repeat=len(has)):
        swapped = np.array(ways)[:, None]
        one, two = np.where(swapped, second, first), np.where(swapped, first, second)
        as_far.append(abs(mean_area(two, has) - mean_area(one, has)) >= own - 1e-9)
    return float(np.mean(as_far))


def answers(n: int, labels: int, seed: int, *, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of two models (n, labels), the second better by `gain`, in tenths, so that many are equal."""
    generator = np.random.default_rng(seed)
    has = generator.random((n, labels)) < 0.4
    has[0], has[1] = True, False
    made = [
        np.round(1 / (1 + np.exp(-generator.normal(size=(n, labels)) - (0.8 + more) * (has - 0.5))), 1)
        for more in (0.0, gain)
    ]
    return made[0], made[1], has


@pytest.mark.parametrize("seed", range(3))
def test_all_ways_of_few_pictures_are_those_made_one_by_one(seed: int) -> None:
    first, second, has = answers(7, 2, seed, gain=3.0)
    second[3] = first[3]  # swapped, it stays what it is
    found = swaps(first, second, has)
    assert found is not None
    assert found.exact
    assert found.p == pytest.approx(by_hand(first, second, has))
    assert (found.first, found.second) == pytest.approx((mean_area(first, has), mean_area(second, has)))


def test_drawn_ways_come_near_all_of_them_and_are_the_same_again() -> None:
    first, second, has = answers(9, 2, 11, gain=2.0)
    expected = by_hand(first, second, has)
    moved = int((first != second).any(axis=1).sum())
    found = swaps(first, second, has, seed=4, draws=2**moved - 1)
    assert found is not None
    assert not found.exact
    assert found.p == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 2**moved))
    assert 0.01 < expected < 0.9
    assert swaps(first, second, has, seed=4, draws=2**moved - 1) == found
    others = [swaps(first, second, has, seed=seed, draws=2**moved - 1) for seed in range(5, 9)]
    assert {one.p for one in others if one is not None} != {found.p}


def test_the_difference_is_that_of_scikit_learn_with_the_interval_of_resamples() -> None:
    first, second, has = answers(60, 3, 2, gain=1.5)
    found = swaps(first, second, has, seed=9, draws=50, resample_count=40)
    assert found is not None
    expected = average_precision_score(has, second) - average_precision_score(has, first)
    assert found.difference.value == pytest.approx(expected)
    assert found.second - found.first == pytest.approx(expected)
    counts = np.concatenate(list(bootstrap.resamples(60, seed=9, count=40)), axis=1).astype(int)
    drawn = []
    for column in counts.T:
        rows = np.repeat(np.arange(60), column)
        drawn.append(average_precision_score(has[rows], second[rows]) - average_precision_score(has[rows], first[rows]))
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    turned = swaps(second, first, has, seed=9, draws=50, resample_count=40)
    assert turned is not None
    assert turned.p == found.p
    assert turned.difference.value == pytest.approx(-expected)


def test_labels_of_which_any_order_is_right_do_not_count() -> None:
    first, second, has = answers(12, 4, 3, gain=2.0)
    has[:, 1], has[:, 2] = True, False
    found, alone = swaps(first, second, has, seed=1), swaps(first[:, [0, 3]], second[:, [0, 3]], has[:, [0, 3]], seed=1)
    assert found == alone
    assert swaps(first[:, 1:3], second[:, 1:3], has[:, 1:3]) is None


def test_models_that_answer_alike_do_not_differ() -> None:
    first, _, has = answers(40, 3, 5)
    found = swaps(first, first, has)
    assert found is not None
    assert (found.p, found.difference.value, found.difference.low) == (1.0, 0.0, None)


def test_what_is_true_is_rejected_as_often_as_it_should_be() -> None:
    values = []
    for seed in range(100):
        first, second, has = answers(30, 2, 100 + seed)
        found = swaps(first, second, has, seed=seed, draws=199, resample_count=2)
        assert found is not None
        values.append(found.p)
    # Binomial(100, 0.05): 1 to 12 in 99.3 % of all tries.
    assert 1 <= sum(p <= 0.05 for p in values) <= 12


def test_a_clear_difference_is_found() -> None:
    first, second, has = answers(200, 3, 6, gain=3.0)
    found = swaps(first, second, has, draws=999, resample_count=100)
    assert found is not None
    assert found.p == pytest.approx(1 / 1000)
    assert found.difference.low is not None
    assert found.difference.low > 0


def test_no_picture_is_one_sentence_and_no_pairs_are_our_defect() -> None:
    with pytest.raises(InputError, match="no picture"):
        swaps(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2), dtype=bool))
    with pytest.raises(ValueError, match="no pairs"):
        swaps(np.zeros((3, 2)), np.zeros((3, 1)), np.zeros((3, 2), dtype=bool))
