"""Rows of a table of numbers drawn as small pictures: a bar a field, from its smallest value (nothing) to its largest.

Legend: N rows, F fields.
"""

from __future__ import annotations

import numpy as np

from striate.data.samples import Arrays, Samples

MOST_FIELDS = 64  # of more, as many evenly spaced ones are drawn
HEIGHT = 48
WIDEST = 16  # pixels of a bar and the gap after it
WIDTH = 96
PAPER, INK = 235, 60


class RowPictures:
    """Pictures of the rows of a table of numbers, all drawn to the same scales. Raises ValueError for any other."""

    def __init__(self, samples: Samples) -> None:
        pictures = samples.pictures
        whole = pictures.grey_block(samples.index) if isinstance(pictures, Arrays) else None
        if whole is None:
            raise ValueError("not the rows of a table of numbers")
        self._rows = whole[:, 0, 0].astype(np.float64)
        self._low, self._high = self._rows.min(axis=0), self._rows.max(axis=0)

    def of(self, row: int) -> np.ndarray:
        """(H, W, 1) `uint8`."""
        span = np.where(self._high > self._low, self._high - self._low, 1.0)
        shares = (self._rows[row] - self._low) / span
        chosen = np.linspace(0, len(shares) - 1, min(MOST_FIELDS, len(shares))).astype(np.int64)
        step = int(max(2, min(WIDEST, WIDTH // len(chosen))))
        picture = np.full((HEIGHT, step * len(chosen), 1), PAPER, dtype=np.uint8)
        for place, share in enumerate(shares[chosen]):
            top = round((HEIGHT - 1) * (1 - float(share)))
            picture[top:, place * step : (place + 1) * step - 1] = INK
        return picture
