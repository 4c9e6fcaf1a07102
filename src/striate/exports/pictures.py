"""Pictures that an exported file is tried on: of sizes that a resize is easily wrong for, of every kind of content."""

from __future__ import annotations

import numpy as np

LARGEST = 1200  # pixels of the longest side


def odd_pictures(count: int, height: int, width: int, seed: int = 0) -> list[np.ndarray]:
    """`count` pictures (H, W, 3) `uint8` for a network that takes (height, width): one pixel, one pixel wide, very
    long, of the very size, a little off it, a whole multiple, much smaller and much larger; then of any size."""
    sizes = [
        *((1, 1), (1, width), (height, 1), (1, 700), (700, 1), (2, 3), (3, 900)),
        *((height, width), (height + 1, width), (height, width + 1), (height - 1, width - 1), (width, height)),
        *((2 * height, 2 * width), (3 * height, width), (height // 2, width // 2), (4 * height + 3, 3 * width - 1)),
        *((480, 640), (333, 500), (1200, 900)),
    ]
    draws = np.random.default_rng([seed, height, width])
    while len(sizes) < count:
        sizes.append((int(draws.integers(1, 3 * height + 20)), int(draws.integers(1, 3 * width + 20))))
    made = []
    for number, (tall, wide) in enumerate(sizes[:count]):
        size = (min(max(1, tall), LARGEST), min(max(1, wide), LARGEST))
        made.append(_picture(*size, number, np.random.default_rng([seed, number])))
    return made


def _picture(height: int, width: int, number: int, draws: np.random.Generator) -> np.ndarray:
    """Noise, edges, stripes that a resize without antialiasing turns into others, slopes; some of them grey."""
    rows, columns = np.mgrid[:height, :width]
    kind = number % 6
    if kind == 0:
        levels = draws.integers(0, 256, (height, width, 3))
    elif kind == 1:
        blocks = draws.integers(0, 2, ((height + 6) // 7, (width + 4) // 5, 3))
        levels = 255 * blocks.repeat(7, 0).repeat(5, 1)[:height, :width]
    elif kind == 2:
        levels = np.stack([255 * ((rows + period * columns) % (period + 2) < 1) for period in (1, 2, 3)], axis=2)
    elif kind == 3:
        slope = 255 * (rows / height + columns / width) / 2
        levels = np.stack([slope, 255 - slope, draws.uniform(0, 255, (height, width))], axis=2)
    elif kind == 4:
        levels = draws.integers(0, 256, (height, width, 1)).repeat(3, 2)
    else:
        levels = np.broadcast_to(draws.integers(0, 256, 3), (height, width, 3))
    return np.ascontiguousarray(levels.astype(np.uint8))
