"""Splits: kept or drawn, by class and by group, the same for the same files; equal pictures are found."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.duplicates import find_equal
from striate.data.samples import SPLITS, TEST, TRAIN, UNLABELLED, VALIDATION, Samples
from striate.data.sources.files import Files
from striate.data.splits import assign_splits
from striate.errors import InputError


def table(targets, splits=None, groups=None, names=None, classes=None) -> Samples:
    targets = np.asarray(targets, dtype=np.int64)
    n = len(targets)
    names = tuple(names or (f"picture {row}.png" for row in range(n)))
    return Samples(
        source="photos",
        how="",
        pictures=Files(names),
        index=np.arange(n),
        names=names,
        targets=targets,
        class_names=tuple(classes or (f"class {number}" for number in range(targets.max(initial=0) + 1))),
        splits=np.array([""] * n if splits is None else splits),
        groups=None if groups is None else np.array(groups),
    )


def drawn(samples, seed=0, **options) -> Samples:
    return assign_splits(samples, seed=seed, **options)[0]


def by_name(samples: Samples) -> dict[str, str]:
    return dict(zip(samples.names, samples.splits.tolist(), strict=True))


def test_without_splits_each_class_is_shared_out():
    counts = drawn(table(np.repeat([0, 1, 2], [100, 200, 40]))).counts()
    assert counts[TRAIN].tolist() == [70, 140, 28]
    assert counts[VALIDATION].tolist() == [15, 30, 6]
    assert counts[TEST].tolist() == [15, 30, 6]


def test_shares_hold_over_many_small_classes():
    # 1.5 a class for validation and for test: one and two in turn, so that seven are left of each ten
    counts = drawn(table(np.repeat(np.arange(20), 10))).counts()
    assert {split: int(count.sum()) for split, count in counts.items()} == {TRAIN: 140, VALIDATION: 30, TEST: 30}
    assert set(counts[TRAIN].tolist()) == {7}


@given(st.lists(st.integers(3, 60), min_size=2, max_size=8), st.integers(0, 2**63))
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
def test_three_pictures_of_a_class_are_enough_for_every_split(sizes, seed):
    counts = drawn(table(np.repeat(np.arange(len(sizes)), sizes)), seed).counts()
    assert all(counts[split].min() >= 1 for split in SPLITS)
    assert sum(counts[split] for split in SPLITS).tolist() == sizes
    # within one picture of the share, but for the one that each class gets at least
    for split, share in ((VALIDATION, 0.15), (TEST, 0.15)):
        assert all(abs(got - max(1, size * share)) <= 1 for got, size in zip(counts[split], sizes, strict=True))


def test_five_pictures_a_class():
    counts = drawn(table([0] * 5 + [1] * 5)).counts()
    assert [counts[split].tolist() for split in SPLITS] == [[3, 3], [1, 1], [1, 1]]


def test_two_pictures_of_a_class_are_for_training_and_test():
    counts = drawn(table([0] * 10 + [1] * 2)).counts()
    assert counts[TRAIN][1] == counts[TEST][1] == 1
    assert counts[VALIDATION][1] == 0


def test_the_draw_depends_on_seed_and_names_alone():
    samples = table(np.arange(300) % 3)
    first = drawn(samples, 1)
    assert by_name(drawn(samples, 1)) == by_name(first)
    assert by_name(drawn(samples, 2)) != by_name(first)
    shuffled = samples.select(np.random.default_rng(0).permutation(300))
    assert by_name(drawn(shuffled, 1)) == by_name(first)


def test_a_removed_picture_moves_few_others():
    samples = table(np.arange(1000) % 2)
    before = by_name(drawn(samples))
    after = by_name(drawn(samples.without([(17, "gone")])))
    assert sum(before[name] != split for name, split in after.items()) <= 4


def test_the_splits_of_the_source_are_kept():
    given_splits = [TRAIN, TRAIN, VALIDATION, TEST, TRAIN, TEST]
    samples = table([0, 1, 0, 1, 0, 0], given_splits)
    kept, sentence = assign_splits(samples, seed=3)
    assert kept is samples
    assert sentence == "splits of the source: 3 train, 1 validation, 2 test"


@pytest.mark.parametrize("other", [VALIDATION, TEST])
def test_train_and_one_other_keeps_the_other_for_the_test(other):
    samples = table([0, 1] * 60, [TRAIN] * 80 + [other] * 40)
    split, sentence = assign_splits(samples, seed=0)
    assert (split.splits[80:] == TEST).all()
    assert split.counts()[VALIDATION].tolist() == [6, 6]
    assert split.counts()[TRAIN].tolist() == [34, 34]
    assert ("taken as test" in sentence) == (other == VALIDATION)
    assert "68 train, 12 validation, 40 test" in sentence


def test_training_alone_is_shared_out():
    assert set(drawn(table([0, 1] * 20, [TRAIN] * 40)).splits.tolist()) == set(SPLITS)


@pytest.mark.parametrize("splits", [None, [TRAIN] * 60 + [TEST] * 40])
def test_groups_stay_whole(splits):
    groups = [f"patient {number}" for number in np.repeat(np.arange(20), 5)]
    if splits:
        groups = groups[:60] + [f"other {number}" for number in np.repeat(np.arange(8), 5)]
    samples = table(np.arange(100) % 2, splits, groups)
    result = drawn(samples)
    of_group: dict[str, set[str]] = {}
    for group, split in zip(groups, result.splits.tolist(), strict=True):
        of_group.setdefault(group, set()).add(split)
    assert all(len(found) == 1 for found in of_group.values())
    assert set(result.splits.tolist()) == set(SPLITS)


@given(st.integers(0, 10_000), st.integers(40, 80))
@settings(max_examples=40, deadline=None, database=None, derandomize=True)
def test_groups_of_any_sizes_come_near_the_shares(seed, number):
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 12, number)
    groups = np.repeat([f"g{group}" for group in range(number)], sizes)
    targets = np.repeat(random.integers(0, 3, number), sizes)
    samples = table(targets, groups=groups)
    result = drawn(samples, seed)
    for split, share in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
        assert abs((result.splits == split).mean() - share) < 0.06
    assert result.counts()[TRAIN].min() > 0


def test_a_class_in_one_group_is_trained_on():
    samples = table([0] * 10 + [1] * 40, groups=["a"] * 10 + [f"b{row // 5}" for row in range(40)])
    assert drawn(samples).counts()[TRAIN].tolist()[0] == 10


REFUSED = [
    (table([0] * 10), "photos: one class only, 'class 0'"),
    (table([0, 0, 0, 1, 1], [TRAIN, TRAIN, TRAIN, TEST, TEST], classes=["ant", "bee"]), "one class only, 'ant'"),
    (table([0] * 6 + [1], classes=["ant", "bee"]), "the class 'bee' has one picture"),
    (table([0] * 6 + [1, 2, 3]), "the classes 'class 1', 'class 2', 'class 3' have one picture"),
    (table([0, 0, 1, 1]), "too few pictures a class for a validation split"),
    (table([0, 1] * 10, groups=["a", "b"] * 10), "too few groups for a"),
    (table([0, 1] * 3, [VALIDATION, VALIDATION, TEST] * 2), "only the validation and test split"),
    (table([0, 1] * 3, [TEST] * 6), "only the test split"),
    (table([0, 1] * 3, [TRAIN, TRAIN, ""] * 2), "some pictures have a split, others none"),
    (table([0, 1, UNLABELLED] * 3), "3 pictures have no label"),
    (table([]), "no picture is left"),
]


@pytest.mark.parametrize(("samples", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_split_is_refused_with_a_sentence(samples, said):
    with pytest.raises(InputError) as caught:
        assign_splits(samples, seed=0)
    assert said in str(caught.value)


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.0, 0.0, 0.0), (0.8, 0.3, -0.1)])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(InputError, match="shares"):
        assign_splits(table([0, 1] * 10), seed=0, shares=shares)


def test_other_shares():
    counts = drawn(table([0] * 100 + [1] * 100), shares=(0.5, 0.2, 0.3)).counts()
    assert [int(counts[split][0]) for split in SPLITS] == [50, 20, 30]


class TestFindEqual:
    def duplicates(self):
        samples = table(
            [0, 0, 1, 1, 0, 1, 0],
            [TRAIN, TRAIN, TEST, TEST, VALIDATION, TRAIN, TEST],
            names=list("abcdefg"),
            classes=["ant", "bee"],
        )
        # a = b inside; c = f across; d = e across and conflicting; g alone
        return find_equal(np.array([5, 5, 2**63 + 1, 9, 9, 2**63 + 1, 7], dtype=np.uint64), samples)

    def test_kinds(self):
        found = self.duplicates()
        assert found.inside == ((0, 1),)
        assert found.across == ((2, 5), (3, 4))
        assert found.conflicting == ((3, 4),)
        assert found.leaked() == (2,)
        assert found.leaked((TRAIN, VALIDATION)) == (2, 3)  # d equals e, of validation
        assert found

    def test_a_group_can_be_of_all_kinds(self):
        found = find_equal(np.full(3, 4, dtype=np.uint64), table([0, 1, 0], [TRAIN, TRAIN, TEST]))
        assert found.inside == found.across == found.conflicting == ((0, 1, 2),)

    def test_sentences_and_json(self):
        found = self.duplicates()
        assert found.sentences() == (
            "2 pictures occur in more than one split, so that what is measured was seen before "
            "(4 files, such as c = f)",
            "1 picture occurs under different classes (2 files, such as d = e)",
            "1 picture occurs more than once in a split (2 files, such as a = b)",
        )
        assert json.loads(json.dumps(found.to_json()))["conflicting"] == [
            [
                {"path": "d", "label": "bee", "split": "test"},
                {"path": "e", "label": "ant", "split": "validation"},
            ]
        ]

    def test_unread_pictures_are_equal_to_nothing(self):
        found = find_equal(np.zeros(4, dtype=np.uint64), table([0, 1, 0, 1]))
        assert not found
        assert found.sentences() == ()

    def test_all_different_and_none_at_all(self):
        assert not find_equal(np.arange(1, 5, dtype=np.uint64), table([0, 1, 0, 1]))
        assert not find_equal(np.array([], dtype=np.uint64), table([]))

    def test_unlabelled_rows_have_no_label(self):
        samples = replace(table([0, 0]), targets=np.array([-1, -1]))
        assert find_equal(np.full(2, 3, dtype=np.uint64), samples).labels == {0: "", 1: ""}
