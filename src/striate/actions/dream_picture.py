"""Dreams as a picture: a sheet of them; of a film one that moves. Legend: N dreams, C channels, H W pixels."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

SHOWN_SIDE = 224  # small pictures are enlarged by whole factors up to this when they are written
GAP = 2  # pixels between dreams
MILLISECONDS = 400  # that a frame of a film stays; the last one stays LAST_STAYS times as long
LAST_STAYS = 4


def sheet(pictures: np.ndarray) -> np.ndarray:
    """(N, H, W, C) uint8 -> one picture of them all, rows of about as many as there are rows, on white. Small ones are
    enlarged pixel by pixel, so that they can be seen."""
    count, height, width, channels = pictures.shape
    factor = max(1, SHOWN_SIDE // max(height, width))
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    tall, wide = factor * height + GAP, factor * width + GAP
    whole = np.full((down * tall - GAP, across * wide - GAP, channels), 255, dtype=np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // across * tall, number % across * wide
        large = picture.repeat(factor, axis=0).repeat(factor, axis=1)
        whole[top : top + tall - GAP, left : left + wide - GAP] = large
    return whole


def png(frames: Sequence[np.ndarray]) -> bytes:
    """Pictures (H, W, C) uint8 of one size -> PNG; several are an animated one that begins anew at its end."""
    from PIL import Image

    images = [Image.fromarray(one[:, :, 0] if one.shape[2] == 1 else one) for one in frames]
    stays = [MILLISECONDS] * (len(images) - 1) + [MILLISECONDS * LAST_STAYS]
    moving: dict[str, Any] = (
        {} if len(images) == 1 else {"save_all": True, "append_images": images[1:], "duration": stays, "loop": 0}
    )
    file = io.BytesIO()
    images[0].save(file, "PNG", **moving)
    return file.getvalue()
