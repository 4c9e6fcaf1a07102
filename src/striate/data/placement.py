"""Where every pixel of a batch comes from: one 3x3 matrix a picture, for pictures, points and masks alike.

Coordinates are (x, y), continuous: pixel i of a row covers [i, i + 1) and its centre is i + 0.5. A matrix
takes a point of the output to the point of the picture (as it is in the store) that is shown there.
Legend: B pictures, h w of the output, H W of a picture, P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """How the pictures of a batch were placed in their outputs.

    `boxes` are the parts of the pictures that can be seen; what lies outside of them is their
    reflection about the box's edges where `reflect`, and else the mean.
    """

    matrices: np.ndarray  # (B, 3, 3) float64, output point -> picture point, last row 0 0 1
    height: int  # of the output
    width: int
    sources: np.ndarray  # (B, 2) int64, height and width of each picture
    boxes: np.ndarray  # (B, 4) float64, left, top, right, bottom, in the picture
    reflect: bool

    def __len__(self) -> int:
        return len(self.matrices)

    def select(self, chosen: np.ndarray | slice) -> Placement:
        """The placement of these pictures of the batch only."""
        return Placement(
            matrices=self.matrices[chosen],
            height=self.height,
            width=self.width,
            sources=self.sources[chosen],
            boxes=self.boxes[chosen],
            reflect=self.reflect,
        )

    def move_points(self, points: np.ndarray) -> np.ndarray:
        """Points of the pictures (B, P, 2) as (x, y) -> where the outputs show them, (B, P, 2) float64.

        Points outside of [0, w) x [0, h) are no longer in the output.
        """
        inverse = np.linalg.inv(self.matrices)
        moved: np.ndarray = np.asarray(points, dtype=np.float64) @ inverse[:, :2, :2].transpose(0, 2, 1)
        return moved + inverse[:, None, :2, 2]

    def move_masks(
        self,
        masks: np.ndarray | Sequence[np.ndarray],
        size: tuple[int, int] | None = None,
        *,
        outside: int = 0,
    ) -> np.ndarray:
        """Masks of the pictures, (B, H, W) or B arrays (H, W) of one type -> (B, h, w), the nearest pixel.

        `size` (h, w): of the masks that come out, where it is not that of the output (a network that
        answers at a quarter of the size). Where there is no picture and nothing is reflected: `outside`.
        """
        height, width = size or (self.height, self.width)
        x = (np.arange(width) + 0.5) * (self.width / width)
        y = (np.arange(height) + 0.5) * (self.height / height)
        moved = []
        for mask, matrix, box in zip(masks, self.matrices, self.boxes, strict=True):
            across = matrix[0, 0] * x[None] + matrix[0, 1] * y[:, None] + matrix[0, 2]
            down = matrix[1, 0] * x[None] + matrix[1, 1] * y[:, None] + matrix[1, 2]
            inside = (across >= box[0]) & (across < box[2]) & (down >= box[1]) & (down < box[3])
            if self.reflect:
                across, down = reflected(across, box[0], box[2]), reflected(down, box[1], box[3])
            columns = np.clip(np.floor(across).astype(np.int64), 0, mask.shape[1] - 1)
            lines = np.clip(np.floor(down).astype(np.int64), 0, mask.shape[0] - 1)
            picked = mask[lines, columns]
            moved.append(picked if self.reflect else np.where(inside, picked, np.asarray(outside, dtype=mask.dtype)))
        return np.stack(moved)


def reflected(values: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Coordinates folded back into [low, high] about its edges, as often as needed."""
    span = np.maximum(np.asarray(high) - low, 1e-9)
    turned = np.mod(values - low, 2 * span)
    folded: np.ndarray = np.minimum(turned, 2 * span - turned) + low
    return folded


def reflected_indices(indices: np.ndarray, length: int) -> np.ndarray:
    """Indices of pixels folded back into 0..length-1 about the picture's edges (-1 is pixel 0 again)."""
    turned = np.mod(indices, 2 * length)
    folded: np.ndarray = np.minimum(turned, 2 * length - 1 - turned)
    return folded
