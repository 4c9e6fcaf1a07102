"""The one way a whole picture is brought to a network's size, without aliasing.

(H, W, C) -> (C, h, w); `uint8` stays `uint8` (rounded by torch's native path), `float32` in [0, 255]
stays `float32`. Legend: H W pixels of the picture, h w of the result, C channels, B pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

# ITU-R BT.601 luma in 1/65536, the weights that Pillow's convert("L") uses.
LUMA = (19595, 38470, 7471)
# Before the centre is cut, a picture is at most this many inputs long (else one of 100,000,000 x 1 would take all
# memory); longer ones are squeezed to it.
LONGEST = 64


class Frame(Protocol):
    """What must be known to bring a picture to a network's size; `models.InputSpec` is one."""

    @property
    def channels(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def fit(self) -> str: ...
    @property
    def crop_share(self) -> float: ...
    @property
    def interpolation(self) -> str: ...
    @property
    def mean(self) -> tuple[float, ...]: ...


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """(..., C) with C 1 or 3 -> (..., channels): grey is repeated, colour becomes luma (BT.601)."""
    have = pixels.shape[-1]
    if have == channels:
        return pixels
    if have == 1:
        return np.repeat(pixels, channels, axis=-1)
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

    whole = np.ascontiguousarray(pixels)
    # A memory-mapped picture is read-only, and torch warns of those.
    return torch.from_numpy(whole if whole.flags.writeable else whole.copy()).permute(2, 0, 1)


def resize(picture: torch.Tensor, height: int, width: int, interpolation: str = "bilinear") -> torch.Tensor:
    """(C, H, W) `uint8` or `float32` -> (C, height, width), antialiased `interpolation` ("bilinear" or "bicubic")."""
    import torch
    from torch.nn import functional

    if picture.shape[1:] == (height, width):
        return picture
    # The batch dimension is added before the channels move to the front: only so are the strides those
    # of a channels-last batch, for which torch resizes `uint8` in place of unpacking it (0.20 against
    # 0.38 ms, 300x250x3 to 224, one core; equal bits).
    batch = picture.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
    resized = functional.interpolate(
        batch, size=(height, width), mode=interpolation, antialias=True, align_corners=False
    )[0]
    return resized if picture.dtype == torch.uint8 else resized.clamp_(0, 255)


def fitted(heights: np.ndarray, widths: np.ndarray, frame: Frame) -> tuple[np.ndarray, ...]:
    """How pictures of these sizes (B,) are fitted: the size that each is brought to, and the place of
    the network's input in it, (resized heights, resized widths, tops, lefts), each (B,) int64. Tops and
    lefts are negative where the picture is padded.
    """
    heights, widths = np.asarray(heights, dtype=np.int64), np.asarray(widths, dtype=np.int64)
    like, zero = np.ones_like(heights), np.zeros_like(heights)
    if frame.fit == "squash":
        return frame.height * like, frame.width * like, zero, zero
    ratios = frame.height / heights, frame.width / widths
    if frame.fit == "crop":
        scales = np.maximum(*ratios) / frame.crop_share
        tall, wide = np.rint(heights * scales), np.rint(widths * scales)
        resized_heights = np.clip(tall, frame.height, LONGEST * frame.height).astype(np.int64)
        resized_widths = np.clip(wide, frame.width, LONGEST * frame.width).astype(np.int64)
        return (
            resized_heights,
            resized_widths,
            (resized_heights - frame.height) // 2,
            (resized_widths - frame.width) // 2,
        )
    scales = np.minimum(*ratios)
    resized_heights = np.clip(np.rint(heights * scales).astype(np.int64), 1, frame.height)
    resized_widths = np.clip(np.rint(widths * scales).astype(np.int64), 1, frame.width)
    return (
        resized_heights,
        resized_widths,
        -((frame.height - resized_heights) // 2),
        -((frame.width - resized_widths) // 2),
    )


def as_it_is(shape: tuple[int, ...], frame: Frame) -> bool:
    """Whether `bring` leaves pictures of this shape (H, W, C) as they are."""
    height, width, channels = shape
    sizes = tuple(int(size[0]) for size in fitted(np.array([height]), np.array([width]), frame))
    return channels == frame.channels and sizes == (height, width, 0, 0) == (frame.height, frame.width, 0, 0)


def fill_of(frame: Frame) -> np.ndarray:
    """What stands where there is no picture: the mean, (channels,) float32 of whole numbers in [0, 255]."""
    return np.clip(np.rint(255 * np.asarray(frame.mean, dtype=np.float64)), 0, 255).astype(np.float32)


def bring(pixels: np.ndarray, frame: Frame) -> torch.Tensor:
    """(H, W, C) `uint8`, or `float32` in [0, 255] -> (channels, h, w) of the same type, by the frame's `fit`.

    May share the memory of `pixels` where nothing has to be done.
    """
    import torch

    picture = to_tensor(to_channels(pixels, frame.channels))
    sizes = fitted(np.array([picture.shape[1]]), np.array([picture.shape[2]]), frame)
    height, width, top, left = (int(size[0]) for size in sizes)
    resized = resize(picture, height, width, frame.interpolation)
    if frame.fit != "pad":
        return resized[:, top : top + frame.height, left : left + frame.width]
    if (height, width) == (frame.height, frame.width):
        return resized
    padded = torch.from_numpy(fill_of(frame)).to(picture.dtype).expand(frame.height, frame.width, -1).clone()
    padded[-top : height - top, -left : width - left] = resized.permute(1, 2, 0)
    return padded.permute(2, 0, 1)
