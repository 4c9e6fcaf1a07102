"""Whether mirrors keep their label: pictures whose answer is known, made and real."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from striate.data.decode import decode
from striate.data.mirrors import LARGEST_SAMPLE, gradient_features, mirror_evidence, sample_rows
from striate.data.samples import TRAIN
from striate.data.sources import open_dataset


def shapes(kind: str, count: int, channels: int = 1, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Pictures (count, channels, 16, 16) of four classes: upright, level, cross, ring (each its own mirror image), or
    four corners of an arrow's head, of which two are the mirror images of the other two."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 4
    pictures = rng.uniform(0, 60, (count, channels, 16, 16))
    for picture, target in zip(pictures, targets, strict=True):
        row, column = rng.integers(3, 6, 2)
        box = picture[:, row : row + 8, column : column + 8]
        if kind == "symmetric":
            if target in (0, 2):
                box[:, :, 3:5] += 150
            if target in (1, 2):
                box[:, 3:5] += 150
            if target == 3:
                box[:, [0, 7]] += 150
                box[:, 1:7, [0, 7]] += 150
        else:
            edge = np.arange(8)
            if target in (0, 1):
                box[:, edge, edge] += 150
            else:
                box[:, edge, 7 - edge] += 150
            box[:, 0 if target in (0, 2) else 7] += 150
    return torch.from_numpy(pictures).float(), targets


def test_digits_are_not_mirrored():
    digits = load_digits()
    pictures = torch.from_numpy(digits.images).float()[:900, None] * 16
    evidence = mirror_evidence(pictures, digits.target[:900], grey=True)
    assert not evidence.harmless
    assert evidence.pictures == 900


@pytest.mark.parametrize(("channels", "grey"), [(1, True), (3, False)])
def test_shapes_that_are_their_own_mirrors_are(channels, grey):
    pictures, targets = shapes("symmetric", 300, channels)
    evidence = mirror_evidence(pictures, targets, grey=grey)
    assert evidence.harmless
    assert evidence.ratio > 0.8


@pytest.mark.parametrize(("channels", "grey"), [(1, True), (3, False)])
def test_shapes_that_are_each_others_mirrors_are_not(channels, grey):
    pictures, targets = shapes("handed", 400, channels)
    evidence = mirror_evidence(pictures, targets, grey=grey)
    assert not evidence.harmless
    assert evidence.t < -4
    assert evidence.ratio < 0.3


@pytest.mark.parametrize(("number", "channels", "grey"), [(12, 3, False), (99, 1, True), (5, 3, False), (4, 1, True)])
@pytest.mark.parametrize("kind", ["symmetric", "handed"])
def test_few_pictures_prove_nothing_colour_is_mirrored_grey_is_not(number, channels, grey, kind):
    pictures, targets = shapes(kind, number, channels)
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
    pictures, targets = shapes("symmetric", 200)
    targets = targets * 7 + 3
    targets[0] = 99
    assert mirror_evidence(pictures, targets, grey=True).harmless


def test_features_follow_the_mirror():
    pictures, _ = shapes("handed", 6)
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
