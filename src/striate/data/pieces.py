"""All pixels of some pictures, a few millions at once, for sums over every one of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.data.pixel_store import Pixels
from striate.data.resample import to_channels

VALUES_AT_ONCE = 1 << 22


def pieces(pictures: Pixels, channels: int) -> Iterator[np.ndarray]:
    """The pixels of all pictures as (n, channels) arrays, `uint8`, or `float32` in [0, 255]."""
    if pictures.uniform and len(pictures):
        each = max(1, int(np.prod(pictures.shapes[0])))
        step = max(1, VALUES_AT_ONCE // each)
        for start in range(0, len(pictures), step):
            block = pictures.block(np.arange(start, min(start + step, len(pictures))))
            yield to_channels(block, channels).reshape(-1, channels)
    else:
        for index in range(len(pictures)):
            yield to_channels(pictures.pixels(index), channels).reshape(-1, channels)
