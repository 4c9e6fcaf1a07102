"""Elastic distortion (Simard, Steinkraus and Platt 2003, section 2): a smooth field of displacements on top of the
matrix of each picture.

A uniform number in [-1, 1) for every pixel and axis, smoothed by a Gaussian of deviation sigma and multiplied by alpha.
The smoothing goes around the edges, as on a torus, so that the field is equally strong everywhere; the paper does not
say what it does there. Legend: B pictures, h w of the output.
"""

from __future__ import annotations

import numpy as np

from striate.data.augmentation import Augmentation
from striate.data.draws import levels
from striate.data.resample import Frame

PURPOSE = 5  # of the draws (see `draws.uniforms`)
VALUES_AT_ONCE = 1 << 17  # complex numbers of 16 bytes, so that they stay in the cache


def displacements(augmentation: Augmentation, seed: int, epoch: int, rows: np.ndarray, frame: Frame) -> np.ndarray:
    """For `rows` (B,): (B, 2, h, w) float32, along x and y, in pixels of the output. Where the output without them
    shows the point p, it shows p plus the displacement at p. Each picture's depends on (seed, epoch, row) alone."""
    height, width = frame.height, frame.width
    # Multiplied by the transforms of both kernels, a transform is that of the smoothed field.
    smoothing = augmentation.elastic * np.outer(
        np.fft.fft(_kernel(height, augmentation.elastic_sigma)).real,
        np.fft.fft(_kernel(width, augmentation.elastic_sigma)).real,
    )
    made = np.empty((len(rows), 2, height, width), dtype=np.float32)
    step = max(1, VALUES_AT_ONCE // (height * width))
    for first in range(0, len(rows), step):
        some = slice(first, first + step)
        drawn = levels(seed, epoch, rows[some], 2 * height * width, purpose=PURPOSE)
        chance = ((drawn + 0.5) / 32768 - 1).reshape(-1, 2, height, width)
        # Both axes in one transform: x is its real part and y the imaginary one, and the smoothing mixes none of them.
        field = np.fft.ifft2(np.fft.fft2(chance[:, 0] + 1j * chance[:, 1]) * smoothing)
        made[some, 0], made[some, 1] = field.real, field.imag
    return made


def _kernel(length: int, sigma: float) -> np.ndarray:
    """The Gaussian around pixel 0 of a line (length,) that is closed to a circle; sums to 1."""
    reach = int(np.ceil(8 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = np.zeros(length)
    np.add.at(kernel, np.arange(-reach, reach + 1) % length, weights)
    made: np.ndarray = kernel / kernel.sum()
    return made
