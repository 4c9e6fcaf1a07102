"""Arrays as scikit-learn knows them -> pictures as the rest of Striate knows them.

What an array means is decided once, by the array that an estimator is fitted on, and holds for every later one.
Legend: n pictures, h w pixels, c channels (1 or 3), f fields.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.errors import require

CHANNELS = (1, 3)
LONGEST_LINE = 4096  # fields


@dataclass(frozen=True, eq=False)
class Stack:
    """Pictures of one shape (n, h, w, c) in memory, as `data.pixel_store.Pixels` wants them."""

    array: np.ndarray
    uniform: bool = True

    @property
    def shapes(self) -> np.ndarray:
        """(n, 3) int64: h, w, c of each."""
        return np.tile(np.array(self.array.shape[1:], dtype=np.int64), (len(self.array), 1))

    def __len__(self) -> int:
        return len(self.array)

    def pixels(self, index: int, /) -> np.ndarray:
        """Picture `index` (h, w, c): a view."""
        pixels: np.ndarray = self.array[index]
        return pixels

    def block(self, indices: np.ndarray, /) -> np.ndarray:
        """Pictures `indices` (B,) as a new array (B, h, w, c)."""
        block: np.ndarray = self.array[indices]
        return block


@dataclass(frozen=True, eq=False, kw_only=True)
class Layout:
    """What arrays of one estimator mean. Made by `layout_of`.

    dimensions: of the arrays, 2 to 4. shape: (h, w, c) of one picture; (1, f, 1) where each row is f fields of
    numbers. factor: what numbers other than `uint8` are multiplied by to lie in [0, 255]. whole: whether
    they were whole numbers up to 255, to which fractions of 1 do not compare. means, deviations: of each
    field (f,), None for pictures.
    """

    dimensions: int
    shape: tuple[int, int, int]
    factor: float = 1.0
    whole: bool = False
    means: np.ndarray | None = None
    deviations: np.ndarray | None = None

    @property
    def line(self) -> bool:
        """Whether the arrays hold fields of numbers and no pictures."""
        return self.means is not None

    def stack(self, array: np.ndarray) -> Stack:
        """(n, ...) -> pictures `uint8`, or `float32` in [0, 255]; fields as they are many deviations from their mean.

        Raises InputError where the array is of another shape or range than the one that this layout was made of.
        """
        require(
            array.ndim == self.dimensions,
            f"X must have {self.dimensions} dimensions as in fit, got shape {array.shape}",
        )
        pictures = array.reshape(len(array), -1) if array.ndim == 2 else _with_channels(array)
        if array.ndim > 2:
            require(
                pictures.shape[1:] == self.shape,
                f"X must hold pictures of {_times(self.shape)} as in fit, got {_times(pictures.shape[1:])}",
            )
        if self.means is not None and self.deviations is not None:
            fields = (pictures - self.means) / self.deviations
            return Stack(fields.astype(np.float32).reshape(len(array), *self.shape))
        pictures = pictures.reshape(len(array), *self.shape)
        if pictures.dtype == np.uint8:
            return Stack(np.ascontiguousarray(pictures))
        low, high = _range(pictures)
        require(
            low >= 0 and high * self.factor <= 255,
            f"X must lie in [0, {255 / self.factor:g}] as in fit, got values from {low:g} to {high:g}",
        )
        require(
            not (self.whole and pictures.dtype.kind == "f" and 0 < high <= 1),
            "X must lie in [0, 255] as in fit, it lies in [0, 1]; multiply it by 255",
        )
        return Stack(np.multiply(pictures, self.factor, dtype=np.float32))


def layout_of(array: np.ndarray, image_shape: tuple[int, ...] | None) -> Layout:
    """What `array`, (n, h, w), (n, h, w, c) or (n, f), means.

    (n, f) is pictures of `image_shape` (h, w) or (h, w, c) laid out flat; where that is None, f fields of numbers,
    each brought to mean 0 and deviation 1 by its own values here. Values of pictures: `uint8`, or numbers in [0, 1]
    or [0, 255]. Raises InputError for any other.
    """
    if array.ndim == 2 and image_shape is None:
        require(
            array.shape[1] <= LONGEST_LINE,
            f"{array.shape[1]} numbers a row are more than the {LONGEST_LINE} fields that are taken; if they are the "
            "pixels of a picture, say so by image_shape=(height, width)",
        )
        means = array.mean(axis=0, dtype=np.float64)
        deviations = array.std(axis=0, dtype=np.float64)
        # A field that never changes says nothing: it stays 0 wherever it is what it was.
        deviations[deviations <= np.finfo(np.float32).eps * np.abs(means)] = 1.0
        return Layout(dimensions=2, shape=(1, array.shape[1], 1), means=means, deviations=deviations)
    if array.ndim == 2:
        assert image_shape is not None
        shape = _picture_shape(image_shape)
        require(
            math.prod(shape) == array.shape[1],
            f"image_shape {_times(shape)} is {math.prod(shape)} numbers a picture, X has {array.shape[1]}",
        )
    else:
        require(array.ndim in (3, 4), f"X must be (n, height, width[, channels]) or (n, f), got shape {array.shape}")
        shape = _picture_shape(_with_channels(array).shape[1:])
        require(
            image_shape is None or _picture_shape(image_shape) == shape,
            f"image_shape {image_shape} is not the shape {_times(shape)} of the pictures; leave it away",
        )
    if array.dtype == np.uint8:
        return Layout(dimensions=array.ndim, shape=shape, whole=True)
    low, high = _range(array)
    require(low >= 0 and high <= 255, f"pictures must lie in [0, 1] or [0, 255], X goes from {low:g} to {high:g}")
    whole = array.dtype.kind in "iu" and high > 1
    return Layout(dimensions=array.ndim, shape=shape, factor=255.0 if high <= 1 else 1.0, whole=whole)


def _with_channels(array: np.ndarray) -> np.ndarray:
    return array[..., None] if array.ndim == 3 else array


def _picture_shape(shape: Any) -> tuple[int, int, int]:
    """(h, w, c). Raises InputError."""
    require(
        isinstance(shape, Sequence) and all(isinstance(one, numbers.Real) and float(one).is_integer() for one in shape),
        f"image_shape must be (height, width) or (height, width, 1 or 3), got {shape!r:.80}",
    )
    sizes = (*shape, 1) if len(shape) == 2 else tuple(shape)
    first = len(sizes) == 3 and sizes[0] in CHANNELS and sizes[-1] not in CHANNELS
    require(
        len(sizes) == 3 and min(sizes) >= 1 and sizes[-1] in CHANNELS,
        f"pictures must be (height, width) or (height, width, 1 or 3), got {tuple(shape)}"
        + ("; channels come last: X.transpose(0, 2, 3, 1)" if first else ""),
    )
    height, width, channels = (int(size) for size in sizes)
    return height, width, channels


def _range(array: np.ndarray) -> tuple[float, float]:
    return float(array.min()), float(array.max())


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
