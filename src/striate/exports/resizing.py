"""torch's own resize of whole numbers as two matrix products, so that any runtime gives the same bits.

torch brings `uint8` pictures to a size with an antialiased filter whose weights are whole numbers, columns first, then
rows, each rounded to 8 bits. The same weights are worked out here in float64 out of tensors, sizes too, so that they
become a part of an exported graph; every product and sum is a whole number below 2^53, hence exact in any order.

Source: `aten/src/ATen/native/cpu/UpSampleKernel.cpp`, after Pillow's `Resample.c`. Legend: `have` pixels along a side,
`whole` pixels that they become, `count` of these, from number `first` on, that are wanted. All sizes are tensors of no
axes, or numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Pixels of the picture on either side that a filter takes in, where the picture is enlarged.
HALF_WIDTHS = {"bilinear": 1, "bicubic": 2}
MOST_BITS = 22  # of a weight's fraction
LARGEST_WEIGHT = 1 << 15  # weights are 16-bit numbers with a sign
LEVELS = 255
CUBIC = -0.5  # Keys 1981, as Pillow has it


def filtered(interpolation: str, distance: Tensor) -> Tensor:
    """The weight, before it is scaled, of a pixel at this distance from the centre, in units of the filter's step."""
    away = distance.abs()
    if interpolation == "bilinear":
        return (1 - away).clamp(min=0)
    near = ((CUBIC + 2) * away - (CUBIC + 3)) * away * away + 1
    far = ((CUBIC * away - 5 * CUBIC) * away + 8 * CUBIC) * away - 4 * CUBIC
    return torch.where(away < 1, near, torch.where(away < 2, far, torch.zeros_like(away)))


def matrix(
    pixels: Tensor, whole: Tensor | float, first: Tensor | float, count: int, interpolation: str, most: int | None
) -> tuple[Tensor, Tensor]:
    """Whole-number weights (count, have), and the number that they sum to (no axes), a power of two; all float64.

    pixels: 0, 1, ... have - 1, float64. Rows of numbers outside of [0, whole) are zero. most: how many pixels there may
    be in all, where not all of them are wanted; the largest weight of all decides how finely weights are rounded.
    """
    step = (pixels[-1] + 1) / whole
    numbers = torch.arange(count, dtype=torch.float64) + first
    centres = step * (numbers + 0.5)
    raw = filtered(interpolation, (pixels[None, :] - centres[:, None] + 0.5) * (1 / step.clamp(min=1)))
    there = (numbers >= 0) & (numbers < whole)
    shares = torch.where(there[:, None], raw / raw.sum(dim=1, keepdim=True), torch.zeros_like(raw))
    largest = shares.max() if most is None else _largest_share(pixels, whole, step, count, most, interpolation)
    unit = _unit(largest)
    weights = (shares.abs() * unit + 0.5).floor()
    return torch.where(shares < 0, -weights, weights), unit


def applied(sums: Tensor, unit: Tensor) -> Tensor:
    """Sums of pixels times weights -> levels in [0, 255], rounded as torch rounds them."""
    return ((sums + unit / 2) / unit).floor().clamp(0, LEVELS)


def _unit(largest: Tensor) -> Tensor:
    """What a weight of one becomes: the smallest power of two, up to 2^22, with which the largest weight would need 16
    bits if it were doubled."""
    powers = 2.0 ** torch.arange(MOST_BITS, dtype=torch.float64)
    fits = (0.5 + largest * 2 * powers).floor() < LARGEST_WEIGHT
    # A sum of powers up to one of them is the next one, less one.
    return 1 + torch.where(fits, powers, torch.zeros_like(powers)).sum()


def _largest_share(
    pixels: Tensor, whole: Tensor | float, step: Tensor, count: int, most: int, interpolation: str
) -> Tensor:
    """The largest weight of any of the `whole` pixels, most of which are never looked at: `whole` >= count."""
    half = HALF_WIDTHS[interpolation]
    reach = step.clamp(min=1)
    centres = step * (torch.arange(most, dtype=torch.float64) + 0.5)
    begins = (centres - half * reach + 0.5).floor().clamp(min=0)
    # As many pixels as a filter can take in, since step <= have / count.
    window = torch.arange(2 * half * (pixels.shape[0] // count + 1) + 1, dtype=torch.float64)
    taken = begins[:, None] + window[None, :]
    raw = filtered(interpolation, (taken - centres[:, None] + 0.5) * (1 / reach))
    raw = torch.where(taken <= pixels[-1], raw, torch.zeros_like(raw))
    shares = raw.amax(dim=1) / raw.sum(dim=1)
    return torch.where(torch.arange(most, dtype=torch.float64) < whole, shares, torch.zeros_like(shares)).max()
