"""Operations on the tones of pictures, as Pillow's ImageOps and ImageEnhance do them: what RandAugment and
TrivialAugment draw from, besides motions.

They work on levels of 8 bits: of deeper pictures, those that one of them falls on are rounded to levels first.
Legend: B pictures, b of them, C channels, h w pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from striate.data import colour
from striate.data.policy import OPERATIONS, TONES, Tones

LEVELS = np.arange(256)


def retone(pictures: torch.Tensor, tones: Tones) -> torch.Tensor:
    """(B, C, h, w) `uint8`, or `float32` in [0, 255], on the processor -> new ones of the same type and memory
    format."""
    made = pictures.clone(memory_format=torch.preserve_format)
    for operations, amounts in zip(tones.operations.T, tones.amounts.T, strict=True):
        for name in TONES:
            chosen = np.flatnonzero(operations == OPERATIONS.index(name))
            if len(chosen):
                some = made[chosen]
                levels = some if some.dtype == torch.uint8 else some.round().to(torch.uint8)
                made[chosen] = DOES[name](levels, amounts[chosen]).to(made.dtype)
    return made


def brightness(pictures: torch.Tensor, factors: np.ndarray) -> torch.Tensor:
    """(b, C, h, w) `uint8` times its factor (b,)."""
    return colour.change(pictures, factors, None, None, None)


def contrast(pictures: torch.Tensor, factors: np.ndarray) -> torch.Tensor:
    """The distance from the picture's mean luma times its factor (b,)."""
    return colour.change(pictures, None, factors, None, None)


def saturation(pictures: torch.Tensor, factors: np.ndarray) -> torch.Tensor:
    """The distance of each pixel from its own luma times its factor (b,)."""
    return colour.change(pictures, None, None, factors, None)


def sharpness(pictures: torch.Tensor, factors: np.ndarray) -> torch.Tensor:
    """The distance of each pixel from the mean around it, in which it counts five times, times its factor (b,); the
    rim stays."""
    values = pictures.float()
    smooth = 5 * values[:, :, 1:-1, 1:-1]
    height, width = values.shape[2:]
    for down in range(3):
        for across in range(3):
            if (down, across) != (1, 1):
                smooth += values[:, :, down : height - 2 + down, across : width - 2 + across]
    smooth = (smooth / 13).round()  # Pillow's has levels
    distance = values[:, :, 1:-1, 1:-1] - smooth
    distance *= torch.from_numpy(factors.astype(np.float32)).view(-1, 1, 1, 1)
    made = pictures.clone(memory_format=torch.preserve_format)
    made[:, :, 1:-1, 1:-1] = (smooth + distance).clamp(0, 255).round().to(torch.uint8)
    return made


def posterize(pictures: torch.Tensor, bits: np.ndarray) -> torch.Tensor:
    """The `bits` (b,) highest bits of each level stay."""
    return _looked_up(pictures, lambda number, _: LEVELS & ~((1 << (8 - int(bits[number]))) - 1))


def solarize(pictures: torch.Tensor, first: np.ndarray) -> torch.Tensor:
    """Levels from `first` (b,) on are turned into their negative."""
    return _looked_up(pictures, lambda number, _: np.where(first[number] > LEVELS, LEVELS, 255 - LEVELS))


def autocontrast(pictures: torch.Tensor, _: np.ndarray) -> torch.Tensor:
    """Each channel is stretched over all levels."""

    def table(_: int, counts: np.ndarray) -> np.ndarray:
        there = np.flatnonzero(counts)
        low, high = int(there[0]), int(there[-1])
        if high <= low:
            return LEVELS
        scale = 255.0 / (high - low)
        stretched: np.ndarray = np.clip((LEVELS * scale - low * scale).astype(np.int64), 0, 255)
        return stretched

    return _looked_up(pictures, table)


def equalize(pictures: torch.Tensor, _: np.ndarray) -> torch.Tensor:
    """The levels of each channel are spread, so that each span of them holds as many pixels."""

    def table(_: int, counts: np.ndarray) -> np.ndarray:
        there = counts[counts > 0]
        step = (int(counts.sum()) - int(there[-1])) // 255
        if len(there) <= 1 or not step:
            return LEVELS
        before = np.concatenate([[0], np.cumsum(counts)[:-1]])
        spread: np.ndarray = np.clip((step // 2 + before) // step, 0, 255)
        return spread

    return _looked_up(pictures, table)


def _looked_up(pictures: torch.Tensor, table: Callable[[int, np.ndarray], np.ndarray]) -> torch.Tensor:
    """Each level replaced by its entry in the table (256,) of its picture and channel: `table(number, counts)`, where
    `counts` (256,) says how often each level is there."""
    made = pictures.clone(memory_format=torch.preserve_format)
    for number, (picture, into) in enumerate(zip(pictures.numpy(), made.numpy(), strict=True)):
        for plane, place in zip(picture, into, strict=True):
            entries = table(number, np.bincount(plane.reshape(-1), minlength=256)).astype(np.uint8)
            place[:] = entries[plane]
    return made


DOES: dict[str, Callable[[torch.Tensor, np.ndarray], torch.Tensor]] = {
    "brightness": brightness,
    "colour": saturation,
    "contrast": contrast,
    "sharpness": sharpness,
    "posterize": posterize,
    "solarize": solarize,
    "autocontrast": autocontrast,
    "equalize": equalize,
}
