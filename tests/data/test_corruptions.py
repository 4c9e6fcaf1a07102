"""Blur against scipy, noise against its distribution, JPEG against Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from scipy.ndimage import gaussian_filter
from test_draws import raw

from striate.data.augmentation import Augmentation
from striate.data.corruptions import NOISE_PURPOSE, add_noise, blur, compress
from striate.data.drawing import Noise, draw
from striate.models.input_spec import InputSpec


def batch(count: int = 5, channels: int = 3, dtype=np.uint8, size: tuple[int, int] = (19, 26)) -> torch.Tensor:
    values = np.random.default_rng(1).uniform(0, 255, (count, *size, channels)).astype(dtype)
    return torch.from_numpy(values).permute(0, 3, 1, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [(19, 26), (3, 2)])
def test_blur_is_that_of_scipy(dtype, size) -> None:
    pictures, deviations = batch(dtype=dtype, size=size), np.array([0.0, 0.1, 0.8, 2.0, 5.5])
    made = blur(pictures, deviations)
    assert made.dtype == pictures.dtype
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(made[0], pictures[0])
    for before, after, deviation in zip(pictures.double().numpy(), made.double().numpy(), deviations, strict=True):
        expected = np.stack([gaussian_filter(plane, deviation, mode="reflect", truncate=4.0) for plane in before])
        assert np.abs(after - expected).max() < (0.5 if dtype == np.uint8 else 0.0) + 1e-3


def test_noise_is_normal_of_its_deviation_and_each_number_that_of_its_place() -> None:
    pictures = torch.full((3, 3, 40, 50), 120.0).contiguous(memory_format=torch.channels_last)
    noise = Noise(np.array([0.0, 5.0, 20.0]), 9, 1, np.array([4, 5, 8]))
    made = add_noise(pictures, noise).double().numpy() - 120
    assert (made[0] == 0).all()
    for picture, deviation in zip(made[1:], (5.0, 20.0), strict=True):
        values = picture.reshape(-1) / deviation
        assert stats.kstest(values, "norm").pvalue > 0.001
        neighbours = np.corrcoef(picture[:, :, 1:].reshape(-1), picture[:, :, :-1].reshape(-1))[0, 1]
        assert abs(neighbours) < 0.06
    hashes = raw(9, 1, 8, 3, purpose=NOISE_PURPOSE)
    first = [(hashed >> (16 * part)) & 0xFFFF for hashed in hashes for part in range(4)]
    expected = 20 * stats.norm.ppf((np.array(first) + 0.5) / 65536)
    assert np.allclose(made[2].reshape(-1)[:12], expected, atol=1e-4)


def test_noise_is_rounded_and_limited() -> None:
    pictures = batch()
    noise = Noise(np.full(5, 60.0), 0, 0, np.arange(5))
    deep = add_noise(pictures.float(), noise)
    assert deep.min() == 0
    assert deep.max() == 255
    assert (add_noise(pictures, noise).float() - deep).abs().max() <= 0.5 + 1e-4


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_that_of_pillow(channels) -> None:
    pictures, qualities = batch(channels=channels), np.array([1, 30, 75, 95, 100])
    made = compress(pictures, qualities)
    assert made.is_contiguous(memory_format=torch.channels_last)
    for before, after, quality in zip(pictures, made, qualities, strict=True):
        file = io.BytesIO()
        pixels = before.permute(1, 2, 0).numpy()
        Image.fromarray(pixels.squeeze() if channels == 1 else pixels).save(file, "JPEG", quality=int(quality))
        read = np.array(Image.open(io.BytesIO(file.getvalue()))).reshape(pixels.shape)
        assert (after.permute(1, 2, 0).numpy() == read).all()
    deep = compress(pictures.float() + 0.3, qualities)
    assert deep.dtype == torch.float32
    assert torch.equal(deep.byte(), made)


def test_draws_cover_their_ranges_and_none_depends_on_another() -> None:
    frame = InputSpec(channels=3, height=8, width=8, mean=(0.5,) * 3, deviation=(0.2,) * 3)
    rows, shapes = np.arange(4000), np.array([(8, 8, 3)] * 4000)
    drawn = draw(Augmentation(blur=3.0, noise=0.2, jpeg=40), 3, 0, rows, shapes, frame, uniform=True)
    assert drawn.blurs is not None
    assert drawn.noise is not None
    assert drawn.qualities is not None
    assert stats.kstest(drawn.blurs / 3.0, "uniform").pvalue > 0.001
    assert stats.kstest(drawn.noise.deviations / 51.0, "uniform").pvalue > 0.001
    counts = np.bincount(drawn.qualities, minlength=101)
    assert counts[:60].sum() == 0
    assert stats.chisquare(counts[60:]).pvalue > 0.001
    assert abs(np.corrcoef(drawn.blurs, drawn.noise.deviations)[0, 1]) < 0.06
    alone = draw(Augmentation(jpeg=40), 3, 0, rows, shapes, frame, uniform=True)
    assert (alone.qualities == drawn.qualities).all()
