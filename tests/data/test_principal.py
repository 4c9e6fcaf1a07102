"""AlexNet's shift of colours: axes against numpy's covariance, the shift against the paper's sum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from striate.data.augment import apply
from striate.data.augmentation import Augmentation
from striate.data.colour import tint
from striate.data.drawing import draw
from striate.data.principal import colour_axes
from striate.errors import InputError
from striate.models.input_spec import InputSpec


class Kept:
    """Decoded pictures in a list."""

    def __init__(self, pictures) -> None:
        self.list = pictures
        self.shapes = np.array([picture.shape for picture in pictures]).reshape(-1, 3)
        self.uniform = len({(picture.shape, picture.dtype) for picture in pictures}) == 1

    def __len__(self) -> int:
        return len(self.list)

    def pixels(self, index):
        return self.list[index]

    def block(self, indices):
        return np.stack([self.list[int(index)] for index in indices])


def photographs(dtype=np.uint8, ragged: bool = False) -> Kept:
    chance = np.random.default_rng(3)
    mixing = np.array([[60.0, 55.0, 50.0], [12.0, -3.0, -10.0], [2.0, -5.0, 3.0]])
    sizes = [(9, 11), (14, 5), (8, 8)] if ragged else [(9, 11)] * 3
    return Kept([(128 + chance.normal(size=(*size, 3)) @ mixing).clip(0, 255).astype(dtype) for size in sizes])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("ragged", [False, True])
def test_axes_are_eigenvectors_times_eigenvalues(dtype, ragged) -> None:
    kept = photographs(dtype, ragged)
    every = np.concatenate([one.reshape(-1, 3) for one in kept.list]).astype(np.float64) / 255
    variances, vectors = np.linalg.eigh(np.cov(every.T, bias=True))
    axes = np.array(colour_axes(kept, 3)).reshape(3, 3)
    for axis, variance, vector in zip(axes, variances[::-1], vectors.T[::-1], strict=True):
        sign = np.sign(vector[np.abs(vector).argmax()])
        assert np.allclose(axis, sign * variance * vector, rtol=1e-9, atol=1e-12)
    assert colour_axes(Kept(kept.list[::-1]), 3) == pytest.approx(colour_axes(kept, 3), rel=1e-9)
    if dtype == np.uint8:  # whole numbers are added: the order is nothing
        assert colour_axes(Kept(kept.list[::-1]), 3) == colour_axes(kept, 3)


def test_of_grey_pictures_the_axis_is_the_variance() -> None:
    kept = Kept([one[..., :1] for one in photographs().list])
    every = np.concatenate([one.reshape(-1) for one in kept.list]) / 255
    assert colour_axes(kept, 1) == pytest.approx((every.var(),))
    assert colour_axes(Kept([np.full((4, 4, 1), 9, np.uint8)]), 1) == (0.0,)


def test_a_shift_is_the_papers_sum_and_the_same_for_every_pixel() -> None:
    kept = photographs()
    axes = colour_axes(kept, 3)
    options = Augmentation(pca_colour=0.5, pca_axes=axes)
    frame = InputSpec(channels=3, height=9, width=11, mean=(0.5,) * 3, deviation=(0.2,) * 3)
    rows = np.arange(3000)
    drawn = draw(options, 0, 0, rows, np.array([(9, 11, 3)] * 3000), frame, uniform=True)
    assert drawn.tints is not None
    # [p1 p2 p3] [a1 l1, a2 l2, a3 l3]^T with a normal of deviation 0.5: its parts along the axes are those numbers.
    alphas = drawn.tints / 255 @ np.linalg.inv(np.array(axes).reshape(3, 3))
    for values in alphas.T:
        assert kstest(values / 0.5, "norm").pvalue > 0.001
    assert np.abs(np.corrcoef(alphas.T) - np.eye(3)).max() < 0.08
    block = np.stack(kept.list).astype(np.float32) * 0.2 + 100
    made = apply(block, draw(options, 0, 0, rows[:3], np.array([(9, 11, 3)] * 3), frame, uniform=True), frame)
    expected = np.clip(block + drawn.tints[:3, None, None], 0, 255)
    assert np.allclose(made.permute(0, 2, 3, 1).numpy(), expected, atol=1e-4)


def test_levels_are_rounded_and_limited() -> None:
    import torch

    pictures = torch.tensor([0, 100, 250], dtype=torch.uint8).view(1, 3, 1, 1).repeat(2, 1, 4, 5)
    made = tint(pictures, np.array([[-3.0, 0.6, 9.0], [0.4, -0.6, -1.0]]))
    assert made[:, :, 0, 0].tolist() == [[0, 101, 255], [0, 99, 249]]


def test_a_shift_without_its_axes_is_a_defect_and_odd_axes_are_refused() -> None:
    frame = InputSpec(channels=3, height=8, width=8, mean=(0.5,) * 3, deviation=(0.2,) * 3)
    with pytest.raises(ValueError, match="needs the axes of 3 channels, got 1 numbers"):
        draw(Augmentation(pca_colour=0.1, pca_axes=(0.1,)), 0, 0, np.arange(1), np.array([(8, 8, 3)]), frame)
    for odd in ((0.1, 0.2), ("a",), (float("nan"),), 3.0, None):
        with pytest.raises(InputError, match="pca_axes must hold the axes"):
            Augmentation(pca_colour=0.1, pca_axes=odd)
