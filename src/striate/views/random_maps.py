"""Random maps that are as smooth as a given one: what a map has to be better than. (H, W) -> (H, W).

A random map of single pixels would be too weak an opponent of a map of soft blobs, and the other way round: deletion
and insertion depend on how smooth a map is, whatever it marks. Smoothness is one number, in pixels: the deviation of a
map over the size of its slopes, which for blurred white noise grows with the blur (Rice 1944 for one dimension).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from striate.data.draws import uniforms
from striate.views.blur import weights

PURPOSE = 0x7A11D0  # of the draws, so that no other part of Striate has the same numbers
NOISE = 0.5  # smoothness of white noise: neighbours have nothing in common


def smoothness(importance: Tensor) -> float:
    """In pixels, from 0.5 (white noise, and a map without any differences) to a quarter of the shorter side."""
    values = importance.detach().double()
    largest = max(NOISE, min(values.shape) / 4)
    slopes = sum(float(values.diff(dim=axis).square().mean()) for axis in (0, 1) if values.shape[axis] > 1)
    spread = float(values.var(correction=0))
    if slopes <= 0 or spread <= 0:
        return NOISE
    return min(max(math.sqrt(spread / slopes), NOISE), largest)


def random_map(height: int, width: int, smooth: float, *, seed: int, number: int) -> Tensor:
    """Blurred white noise (height, width) float32 of this `smoothness`; a function of (seed, number) and the rest."""
    rows = np.arange(height) + number * height
    noise = torch.from_numpy(uniforms(seed, 0, rows, width, purpose=PURPOSE)).float() - 0.5
    deviation = _blur_for(smooth)
    down, across = (_even(weights(side, deviation)) for side in (height, width))
    made: Tensor = down @ noise @ across.T
    return made


def _blur_for(smooth: float) -> float:
    """The deviation of the blur that gives white noise this smoothness.

    Neighbours then correlate by exp(-1 / (4 deviation^2)), and a slope has a variance of 2 (1 - correlation).
    """
    correlation = 1 - NOISE**2 / smooth**2
    return 0.0 if correlation <= 0 else math.sqrt(-1 / (4 * math.log(correlation)))


def _even(lines: Tensor) -> Tensor:
    """The same with lines of length 1: else the values would spread more at the edges, and all maxima lie there."""
    even: Tensor = lines / lines.norm(dim=1, keepdim=True)
    return even
