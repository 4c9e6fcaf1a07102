"""Balanced drawing: each class equally often, each row of a class almost so, from (seed, epoch) alone."""

from __future__ import annotations

import numpy as np
import pytest

from striate.data.augmentation import Augmentation
from striate.data.balanced import balanced_order
from striate.data.batches import Batches
from striate.models.input_spec import InputSpec
from striate.tasks.classification import Classification

CLASSES = np.array([0] * 70 + [2] * 25 + [5] * 7)
SPEC = InputSpec(channels=1, height=6, width=6, mean=(0.5,), deviation=(0.25,))


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("classes", [CLASSES, np.random.default_rng(0).permutation(CLASSES)], ids=["sorted", "mixed"])
def test_classes_come_equally_often_and_rows_of_a_class_too(seed, classes):
    for epoch in range(5):
        rows, before = balanced_order(seed, epoch, classes)
        assert len(rows) == len(before) == len(classes)
        drawn = np.unique(classes[rows], return_counts=True)[1]
        assert drawn.max() - drawn.min() <= 1
        for label in (0, 2, 5):
            often = np.bincount(rows[classes[rows] == label], minlength=len(classes))[classes == label]
            assert often.max() - often.min() <= 1
        # A row that comes again is counted on, each time once.
        assert len({*zip(rows.tolist(), before.tolist(), strict=True)}) == len(rows)
        for row in np.unique(rows):
            assert sorted(before[rows == row]) == list(range((rows == row).sum()))


def test_every_row_of_a_common_class_comes_in_some_epoch():
    seen = np.unique(np.concatenate([balanced_order(3, epoch, CLASSES)[0] for epoch in range(12)]))
    assert len(seen) == len(CLASSES)


def test_it_is_a_function_of_seed_and_epoch():
    first = balanced_order(1, 2, CLASSES)
    assert all(np.array_equal(one, other) for one, other in zip(first, balanced_order(1, 2, CLASSES), strict=True))
    assert not np.array_equal(first[0], balanced_order(1, 3, CLASSES)[0])
    assert not np.array_equal(first[0], balanced_order(2, 2, CLASSES)[0])


class Block:
    uniform = True

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shapes = values, np.array([values.shape[1:]] * len(values))

    def __len__(self) -> int:
        return len(self.values)

    def pixels(self, index: int) -> np.ndarray:
        return self.values[index]

    def block(self, indices: np.ndarray) -> np.ndarray:
        return self.values[indices]


def batches(augmentation: Augmentation, **options) -> Batches:
    targets = np.array([0] * 30 + [1] * 6)
    values = np.random.default_rng(0).integers(0, 255, (36, 6, 6, 1)).astype(np.uint8)
    task = Classification(("a", "b")).bound_to(targets)
    given = {"batch_size": 12, "seed": 4, "augmentation": augmentation, "classes": targets, "ahead": False}
    return Batches(Block(values), task=task, frame=SPEC, **{**given, **options})


@pytest.mark.parametrize("augmentation", [Augmentation(rotation=30.0), Augmentation(mixup=1.0, pad_crop=1)])
def test_batches_are_the_same_however_they_are_divided(augmentation):
    whole = list(batches(augmentation).epoch(1))
    later = list(batches(augmentation).epoch(1, 2))
    assert np.array_equal(whole[2].rows, later[0].rows)
    assert bool((whole[2].pictures == later[0].pictures).all())
    shares = [list(batches(augmentation, rank=rank, ranks=3).epoch(1)) for rank in range(3)]
    for step, batch in enumerate(whole):
        assert np.array_equal(batch.rows, np.concatenate([share[step].rows for share in shares]))


def test_a_picture_that_comes_again_is_varied_in_another_way():
    seen: dict[int, list[bytes]] = {}
    for batch in batches(Augmentation(rotation=60.0)).epoch(0):
        for row, picture in zip(batch.rows, batch.pictures, strict=True):
            seen.setdefault(int(row), []).append(picture.numpy().tobytes())
    rare = {row: pictures for row, pictures in seen.items() if row >= 30}
    assert all(len(pictures) == 3 for pictures in rare.values())
    assert all(len({*pictures}) == 3 for pictures in rare.values())


def test_without_it_every_picture_comes_once():
    rows = np.concatenate([batch.rows for batch in batches(Augmentation(), classes=None).epoch(0)])
    assert sorted(rows) == list(range(36))
