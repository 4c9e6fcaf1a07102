"""The pointing game: does a map point at the object? (H, W) and boxes (N, 4) -> whether, and how much of the map.

Hit: whether the map's highest pixel lies in a box, perhaps a little beside it: Zhang et al. 2016, "Top-down neural
attention by excitation backprop" (arXiv:1608.00507), who allow 15 pixels. Share: how much of the map's positive mass
lies in the boxes: Wang et al. 2020, "Score-CAM" (arXiv:1910.01279).
Limits: says whether a map points where a person would, and not whether the network looked there. Large boxes in the
middle are hit by any map that likes the middle: compare with `area`, with random maps and with a blob in the middle.

Legend: H W pixels, N boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from striate.errors import require


@dataclass(frozen=True, kw_only=True)
class Pointing:
    """How a map and the boxes of a picture agree; all in [0, 1].

    hit: 1 where the highest pixel lies in a box, else 0; where several are the highest, the share of them that does.
    share: of the map's positive mass that lies in the boxes; 0 for a map that is nowhere above 0.
    area: of the picture that the boxes cover, without tolerance: what a map that knows nothing gets on average.
    """

    hit: float
    share: float
    area: float


def pointing(importance: Tensor, boxes: Tensor, *, tolerance: float = 0.0) -> Pointing:
    """Play the game with one map (H, W), the larger the more important.

    boxes: (N, 4) left, top, right, bottom in pixels of the map, where pixel i covers [i, i + 1); a pixel is inside
    where its middle is. tolerance: pixels by which a box is widened on each side for the hit.
    Raises InputError: shapes or values that cannot be used, no box, a box without area or beside the picture.
    """
    require(importance.ndim == 2, f"a map is (H, W), got {'x'.join(map(str, importance.shape))}")
    require(bool(importance.isfinite().all()), "the map holds values that are not finite")
    require(
        boxes.ndim == 2 and boxes.shape[1] == 4 and len(boxes) > 0,
        f"boxes must be (N, 4), at least one: left, top, right, bottom; got {tuple(boxes.shape)}",
    )
    require(tolerance >= 0, f"the tolerance must be at least 0 pixels, got {tolerance}")
    height, width = importance.shape
    for left, top, right, bottom in boxes.tolist():
        require(
            left < right and top < bottom and left < width and top < height and right > 0 and bottom > 0,
            f"the box {left:g}, {top:g}, {right:g}, {bottom:g} has no part in a map of {width}x{height}; "
            "give left, top, right, bottom in pixels of the map",
        )
    values = importance.detach().double().cpu()
    inside = covered(boxes, height, width)
    highest = values == values.max()
    mass = values.clamp(min=0)
    whole = float(mass.sum())
    return Pointing(
        hit=float(covered(boxes, height, width, tolerance)[highest].double().mean()),
        share=float(mass[inside].sum()) / whole if whole > 0 else 0.0,
        area=float(inside.double().mean()),
    )


def covered(boxes: Tensor, height: int, width: int, tolerance: float = 0.0) -> Tensor:
    """(height, width) bool: the pixels whose middle lies in one of the boxes (N, 4), widened by `tolerance`."""
    widened = boxes.detach().double().cpu() + torch.tensor([-tolerance, -tolerance, tolerance, tolerance])
    left, top, right, bottom = widened[:, :, None, None].unbind(1)
    down = torch.arange(height, dtype=torch.float64)[:, None] + 0.5
    across = torch.arange(width, dtype=torch.float64) + 0.5
    return ((across >= left) & (across < right) & (down >= top) & (down < bottom)).any(dim=0)
