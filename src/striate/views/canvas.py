"""A picture as the waves that it is made of: what changes in a dream is the strength of each wave, not each pixel.

Gradient ascent on pixels ends in noise of the highest frequencies, for these excite networks most easily. Here a wave
moves in proportion to its length, as their strengths fall off in photographs (about 1 / frequency), and colours move
along the main directions in which those of photographs vary; a sigmoid keeps the values in [0, 1].
Source: Olah, Mordvintsev, Schubert 2017, "Feature Visualization" (Distill), "Preconditioning and Parameterization".

Legend: N pictures, C channels (1 or 3), H W pixels. Waves are (N, C, H, W // 2 + 1, 2): the half of the spectrum that
says it all for a real picture, real and imaginary parts.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from striate.data.draws import uniforms

# As in the authors' program `lucid`: how strong the first waves are, and how a step on a wave shows in the picture.
FIRST_STRENGTH = 0.01
GAIN = 0.25
# Columns: the directions in which the colours of ImageNet's photographs vary, times their deviation (`lucid`).
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
# The picture of no waves is the mean of what the network knows; further out a sigmoid hardly moves.
DARKEST, BRIGHTEST = 0.05, 0.95
PURPOSE = 0xD8EA_0001


def first_waves(seed: int, rows: np.ndarray, channels: int, size: tuple[int, int]) -> Tensor:
    """Faint waves of every length, (N, C, H, W // 2 + 1, 2) float32, normally distributed; drawn from (seed, row)."""
    height, width = size
    shape = (len(rows), channels, height, width // 2 + 1)
    drawn = uniforms(seed, 0, rows, 2 * math.prod(shape[1:]), purpose=PURPOSE).reshape(*shape, 2)
    # Box and Muller 1958: two uniform numbers give two normal ones.
    radius, angle = np.sqrt(-2 * np.log1p(-drawn[..., 0])), 2 * np.pi * drawn[..., 1]
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return torch.from_numpy((FIRST_STRENGTH * normal).astype(np.float32))


def painted(waves: Tensor, size: tuple[int, int], middle: Tensor) -> Tensor:
    """The pictures (N, C, H, W) in (0, 1) that these waves make; differentiable. middle: (C,) in [0, 1], the colour of
    a picture without waves."""
    height, width = size
    strengths = torch.view_as_complex(waves) * _reach(size).to(waves.device)
    planes = torch.fft.irfft2(strengths, s=(height, width), norm="forward") * GAIN
    if planes.shape[1] == 3:
        planes = torch.einsum("ij,njhw->nihw", _colours().to(planes.device), planes)
    middle = middle.to(planes.device).clamp(DARKEST, BRIGHTEST)
    return torch.sigmoid(planes + torch.logit(middle).view(1, -1, 1, 1))


def enlarged(waves: Tensor, size: tuple[int, int], larger: tuple[int, int]) -> Tensor:
    """The waves of the same picture on more pixels: what it had stays, and the shorter waves that now fit in are 0.

    Waves are counted by cycles in the whole picture, so that their strength does not depend on its size.
    """
    (height, width), (rows, columns) = size, larger
    made = waves.new_zeros(*waves.shape[:2], rows, columns // 2 + 1, 2)
    # Without the shortest wave of an even side, which stands for two of a larger picture.
    across = (width + 1) // 2
    down, up = (height + 1) // 2, (height - 1) // 2
    made[:, :, :down, :across] = waves[:, :, :down, :across]
    if up:
        made[:, :, -up:, :across] = waves[:, :, -up:, :across]
    return made


def _reach(size: tuple[int, int]) -> Tensor:
    """How far each wave moves, (H, W // 2 + 1): its length as a share of the picture's longer side, at most 1."""
    height, width = size
    cycles = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :]) * max(size)
    return 1 / cycles.clamp_min(1.0)


def _colours() -> Tensor:
    colours = torch.tensor(COLOURS)
    longest: Tensor = colours.norm(dim=0).max()
    return colours / longest
