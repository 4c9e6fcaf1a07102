"""Whole pictures brought to a size, against Pillow, a float64 filter and the definition of each fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.resample import bring, fitted, resize, to_channels, to_tensor
from striate.models.input_spec import InputSpec


def noise(height: int, width: int, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(height * width).uniform(0, 255, (height, width, channels)).astype(dtype)


def frame(fit: str, height: int = 20, width: int = 30, **more) -> InputSpec:
    return InputSpec(channels=3, height=height, width=width, fit=fit, mean=(0.2, 0.4, 0.6), deviation=(1,) * 3, **more)


def triangle(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The antialiased bilinear filter by its definition: a triangle as wide as the step, in float64."""

    def weights(have: int, want: int) -> np.ndarray:
        step = have / want
        reach = max(step, 1.0)
        centres = (np.arange(want) + 0.5) * step
        raw = np.maximum(0, 1 - np.abs(np.arange(have) + 0.5 - centres[:, None]) / reach)
        return raw / raw.sum(axis=1, keepdims=True)

    down, across = weights(pixels.shape[0], height), weights(pixels.shape[1], width)
    return np.einsum("ij,kl,jlc->ikc", down, across, pixels.astype(np.float64))


@pytest.mark.parametrize("size", [(17, 23), (50, 60), (3, 90), (100, 100), (1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_is_a_triangle_as_wide_as_the_step(size, dtype, channels):
    pixels = noise(40, 60, channels, dtype)
    made = resize(to_tensor(pixels), *size).permute(1, 2, 0).numpy()
    assert made.dtype == dtype
    assert np.abs(made - triangle(pixels, *size)).max() <= (1.1 if dtype == np.uint8 else 5e-3)


def test_bicubic_overshoot_is_limited():
    pixels = np.zeros((8, 8, 3), dtype=np.float32)
    pixels[:, 4:] = 255
    made = resize(to_tensor(pixels), 32, 32, "bicubic")
    assert made.min() == 0
    assert made.max() == 255


def test_a_picture_of_the_size_is_not_touched():
    pixels = noise(20, 30)
    assert bring(pixels, frame("squash")).permute(1, 2, 0).numpy().tobytes() == pixels.tobytes()


def test_luma_is_pillows_and_grey_is_repeated():
    pixels = noise(30, 40)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    assert (to_channels(pixels, 1)[..., 0] == expected).all()
    deep = to_channels(pixels.astype(np.float32), 1)
    assert deep.dtype == np.float32
    assert np.abs(deep[..., 0] - expected).max() <= 0.51
    block = to_channels(pixels[None].repeat(2, 0), 1)
    assert (block[1, ..., 0] == expected).all()
    assert (to_channels(block, 3) == block).all()
    assert to_channels(block, 3).shape == (2, 30, 40, 3)
    with pytest.raises(ValueError, match="no way from 4"):
        to_channels(np.zeros((2, 2, 4), np.uint8), 3)


@pytest.mark.parametrize("size", [(40, 60), (50, 41), (10, 90), (5, 4), (1, 1), (100, 3)])
@pytest.mark.parametrize("share", [1.0, 0.8])
def test_crop_is_the_centre_of_the_picture_in_its_own_shape(size, share):
    pixels = noise(*size)
    made = bring(pixels, frame("crop", crop_share=share)).permute(1, 2, 0).numpy()
    scale = max(20 / size[0], 30 / size[1]) / share
    height, width = max(20, round(size[0] * scale)), max(30, round(size[1] * scale))
    top, left = (height - 20) // 2, (width - 30) // 2
    expected = triangle(pixels, height, width)[top : top + 20, left : left + 30]
    assert made.shape == (20, 30, 3)
    assert np.abs(made - expected).max() <= 1.1


@pytest.mark.parametrize("size", [(40, 60), (50, 41), (10, 90), (5, 4), (1, 1), (100, 3)])
def test_pad_keeps_all_of_the_picture_and_fills_with_the_mean(size):
    pixels = noise(*size)
    made = bring(pixels, frame("pad")).permute(1, 2, 0).numpy()
    scale = min(20 / size[0], 30 / size[1])
    height, width = min(20, max(1, round(size[0] * scale))), min(30, max(1, round(size[1] * scale)))
    top, left = (20 - height) // 2, (30 - width) // 2
    expected = np.full((20, 30, 3), (51.0, 102.0, 153.0))
    expected[top : top + height, left : left + width] = triangle(pixels, height, width)
    assert np.abs(made - expected).max() <= 1.1


def test_the_centre_of_a_thread_takes_little_memory():
    made = bring(noise(1, 3_000_000, 1), frame("crop"))
    assert made.shape == (3, 20, 30)


def test_a_read_only_picture_is_taken_without_a_warning():
    pixels = noise(20, 30)
    pixels.flags.writeable = False
    assert torch.equal(bring(pixels, frame("squash")), torch.from_numpy(pixels.copy()).permute(2, 0, 1))


def test_fitted_takes_many_pictures_at_once():
    heights, widths = np.array([40, 10, 20]), np.array([60, 90, 30])
    for fit in ("squash", "crop", "pad"):
        together = fitted(heights, widths, frame(fit))
        for i in range(3):
            alone = fitted(heights[i : i + 1], widths[i : i + 1], frame(fit))
            assert [int(part[i]) for part in together] == [int(part[0]) for part in alone]
