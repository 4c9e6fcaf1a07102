"""The one way a whole picture is brought to another size, without aliasing.

(H, W, C) -> (C, h, w); `uint8` stays `uint8` (rounded by torch's native path), `float32` in [0, 255]
stays `float32`. Legend: H W pixels of the picture, h w of the result, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

# ITU-R BT.601 luma in 1/65536, the weights that Pillow's convert("L") uses.
LUMA = (19595, 38470, 7471)


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, C) with C 1 or 3 -> (H, W, channels): grey is repeated, colour becomes luma (BT.601)."""
    have = pixels.shape[2]
    if have == channels:
        return pixels
    if have == 1:
        return np.repeat(pixels, channels, axis=2)
    if channels != 1 or have != 3:
        raise ValueError(f"no way from {have} to {channels} channels")
    red, green, blue = (pixels[..., i].astype(np.float64 if pixels.dtype == np.float32 else np.int64) for i in range(3))
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    if pixels.dtype == np.uint8:
        return ((luma.astype(np.int64) + 0x8000) >> 16).astype(np.uint8)[..., None]
    return (luma / 65536).astype(np.float32)[..., None]


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """(H, W, C) array -> (C, H, W) tensor that shares its memory (channels last in memory)."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)


def resize(picture: torch.Tensor, height: int, width: int, interpolation: str = "bilinear") -> torch.Tensor:
    """(C, H, W) `uint8` or `float32` -> (C, height, width), antialiased `interpolation` ("bilinear" or "bicubic")."""
    import torch
    from torch.nn import functional

    if picture.shape[1:] == (height, width):
        return picture
    resized = functional.interpolate(
        picture[None], size=(height, width), mode=interpolation, antialias=True, align_corners=False
    )[0]
    return resized if picture.dtype == torch.uint8 else resized.clamp_(0, 255)
