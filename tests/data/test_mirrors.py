"""Whether mirrors keep their label: pictures whose answer is known, made and real."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from striate.data.decode import decode
from striate.data.mirrors import LARGEST_SAMPLE, LOWEST_RATIO_GREY, gradient_features, mirror_evidence, sample_rows
from striate.data.samples import TRAIN
from striate.data.sources import open_dataset


def box(kind: str) -> np.ndarray:
    """(8, 8): upright, level, cross and ring are their own mirror images; left and right are each other's, but look
    the same upside down; of up and down it is the other way round."""
    shape = np.zeros((8, 8))
    if kind in ("upright", "cross"):
        shape[:, 3:5] = 150
    if kind in ("level", "cross"):
        shape[3:5] = 150
    if kind == "ring":
        shape[[0, 7]] = shape[:, [0, 7]] = 150
    if kind in ("left", "right", "up", "down"):
        for row in range(8):
            shape[row, abs(2 * row - 7) : abs(2 * row - 7) + 2] = 150
    turned = {"right": shape[:, ::-1], "up": shape.T, "down": shape.T[::-1]}
    return turned.get(kind, shape)


SYMMETRIC = ("upright", "level", "cross", "ring")
HANDED = ("left", "right")


def shapes(kinds: tuple[str, ...], count: int, channels: int = 1) -> tuple[torch.Tensor, np.ndarray]:
    """Pictures (count, channels, 16, 16) with one of the shapes in noise, near the middle."""
    rng = np.random.default_rng(0)
    targets = rng.permutation(np.arange(count) % len(kinds))  # folds go by order, and must not hold whole classes
    pictures = rng.uniform(0, 60, (count, channels, 16, 16))
    for picture, target in zip(pictures, targets, strict=True):
        row, column = rng.integers(3, 6, 2)
        picture[:, row : row + 8, column : column + 8] += box(kinds[target])
    return torch.from_numpy(pictures).float(), targets


def test_digits_are_not_mirrored():
    digits = load_digits()
    pictures = torch.from_numpy(digits.images).float()[:900, None] * 16
    evidence = mirror_evidence(pictures, digits.target[:900], grey=True)
    assert not evidence.harmless
    assert evidence.pictures == 900


@pytest.mark.parametrize(("channels", "grey"), [(1, True), (3, False)])
@pytest.mark.parametrize("kinds", [SYMMETRIC, ("up", "down")])
def test_shapes_that_are_their_own_mirrors_are(channels, grey, kinds):
    pictures, targets = shapes(kinds, 300, channels)
    evidence = mirror_evidence(pictures, targets, grey=grey)
    assert evidence.harmless
    assert evidence.ratio > 0.8


@pytest.mark.parametrize(("channels", "grey"), [(1, True), (3, False)])
def test_shapes_that_are_each_others_mirrors_are_not(channels, grey):
    pictures, targets = shapes(HANDED, 400, channels)
    evidence = mirror_evidence(pictures, targets, grey=grey)
    assert not evidence.harmless
    assert evidence.ratio < 0.3
    # Two of six classes are enough, though most mirrors are still answered rightly.
    pictures, targets = shapes((*SYMMETRIC, *HANDED), 600, channels)
    evidence = mirror_evidence(pictures, targets, grey=grey)
    assert not evidence.harmless
    assert evidence.ratio > LOWEST_RATIO_GREY


@pytest.mark.parametrize(("number", "channels", "grey"), [(12, 3, False), (99, 1, True), (5, 3, False), (4, 1, True)])
@pytest.mark.parametrize("kinds", [SYMMETRIC, HANDED])
def test_few_pictures_prove_nothing_colour_is_mirrored_grey_is_not(number, channels, grey, kinds):
    pictures, targets = shapes(kinds, number, channels)
    assert mirror_evidence(pictures, targets, grey=grey).harmless is not grey


@pytest.mark.parametrize("side", [(1, 1), (4, 1), (1, 4), (2, 2), (3, 50)])
@pytest.mark.parametrize("values", ["noise", "equal"])
def test_odd_pictures_are_answered_with_numbers(side, values):
    pictures = torch.full((30, 3, *side), 9.0)
    if values == "noise":
        pictures = 255 * torch.rand(pictures.shape, generator=torch.Generator().manual_seed(0))
    evidence = mirror_evidence(pictures, np.arange(30) % 2, grey=False)
    assert np.isfinite([evidence.t, evidence.ratio]).all()


def test_a_class_of_one_picture_and_numbers_with_gaps_do_no_harm():
    pictures, targets = shapes(SYMMETRIC, 200)
    targets = targets * 7 + 3
    targets[0] = 99
    assert mirror_evidence(pictures, targets, grey=True).harmless


def test_features_follow_the_mirror():
    pictures, _ = shapes(HANDED, 6)
    plain, mirrored = gradient_features(pictures), gradient_features(pictures.flip(-1))
    # Cells change sides, directions turn: angle a becomes pi - a, of eight 0..7: 4 - a.
    plain, mirrored = (one.view(6, 8, 7, 7) for one in (plain, mirrored))
    turned = plain[:, [(4 - a) % 8 for a in range(8)]].flip(-1)
    assert torch.allclose(mirrored, turned, atol=1e-4)
    # Brightness and contrast of the whole picture hardly matter.
    assert torch.allclose(gradient_features(0.5 * pictures + 40), gradient_features(pictures), atol=1e-3)


def test_the_sample_is_drawn_by_the_seed_without_repetition():
    rows = sample_rows(5000, 3)
    assert len(rows) == len(set(rows.tolist())) == LARGEST_SAMPLE
    assert rows.max() < 5000
    assert np.array_equal(rows, sample_rows(5000, 3))
    assert not np.array_equal(rows, sample_rows(5000, 4))
    assert sorted(sample_rows(7, 0).tolist()) == list(range(7))


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "grey", "harmless"), [("mnist", True, False), ("fashion-mnist", True, True), ("cifar10-jpeg", False, True)]
)
def test_real_sets(shared_data, name, grey, harmless):
    samples = open_dataset(shared_data / name)
    rows = samples.rows(TRAIN)
    rows = np.sort(rows[sample_rows(len(rows), 0)[:1000]])
    loaded = [samples.pictures.load(int(samples.index[row])) for row in rows]
    pixels = [one if isinstance(one, np.ndarray) else decode(one) for one in loaded]
    pixels = [np.atleast_3d(one) for one in pixels]
    channels = max(one.shape[2] for one in pixels)
    pictures = np.stack([np.broadcast_to(one, (*one.shape[:2], channels)) for one in pixels])
    tensor = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    assert mirror_evidence(tensor, samples.targets[rows], grey=grey).harmless is harmless
