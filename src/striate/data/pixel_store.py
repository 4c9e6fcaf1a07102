"""Decoded pictures, each in its own size, in memory or in a mapped file. Row number in, pixels out.

Legend: n pictures, B batch, H W pixels, C channels (1 grey, 3 colour; values in [0, 255], `uint8` or `float32`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Pixels(Protocol):
    """Decoded pictures; `PixelStore` is one."""

    @property
    def uniform(self) -> bool: ...
    @property
    def shapes(self) -> np.ndarray: ...
    def __len__(self) -> int: ...
    def pixels(self, index: int, /) -> np.ndarray: ...
    def block(self, indices: np.ndarray, /) -> np.ndarray: ...


class PixelStore:
    """Decoded pictures, each in its own size, in memory or in a mapped file. Made by `build_store`.

    `uniform`: all have one shape and type and lie in one row, so that `block` takes a batch at once. In a uniform
    store that holds colour, grey pictures have three equal channels.
    """

    def __init__(self, segments: list[np.ndarray], places: np.ndarray, shapes: np.ndarray, deep: np.ndarray) -> None:
        self._segments = segments  # flat `uint8`
        self._places = places  # (n, 2) segment, byte
        self.deep = deep  # (n,) bool: which are `float32`
        self.shapes = shapes  # (n, 3) int64: H, W, C
        self.nbytes = int((shapes.prod(axis=1) * np.where(deep, 4, 1)).sum())
        self._all = self._in_one_row()
        self.uniform = self._all is not None

    def _in_one_row(self) -> np.ndarray | None:
        if not len(self):
            return None
        shape, deep = self.shapes[0], bool(self.deep[0])
        size = int(shape.prod()) * (4 if deep else 1)
        expected = np.column_stack([np.zeros(len(self), dtype=np.int64), size * np.arange(len(self))])
        if not ((self.shapes == shape).all() and (self.deep == deep).all() and (self._places == expected).all()):
            return None
        flat = self._segments[0][: size * len(self)].view(np.float32 if deep else np.uint8)
        return np.asarray(flat.reshape(len(self), *shape.tolist()))

    def __len__(self) -> int:
        return len(self.shapes)

    def pixels(self, index: int) -> np.ndarray:
        """Picture `index` (H, W, C), without a copy: not to be written to."""
        if self._all is not None:
            return np.asarray(self._all[index])
        segment, start = self._places[index]
        height, width, channels = self.shapes[index].tolist()
        deep = bool(self.deep[index])
        size = height * width * channels * (4 if deep else 1)
        flat: np.ndarray = self._segments[segment][start : start + size].view(np.float32 if deep else np.uint8)
        return flat.reshape(height, width, channels)

    def block(self, indices: np.ndarray) -> np.ndarray:
        """Pictures `indices` (B,) of a uniform store as one new array (B, H, W, C)."""
        if self._all is None:
            raise ValueError("the pictures of this store have different shapes or types")
        return np.asarray(self._all[indices])

    def close(self) -> None:
        """Let go of the memory, or of the mapped file, whose space the system then has back."""
        self._segments, self._all, self.uniform = [], None, False
        self.shapes, self._places, self.deep = self.shapes[:0], self._places[:0], self.deep[:0]
