"""Arrays in memory: which shapes, types and labels are taken, and how values are scaled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_sources import refused

from striate.data.sources import open_dataset

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)
LABELS = [0, 1, 2, 0, 1, 2]


def test_a_pair():
    samples = open_dataset((PICTURES, LABELS))
    assert samples.class_names == ("0", "1", "2")
    assert samples.targets.tolist() == LABELS
    assert samples.names[:2] == ("picture#0", "picture#1")
    assert samples.how == "arrays: 3 classes, 6 pictures"
    assert samples.source == "arrays"
    assert set(samples.splits.tolist()) == {""}
    for row in range(6):
        np.testing.assert_array_equal(samples.pictures.load(row), PICTURES[row])
    assert np.shares_memory(samples.pictures.load(0), PICTURES)


def test_splits_of_different_sizes():
    colour = np.zeros((2, 7, 8, 3), np.uint8)
    samples = open_dataset({"train": (PICTURES, LABELS), "Val": (colour, [2, 1]), "test": (colour + 1, [0, 0])})
    assert samples.splits.tolist() == ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    assert samples.pictures.load(5).shape == (4, 5)
    assert samples.pictures.load(6).shape == (7, 8, 3)
    assert samples.pictures.load(9).max() == 1
    assert samples.names[-1] == "test#1"


@pytest.mark.parametrize(
    ("pictures", "expected", "said"),
    [
        (PICTURES / 255, PICTURES.astype(np.float32), "floats in [0, 1] multiplied by 255"),
        (PICTURES.astype(np.float32), PICTURES.astype(np.float32), "floats taken as 0 to 255"),
        (PICTURES.astype(np.int64), PICTURES, "int64 values taken as 0 to 255"),
        (PICTURES[..., None], PICTURES[..., None], ""),
        (PICTURES.tolist(), PICTURES, "int64 values taken as 0 to 255"),
    ],
)
def test_types(pictures, expected, said):
    samples = open_dataset((pictures, LABELS))
    got = np.stack([samples.pictures.load(row) for row in range(6)])
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert said in samples.how


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["bee", "ant", "bee", "ant", "ant", "ant"]), ("ant", "bee")),
        (np.array(["b10", "b2", "b2", "b2", "b2", "b2"], dtype=object), ("b2", "b10")),
        (np.array([1.0, 2.0, 1.0, 1.0, 1.0, 1.0]), ("1", "2")),
        (np.array([True, False] * 3), ("False", "True")),
        (np.array([10, 9, 10, 9, 10, 9], np.uint8), ("9", "10")),
    ],
)
def test_labels(labels, names):
    assert open_dataset((PICTURES, labels)).class_names == names


WRONG = [
    ((PICTURES, LABELS[:5]), "6 pictures, but 5 labels"),
    ((PICTURES,), "a pair (pictures, labels)"),
    ((PICTURES, LABELS, LABELS), "a pair (pictures, labels)"),
    ({}, "an empty mapping"),
    ({"trian": (PICTURES, LABELS)}, "no split 'trian'; did you mean 'train'?"),
    ({"train": PICTURES}, "train: arrays come as a pair"),
    ({"val": (PICTURES, LABELS), "valid": (PICTURES, LABELS)}, "the same split"),
    ({"train": (PICTURES, LABELS), "test": (PICTURES, [0, 1, 2, 3, 4, 5])}, "no training picture has: '3', '4', '5'"),
    ((PICTURES[0], LABELS), "shape (N, H, W)"),
    ((np.zeros((6, 3, 4, 5), np.uint8), LABELS), "move the channels to the end"),
    ((np.zeros((6, 4, 5, 4), np.uint8), LABELS), "1 or 3 channels"),
    ((np.zeros((0, 4, 5), np.uint8), []), "empty"),
    ((np.zeros((6, 4, 0), np.uint8), LABELS), "empty"),
    ((PICTURES.astype(object), LABELS), "an array of objects"),
    (([PICTURES[0], PICTURES[1, :2]], [0, 1]), "one size"),
    ((PICTURES.astype(complex), LABELS), "uint8 or floats are needed"),
    ((PICTURES > 3, LABELS), "uint8 or floats are needed, got bool"),
    ((PICTURES - 300.0, LABELS), "values in [0, 255] or [0, 1]"),
    ((np.full((6, 2, 2), np.nan), LABELS), "values in [0, 255] or [0, 1]"),
    ((np.full((6, 2, 2), np.inf), LABELS), "values in [0, 255] or [0, 1]"),
    ((np.full((6, 2, 2), 256), LABELS), "got 256 to 256"),
    ((PICTURES, [0.0] * 5 + [np.nan]), "numbers with a fraction, or NaN"),
    ((PICTURES, [0.5] * 5 + [np.inf]), "label 5: a float in 'number' is too large a number"),
    ((PICTURES, np.array(["a"] * 5 + [None], dtype=object)), "label 5 is None"),
    ((PICTURES, ["a"] * 5 + [""]), "label 5 is"),
    ((PICTURES, np.zeros((6, 2, 2))), "one label a picture"),
    ((PICTURES, np.zeros((6, 0))), "one label a picture"),
    ((PICTURES, [[0], [1, 2]]), "labels: "),
    ((torch.zeros(6, 4, 5).to_sparse(), LABELS), "a tensor of which no array can be made"),
    ((torch.zeros(6, 4, 5, device="meta"), LABELS), "a tensor of which no array can be made"),
]


@pytest.mark.parametrize(("source", "said"), WRONG, ids=[said for _, said in WRONG])
def test_wrong_arrays(source, said):
    assert said in refused(source)


@pytest.mark.parametrize(
    ("labels", "task", "names", "targets"),
    [
        ([0.5, 1.5, 2, 3, 4, 5], "regression", ("number",), [[0.5], [1.5], [2], [3], [4], [5]]),
        (np.eye(6)[:, :2] + np.eye(6)[:, 1:3], "multilabel", ("0", "1"), [[1, 0], [1, 1], [0, 1]] + [[0, 0]] * 3),
        (np.arange(12).reshape(6, 2) / 2, "regression", ("0", "1"), (np.arange(12).reshape(6, 2) / 2).tolist()),
        ([[0.25, 0.75]] * 6, "classification", ("0", "1"), [[0.25, 0.75]] * 6),
        (np.array([[2], [1], [0]] * 2), "classification", ("0", "1", "2"), [2, 1, 0] * 2),
    ],
)
def test_labels_numbers_and_shares(labels, task, names, targets):
    samples = open_dataset((PICTURES, labels))
    assert (samples.task, samples.class_names) == (task, names)
    assert samples.targets.tolist() == targets


def test_what_labels_are_can_be_said():
    numbers = open_dataset((PICTURES, [3, 1, 2, 3, 1, 2]), task="regression")
    assert numbers.targets.tolist() == [[3], [1], [2], [3], [1], [2]]
    assert "numbers with a fraction, or NaN" in refused((PICTURES, [0.5] * 6), task="classification")
    assert "labels: label 1: 'b' in 'number' is no number" in refused((PICTURES, ["1", "b"] * 3), task="regression")
    assert "labels: no column 'a'; known: number" in refused((PICTURES, LABELS), targets="a")
    some = open_dataset((PICTURES, np.arange(18).reshape(6, 3) / 2), targets="2,0")
    assert (some.class_names, some.targets[1].tolist()) == (("2", "0"), [2.5, 1.5])
    left = open_dataset((PICTURES, [0.5, np.nan, 1, 2, 3, 4])).left_out
    assert [(one.name, one.reason) for one in left] == [("picture#1", "no number in 'number'")]
    several = {"train": (PICTURES, np.eye(6)), "test": (PICTURES, LABELS)}
    assert "other labels for each picture than in train: labels" in refused(several)


def test_tensors_are_arrays():
    samples = open_dataset((torch.from_numpy(PICTURES), torch.tensor(LABELS)))
    np.testing.assert_array_equal(samples.pictures.load(3), PICTURES[3])


@pytest.mark.parametrize("kind", ["uint8", "float32", "bfloat16"])
def test_tensors_with_channels_in_front(kind):
    colour = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8) // 2 * 2
    tensor = torch.from_numpy(colour).permute(0, 3, 1, 2).to(getattr(torch, kind)).requires_grad_(kind != "uint8")
    samples = open_dataset((tensor, torch.tensor(LABELS)))
    np.testing.assert_array_equal(samples.pictures.load(3), colour[3])
    assert "channels, which come first in a tensor, moved to the end" in samples.how
    last = open_dataset((torch.from_numpy(colour), torch.tensor(LABELS)))
    np.testing.assert_array_equal(last.pictures.load(3), colour[3])
    assert "moved" not in last.how
