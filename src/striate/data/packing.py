"""Pictures of several sizes in a few blocks of one buffer, which goes to an accelerator in a single copy.

Each picture lies in the upper left corner of its place, the rest of which is 0. Pictures of like size share a block,
so that little is empty whatever shapes meet in a batch.
Legend: B pictures, b of one block, H W of a picture or block, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from striate.data.resample import to_channels
from striate.machine.beside import Beside

# Of a block: what is worked on at once takes a few times its room, as float32.
MOST_PIXELS = 1 << 23
ROOM = 1.5  # a block is at most so many times its pictures


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """pixels (b, H, W, C) on the device, `uint8` or `float32`, of the pictures `members` (b,) of a batch, whose own
    heights and widths are `sizes` (b, 2)."""

    pixels: torch.Tensor
    members: np.ndarray
    sizes: np.ndarray


def packed(pictures: Sequence[np.ndarray] | np.ndarray, channels: int, beside: Beside) -> list[Block]:
    """B pictures (H, W, C'), `uint8` or `float32`, C' 1 or 3 -> blocks of `channels`, each picture in one of them.

    All are `float32` where any of the pictures is.
    """
    sizes = np.array([picture.shape[:2] for picture in pictures], dtype=np.int64).reshape(-1, 2)
    deep = any(picture.dtype != np.uint8 for picture in pictures)
    groups = of_like_size(sizes)
    extents = [(len(group), *sizes[group].max(axis=0).tolist(), channels) for group in groups]
    ends = np.cumsum([int(np.prod(extent)) for extent in extents]).tolist()
    buffer = beside.memory(ends[-1], torch.float32 if deep else torch.uint8)
    flat = buffer.numpy()
    for group, extent, end in zip(groups, extents, ends, strict=True):
        places = flat[end - int(np.prod(extent)) : end].reshape(extent)
        for place, index in zip(places, group.tolist(), strict=True):
            height, width = sizes[index].tolist()
            place[:height, :width] = to_channels(pictures[index], channels)
            place[height:], place[:height, width:] = 0, 0
    sent = beside.sent(buffer)
    return [
        Block(pixels=sent[end - int(np.prod(extent)) : end].view(extent), members=group, sizes=sizes[group])
        for group, extent, end in zip(groups, extents, ends, strict=True)
    ]


def of_like_size(sizes: np.ndarray) -> list[np.ndarray]:
    """Which pictures of these heights and widths (B, 2) lie together: (b,) each; in their order where all are alike."""
    upright = sizes[:, 0] > sizes[:, 1]
    groups: list[np.ndarray] = []
    group: list[int] = []
    height = width = own = 0
    for index in np.lexsort((sizes.prod(axis=1), upright)).tolist():
        here = int(sizes[index].prod())
        taller, wider = max(height, int(sizes[index, 0])), max(width, int(sizes[index, 1]))
        room = taller * wider * (len(group) + 1)
        if group and (room > MOST_PIXELS or room > ROOM * (own + here)):
            groups.append(np.array(group))
            group, own = [], 0
            taller, wider = sizes[index].tolist()
        group.append(index)
        height, width, own = taller, wider, own + here
    return [*groups, np.array(group)]
