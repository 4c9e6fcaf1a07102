"""Two pictures in one: mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019) of a batch.

Shares and boxes are drawn in `drawing.py`; here they are done. Legend: N pictures, B of them mixed.
"""

from __future__ import annotations

import numpy as np
import torch


def mix(pictures: torch.Tensor, partners: np.ndarray, boxes: np.ndarray, shares: np.ndarray) -> torch.Tensor:
    """The first B of pictures (N, C, h, w), on any device, each with `pictures[partners]` (B,): (B, C, h, w).

    Where the box (left, top, right, bottom) is not empty, the partner's is pasted; else the picture is
    `share` itself and the rest its partner, rounded where pictures are `uint8`.
    """
    count = len(partners)
    mixed = pictures[:count].clone(memory_format=torch.preserve_format)
    pasted = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    blended = np.flatnonzero(~pasted & (shares < 1))
    if len(blended):
        share = torch.from_numpy(shares[blended].astype(np.float32)).to(pictures.device).view(-1, 1, 1, 1)
        blend = pictures[blended].float() * share + pictures[partners[blended]].float() * (1 - share)
        if pictures.dtype == torch.uint8:
            blend += 0.5  # then cut off: rounded
        mixed[blended] = blend.clamp_(0, 255).to(pictures.dtype)
    for index in np.flatnonzero(pasted):
        left, top, right, bottom = (int(side) for side in boxes[index])
        mixed[index, :, top:bottom, left:right] = pictures[int(partners[index]), :, top:bottom, left:right]
    return mixed
