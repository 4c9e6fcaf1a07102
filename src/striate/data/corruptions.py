"""What happens to photographs on their way: a lens out of focus, a noisy sensor, a file that lost detail.

Done in this order, to what the network would see. Legend: B pictures, b of them, C channels, h w pixels.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import torch

from striate.data.drawing import Noise
from striate.data.draws import levels
from striate.data.placement import reflected_indices

NOISE_PURPOSE = 6  # of the draws (see `draws.uniforms`)
TRUNCATE = 4.0  # deviations to which a Gaussian reaches, as in scipy.ndimage
VALUES_AT_ONCE = 1 << 16  # worked on at once, so that they stay in the cache
VALUES_AT_ONCE_ACCELERATOR = 1 << 25


def blur(pictures: torch.Tensor, deviations: np.ndarray) -> torch.Tensor:
    """(B, C, h, w) `uint8`, or `float32` in [0, 255], on any device, each smoothed by a Gaussian of its deviation (B,)
    in pixels -> new ones of the same type and memory format.

    The kernel ends four deviations from its centre, and beyond its edges a picture is mirrored (d c b a | a b c d):
    `scipy.ndimage.gaussian_filter` with its defaults.
    """
    made = torch.empty_like(pictures)
    for some in _parts(pictures):
        weights = _weights(deviations[some])
        values = pictures[some].float().contiguous()
        for axis in (2, 3):
            values = _smoothed(values, weights, axis)
        made[some] = _rounded(values, pictures.dtype)
    return made


def _weights(deviations: np.ndarray) -> np.ndarray:
    """Of each Gaussian its middle and one half, (b, 1 + reach) float32, 0 where it has ended."""
    reaches = np.floor(TRUNCATE * deviations + 0.5).astype(np.int64)
    places = np.arange(int(reaches.max(initial=0)) + 1)
    weights = np.exp(-0.5 * (places / np.maximum(deviations, 1e-6)[:, None]) ** 2)
    weights = np.where(places <= reaches[:, None], weights, 0.0)
    sums = weights[:, 0] + 2 * weights[:, 1:].sum(axis=1)
    made: np.ndarray = (weights / sums[:, None]).astype(np.float32)
    return made


def _smoothed(values: torch.Tensor, weights: np.ndarray, axis: int) -> torch.Tensor:
    """(b, C, h, w) `float32` along one axis, by the weights (b, 1 + reach) of their kernels."""
    length, reach = values.shape[axis], weights.shape[1] - 1
    places = reflected_indices(np.arange(-reach, length + reach), length)
    wide = values.index_select(axis, torch.from_numpy(places).to(values.device))
    each = torch.from_numpy(weights).to(values.device)
    made = values * each[:, 0, None, None, None]
    # One product and one sum at a time: the same bits however many pictures there are.
    for step in range(1, reach + 1):
        pair = wide.narrow(axis, reach - step, length) + wide.narrow(axis, reach + step, length)
        made += pair.mul_(each[:, step, None, None, None])
    return made


def add_noise(pictures: torch.Tensor, noise: Noise) -> torch.Tensor:
    """(B, C, h, w) `uint8`, or `float32` in [0, 255], on any device -> new ones of the same type and memory format.

    A normal number for each value, out of 65,536 that lie at equal steps of probability; the largest is 4.3.
    """
    made = torch.empty_like(pictures)
    each = int(np.prod(pictures.shape[1:]))
    for some in _parts(pictures):
        chance = levels(noise.seed, noise.epoch, noise.rows[some], each, purpose=NOISE_PURPOSE)
        scaled = _normal()[chance].reshape(-1, *pictures.shape[1:])
        scaled *= noise.deviations[some].astype(np.float32)[:, None, None, None]
        values = pictures[some].float() + torch.from_numpy(scaled).to(pictures.device)
        made[some] = _rounded(values, pictures.dtype)
    return made


@cache
def _normal() -> np.ndarray:
    """(65536,) float32: the values of the normal distribution at the middle of equal steps of probability."""
    from scipy.special import ndtri

    made: np.ndarray = ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float32)
    return made


def compress(pictures: torch.Tensor, qualities: np.ndarray) -> torch.Tensor:
    """(B, C, h, w) `uint8`, or `float32` in [0, 255], C 1 or 3, on the processor, each written as a JPEG of its quality
    (B,) and read again, by Pillow -> new ones of the same type and memory format.

    Colours are kept at half the size in both directions, as JPEGs of cameras do. Deeper pictures are rounded to 8 bits.
    """
    from PIL import Image

    made = torch.empty_like(pictures)
    for number, (picture, quality) in enumerate(zip(pictures, qualities.tolist(), strict=True)):
        pixels = _rounded(picture.float(), torch.uint8).permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)).save(
            file, "JPEG", quality=quality, subsampling="4:2:0"
        )
        with Image.open(file) as opened:
            read = np.array(opened).reshape(pixels.shape)
        made[number] = torch.from_numpy(read).permute(2, 0, 1).to(made.dtype)
    return made


def _parts(pictures: torch.Tensor) -> list[slice]:
    """Which pictures are worked on at once."""
    at_once = VALUES_AT_ONCE if pictures.device.type == "cpu" else VALUES_AT_ONCE_ACCELERATOR
    step = max(1, at_once // max(1, pictures[:1].numel()))
    return [slice(first, first + step) for first in range(0, len(pictures), step)]


def _rounded(values: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """Limited to [0, 255], and rounded where they become `uint8`."""
    if kind == torch.uint8:
        values = values + 0.5  # then cut off
    return values.clamp(0, 255).to(kind)
