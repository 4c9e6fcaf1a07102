"""Splits of labels and of numbers: every label in each split, numbers spread over their range, the same for the same
files."""

from __future__ import annotations

import numpy as np
import pytest

from striate.data.duplicates import find_equal
from striate.data.samples import MULTILABEL, REGRESSION, SPLITS, TEST, TRAIN, UNLABELLED, VALIDATION, Samples
from striate.data.sources.files import Files
from striate.data.splits import assign_splits
from striate.data.stratified import stratified
from striate.errors import InputError

SHARES = (0.70, 0.15, 0.15)


def table(targets, task, *, splits=None, groups=None, names=None) -> Samples:
    targets = np.asarray(targets, dtype=np.float32)
    n = len(targets)
    names = tuple(names or (f"picture {row}.png" for row in range(n)))
    return Samples(
        source="photos",
        how="",
        pictures=Files(names),
        index=np.arange(n),
        names=names,
        targets=targets,
        class_names=tuple("abcdefghijkl"[: targets.shape[1]]),
        splits=np.array([""] * n if splits is None else splits),
        groups=None if groups is None else np.array(groups),
        task=task,
    )


def skewed(rows: int, seed: int = 0) -> np.ndarray:
    """(rows, 5) labels that 60, 30, 10, 4 and 2 of a hundred rows have."""
    return (np.random.default_rng(seed).random((rows, 5)) < [0.6, 0.3, 0.1, 0.04, 0.02]).astype(np.float32)


# -- iterative stratification -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_each_label_is_shared_out_better_than_by_chance(seed: int) -> None:
    labels, position = skewed(400, seed), np.random.default_rng(seed).random(400)
    parts = stratified(labels, position, SHARES)

    def distance(drawn: np.ndarray) -> float:
        """Sechidis et al. 2011, eq. 1: mean over labels and parts of the difference of odds."""
        odds = []
        for part in range(3):
            own, all_ = labels[drawn == part].sum(0), labels.sum(0)
            odds.append(abs(own / ((drawn == part).sum() - own) - all_ / (len(labels) - all_)).mean())
        return float(np.mean(odds))

    by_chance = [distance(np.random.default_rng(100 + other).choice(3, size=400, p=SHARES)) for other in range(20)]
    assert distance(parts) < min(by_chance)
    assert np.bincount(parts).tolist() == pytest.approx([280, 60, 60], abs=3)
    for label in range(5):
        own = np.bincount(parts[labels[:, label] > 0], minlength=3)
        wanted = labels[:, label].sum() * np.array(SHARES)
        assert (abs(own - wanted) <= 1.5).all()


@pytest.mark.parametrize(("rows", "parts"), [(1, {0}), (2, {0, 1}), (3, {0, 1, 2}), (4, {0, 1, 2})])
def test_a_label_of_as_many_rows_as_parts_is_in_each_of_them(rows: int, parts: set[int]) -> None:
    labels = np.zeros((100, 2), dtype=np.float32)
    labels[:rows, 0] = 1
    labels[50:, 1] = 1
    drawn = stratified(labels, np.random.default_rng(1).random(100), (0.7, 0.15, 0.15))
    found = set(drawn[:rows].tolist())
    assert len(found) == len(parts)
    assert 0 in found  # what is not learned cannot be answered


def test_rows_without_any_label_are_shared_out_too() -> None:
    drawn = stratified(np.zeros((40, 3)), np.random.default_rng(1).random(40), (0.5, 0.25, 0.25))
    assert np.bincount(drawn).tolist() == [20, 10, 10]
    assert stratified(np.zeros((0, 3)), np.zeros(0), (0.5, 0.5)).tolist() == []


def test_a_part_without_a_share_gets_none() -> None:
    drawn = stratified(skewed(100), np.random.default_rng(1).random(100), (0.85, 0.15, 0.0))
    assert np.bincount(drawn, minlength=3).tolist() == pytest.approx([85, 15, 0], abs=2)
    assert (drawn < 2).all()


# -- splits -------------------------------------------------------------------------------------


def test_labels_are_in_every_split() -> None:
    samples, words = assign_splits(table(skewed(300), MULTILABEL), seed=3)
    assert "by label (seed 3)" in words
    counts = samples.counts()
    assert all(counts[split].min() >= 1 for split in SPLITS)
    assert list(samples.pictures_by_split().values()) == pytest.approx([210, 45, 45], abs=3)
    again = assign_splits(table(skewed(300), MULTILABEL), seed=3)[0]
    assert samples.splits.tolist() == again.splits.tolist()
    assert samples.splits.tolist() != assign_splits(table(skewed(300), MULTILABEL), seed=4)[0].splits.tolist()


def test_the_draw_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = np.random.default_rng(0).permutation(120)
    for targets, task in ((skewed(120), MULTILABEL), (np.random.default_rng(1).random((120, 1)), REGRESSION)):
        samples = table(targets, task)
        first, other = (assign_splits(one, seed=1)[0] for one in (samples, samples.select(rows)))
        assert first.splits[rows].tolist() == other.splits.tolist()


def test_validation_is_drawn_from_training_by_label_and_by_number() -> None:
    splits = [TRAIN] * 100 + [TEST] * 20
    for targets, task, by in ((skewed(120), MULTILABEL, "label"), (np.arange(120)[:, None], REGRESSION, "quantile")):
        samples, words = assign_splits(table(targets, task, splits=splits), seed=0)
        assert f"validation drawn from training by {by}" in words
        assert (samples.splits[100:] == TEST).all()
        assert len(samples.rows(VALIDATION)) == pytest.approx(15, abs=1)


def test_one_number_is_spread_over_its_range_in_every_split() -> None:
    numbers = np.exp(np.random.default_rng(0).normal(size=(200, 1)))
    samples, words = assign_splits(table(numbers, REGRESSION), seed=0)
    assert "by quantile" in words
    tenth = np.searchsorted(np.quantile(numbers, np.arange(1, 10) / 10), samples.targets[:, 0])
    for split, wanted in zip(SPLITS, (14, 3, 3), strict=True):
        assert np.bincount(tenth[samples.rows(split)], minlength=10).tolist() == pytest.approx([wanted] * 10, abs=1)


def test_several_numbers_are_drawn_without_regard_to_them() -> None:
    samples, words = assign_splits(table(np.random.default_rng(0).random((100, 3)), REGRESSION), seed=0)
    assert "by chance" in words
    assert samples.pictures_by_split() == {TRAIN: 70, VALIDATION: 15, TEST: 15}


@pytest.mark.parametrize("task", [MULTILABEL, REGRESSION])
def test_groups_stay_together(task: str) -> None:
    targets = skewed(200) if task == MULTILABEL else np.random.default_rng(0).random((200, 1))
    groups = [f"drive {row // 8}" for row in range(200)]
    samples, words = assign_splits(table(targets, task, groups=groups), seed=0)
    assert "and group" in words or "by group" in words
    for group in set(groups):
        mine = [split for split, own in zip(samples.splits, groups, strict=True) if own == group]
        assert len(set(mine)) == 1
    assert all(len(samples.rows(split)) >= 16 for split in SPLITS)


def test_too_few_are_refused_in_words_that_fit() -> None:
    with pytest.raises(InputError, match="too few pictures for a") as caught:
        assign_splits(table(np.arange(2)[:, None], REGRESSION), seed=0)
    assert "class" not in str(caught.value)
    targets = skewed(20)
    targets[3] = np.nan
    with pytest.raises(InputError, match="1 pictures have no label"):
        assign_splits(table(targets, MULTILABEL), seed=0)


# -- the table ----------------------------------------------------------------------------------


def test_what_a_row_says() -> None:
    labels = table([[1, 0, 1], [0, 0, 0], [np.nan] * 3], MULTILABEL)
    assert [labels.label(row) for row in range(3)] == ["a, c", "(none)", ""]
    assert labels.labelled.tolist() == [True, True, False]
    assert labels.counts()[""].tolist() == [1, 0, 1]
    numbers = table([[1.5, -2], [1e6, 0.25]], REGRESSION)
    assert numbers.label(0) == "a 1.5, b -2"
    assert numbers.pictures_by_split() == {"": 2}
    for read in (numbers.counts, lambda: numbers.classes, lambda: labels.classes):
        with pytest.raises(ValueError, match="targets of"):
            read()
    shares = table([[0.2, 0.5, 0.3], [np.nan] * 3, [0.6, 0.1, 0.3]], "classification")
    assert shares.classes.tolist() == [1, UNLABELLED, 0]
    assert [shares.label(row) for row in range(3)] == ["b", "", "a"]
    assert shares.counts()[""].tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("targets", "task", "words"),
    [
        (
            [[0.5, 0.5], [0.5, 0.4]],
            "classification",
            r"picture 1.png: the shares of its classes must sum to 1, got 0.5, 0.4",
        ),
        ([[1.5, -0.5]], "classification", "must not be negative"),
        ([[1, 2]], MULTILABEL, r"1 \(there\) or 0"),
        ([[1, np.nan]], MULTILABEL, "missing or infinite"),
        ([[1, np.inf]], REGRESSION, "missing or infinite"),
        ([[1, np.nan]], REGRESSION, "missing or infinite"),
    ],
)
def test_targets_that_cannot_be_are_refused(targets, task: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        table(targets, task)


def test_equal_pictures_with_other_targets_are_found() -> None:
    checksums = np.array([7, 7, 8, 8, 9], dtype=np.uint64)
    labels = table([[1, 0], [1, 1], [0, 0], [0, 0], [1, 1]], MULTILABEL, splits=[TRAIN] * 5)
    found = find_equal(checksums, labels)
    assert found.conflicting == ((0, 1),)
    assert found.labels[1] == "a, b"
    assert any("under different labels" in text for text in found.sentences())
    numbers = table([[1], [1], [2], [3], [4]], REGRESSION, splits=[TRAIN] * 5)
    found = find_equal(checksums, numbers)
    assert found.conflicting == ((2, 3),)
    assert any("under different numbers" in text for text in found.sentences())
