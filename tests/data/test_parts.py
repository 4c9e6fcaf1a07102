"""Folds and shares of a source: spread evenly, whole groups, the same wherever the files lie, one within the next."""

from __future__ import annotations

import numpy as np
import pytest

from striate.data.parts import in_fold, read_fold, thinned
from striate.data.samples import Samples
from striate.data.sources.arrays import read
from striate.errors import InputError


def table(counts: dict[str, int], splits: dict[str, str] | None = None, groups: int = 0) -> Samples:
    """So many pictures of each class; `groups`: so many pictures in each group of a class."""
    labels = [name for name, count in counts.items() for _ in range(count)]
    samples = read((np.zeros((len(labels), 2, 2), dtype=np.uint8), labels))
    changed = {}
    if groups:
        changed["groups"] = np.array([f"{label}{row // groups}" for row, label in enumerate(labels)])
    if splits:
        changed["splits"] = np.array([splits[label] for label in labels])
    return samples.__class__(**{**vars(samples), **changed})


def held_back(samples: Samples, folds: int, seed: int = 0) -> list[set[str]]:
    parts = []
    for fold in range(1, folds + 1):
        chosen, _ = in_fold(samples, fold, folds, seed=seed)
        parts.append({chosen.names[row] for row in chosen.rows("test")})
    return parts


def test_each_picture_is_held_back_once_and_each_class_evenly():
    samples = table({"a": 31, "b": 17, "c": 5})
    parts = held_back(samples, 4)
    assert sorted(name for part in parts for name in part) == sorted(samples.names)
    assert {len(part) for part in parts} <= {13, 14}
    classes = dict(zip(samples.names, samples.classes.tolist(), strict=True))
    for number, count in enumerate([31, 17, 5]):
        each = [sum(classes[name] == number for name in part) for part in parts]
        assert sum(each) == count
        assert max(each) - min(each) <= 1


def test_folds_do_not_depend_on_the_order_of_the_rows():
    samples = table({"a": 12, "b": 9})
    mixed = samples.select(np.random.default_rng(0).permutation(len(samples)))
    assert held_back(samples, 3) == held_back(mixed, 3)
    assert held_back(samples, 3) != held_back(samples, 3, seed=1)


def test_groups_stay_whole():
    samples = table({"a": 24, "b": 24}, groups=4)
    group_of = dict(zip(samples.names, samples.groups, strict=True))
    parts = [{group_of[name] for name in part} for part in held_back(samples, 3)]
    assert sum(len(part) for part in parts) == len(set.union(*parts))
    assert [len(part) for part in parts] == [4, 4, 4]


def test_the_sources_own_test_pictures_are_set_aside():
    samples = table({"a": 8, "b": 8, "c": 8}, splits={"a": "train", "b": "train", "c": "test"})
    chosen, words = in_fold(samples, 1, 2, seed=0)
    assert len(chosen) == 16
    assert "its 8 test pictures set aside" in words


def test_shares_lie_within_each_other_and_keep_the_classes():
    samples = table({"a": 64, "b": 16, "c": 2}, splits=dict.fromkeys("abc", "train"))
    before: set[str] = set()
    for share, counts in ((0.125, [8, 2, 1]), (0.5, [32, 8, 1]), (1.0, [64, 16, 2])):
        chosen, words = thinned(samples, share, seed=3)
        assert np.bincount(chosen.classes).tolist() == counts
        assert before <= set(chosen.names)
        assert words == f"learning from {sum(counts)} of 82 training pictures"
        before = set(chosen.names)


def test_pictures_that_are_held_back_are_not_thinned():
    samples = table({"a": 10, "b": 10, "c": 10}, splits={"a": "train", "b": "train", "c": "test"})
    chosen, _ = thinned(samples, 0.5, seed=0)
    assert len(chosen.rows("test")) == 10
    assert len(chosen.rows("train")) == 10


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "2", "a/b", "1/101", "-1/5", "1/5 "])
def test_what_is_no_fold_is_one_sentence(text):
    with pytest.raises(InputError, match="fold must be one of 2 to 100 parts, such as 2/5"):
        read_fold(text)


def test_a_class_that_would_be_held_back_whole_is_named():
    with pytest.raises(InputError, match="all of 'b' would be held back at once"):
        in_fold(table({"a": 5, "b": 1}), 1, 2, seed=0)
    with pytest.raises(InputError, match="4 pictures cannot be dealt into 5 folds"):
        in_fold(table({"a": 2, "b": 2}), 1, 5, seed=0)
    with pytest.raises(InputError, match="12 pictures in 4 groups cannot be dealt into 5 folds"):
        in_fold(table({"a": 6, "b": 6}, groups=3), 1, 5, seed=0)


def test_a_single_number_that_would_be_held_back_alone_is_refused():
    samples = read((np.zeros((5, 2, 2), dtype=np.uint8), np.array([0.5, 1.5, 2.5, 3.5, 4.5])))
    assert samples.task == "regression"
    in_fold(samples, 1, 2, seed=0)
    with pytest.raises(InputError, match="5 pictures in 3 folds: one of them would hold back a single picture"):
        in_fold(samples, 1, 3, seed=0)
