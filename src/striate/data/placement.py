"""Where every pixel of a batch comes from: one 3x3 matrix a picture, for pictures, points and masks alike.

On top of it may lie a field of displacements (elastic distortion), by which the output's points are moved first.

Coordinates are (x, y), continuous: pixel i of a row covers [i, i + 1) and its centre is i + 0.5. A matrix
takes a point of the output to the point of the picture (as it is in the store) that is shown there.
Legend: B pictures, h w of the output, H W of a picture, P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

SEARCH = 100  # half steps towards the point that a field moves to a place
SIDE_POINTS = 9  # of each line of a grid over a box


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
    # (B, 2, h, w) float32, along x and y, in pixels of the output: what stands at a pixel is what the matrix alone
    # would show at its centre plus this; between the centres it is interpolated. None: the matrix is all.
    field: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.matrices)

    def select(self, chosen: np.ndarray | slice) -> Placement:
        """The placement of these pictures of the batch only."""
        return replace(
            self,
            matrices=self.matrices[chosen],
            sources=self.sources[chosen],
            boxes=self.boxes[chosen],
            field=None if self.field is None else self.field[chosen],
        )

    @property
    def reaches(self) -> np.ndarray:
        """How far the field moves the farthest of its points along an axis, in pixels of the output, (B,) float64."""
        if self.field is None:
            return np.zeros(len(self))
        reaches: np.ndarray = np.abs(self.field).max(axis=(1, 2, 3)).astype(np.float64)
        return reaches

    def move_points(self, points: np.ndarray) -> np.ndarray:
        """Points of the pictures (B, P, 2) as (x, y) -> where the outputs show them, (B, P, 2) float64.

        Points outside of [0, w) x [0, h) are no longer in the output. Under a field, the point is looked for that the
        field moves there; where the field folds the picture, so that there are several, it is one of them.
        """
        inverse = np.linalg.inv(self.matrices)
        moved: np.ndarray = np.asarray(points, dtype=np.float64) @ inverse[:, :2, :2].transpose(0, 2, 1)
        moved = moved + inverse[:, None, :2, 2]
        if self.field is None:
            return moved
        found = moved
        for _ in range(SEARCH):
            # Half a step: it arrives wherever the field does not fold the picture, however steep it is.
            found = found + (moved - found - self._displaced(found)) / 2
        return found

    def move_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the pictures (B, P, 4) as (left, top, right, bottom) -> the smallest upright boxes of the outputs
        that hold all that was in them, (B, P, 4) float64; not cut at the edges of the output."""
        wanted = np.asarray(boxes, dtype=np.float64)
        # Corners are enough for a matrix; under a field the sides bend.
        along = np.linspace(0, 1, 2 if self.field is None else SIDE_POINTS)
        across, down = (grid.reshape(-1) for grid in np.meshgrid(along, along))
        corners = np.stack(
            [
                wanted[..., 0, None] * (1 - across) + wanted[..., 2, None] * across,
                wanted[..., 1, None] * (1 - down) + wanted[..., 3, None] * down,
            ],
            axis=-1,
        )
        moved = self.move_points(corners.reshape(len(wanted), -1, 2)).reshape(corners.shape)
        return np.concatenate([moved.min(axis=-2), moved.max(axis=-2)], axis=-1)

    def move_angles(self, angles: np.ndarray) -> np.ndarray:
        """Angles of the pictures (B, K), in degrees counter-clockwise from upright -> those that the outputs show, of a
        thing that was turned along, (B, K) float64: the nearest to what they were, beyond 180 where they go there.

        What a picture is brought to the output's size by does not count: an angle is that in the picture's own shape.
        A field does not count either: it has no direction of its own.
        """
        given = np.asarray(angles, dtype=np.float64)
        turned = np.radians(given)
        upright = np.stack([-np.sin(turned), -np.cos(turned)], axis=-1)  # (B, K, 2), y points down
        linear = np.linalg.inv(self.matrices[:, :2, :2])
        linear = linear * (self.sources[:, ::-1] / np.array([self.width, self.height]))[:, :, None]
        moved = upright @ linear.transpose(0, 2, 1)
        change = np.degrees(np.arctan2(-moved[..., 0], -moved[..., 1])) - given
        result: np.ndarray = given + (change + 180) % 360 - 180
        return result

    def _displaced(self, points: np.ndarray) -> np.ndarray:
        """The field at points of the output (B, P, 2), between the centres of its pixels bilinear: (B, P, 2)."""
        assert self.field is not None
        x = np.clip(points[..., 0] - 0.5, 0, self.width - 1)
        y = np.clip(points[..., 1] - 0.5, 0, self.height - 1)
        left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        right, below = np.minimum(left + 1, self.width - 1), np.minimum(top + 1, self.height - 1)
        which = np.arange(len(self))[:, None]
        right_share, below_share = (x - left)[..., None], (y - top)[..., None]
        values = self.field.transpose(0, 2, 3, 1).astype(np.float64)
        upper = values[which, top, left] * (1 - right_share) + values[which, top, right] * right_share
        lower = values[which, below, left] * (1 - right_share) + values[which, below, right] * right_share
        moved: np.ndarray = upper * (1 - below_share) + lower * below_share
        return moved

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
        points = np.stack(np.meshgrid(x, y), axis=-1).reshape(1, -1, 2)
        for index, (mask, matrix, box) in enumerate(zip(masks, self.matrices, self.boxes, strict=True)):
            across_from, down_from = x[None], y[:, None]
            if self.field is not None:
                shown = (points + self.select(slice(index, index + 1))._displaced(points)).reshape(height, width, 2)
                across_from, down_from = shown[..., 0], shown[..., 1]
            across = matrix[0, 0] * across_from + matrix[0, 1] * down_from + matrix[0, 2]
            down = matrix[1, 0] * across_from + matrix[1, 1] * down_from + matrix[1, 2]
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
