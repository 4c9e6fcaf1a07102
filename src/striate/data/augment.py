"""How training pictures vary: what was drawn for each, done to the pixels of a batch.

`augmentation.py` says what may vary, `drawing.py` draws what happens to each picture. A picture is resampled
once (`warp.py`; on an accelerator `warp_at_once.py`), then its tones change (`tones.py`, `colour.py`), then it is
blurred, made noisy and compressed (`corruptions.py`), then erased; pairs are mixed last (`mixing.py`). Legend: B
pictures, H W of a picture, h w of the output, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from striate.data.augmentation import Augmentation
from striate.data.drawing import Drawn, draw
from striate.data.resample import Frame

if TYPE_CHECKING:
    import torch

    from striate.machine.beside import Beside


def apply(
    pictures: np.ndarray | Sequence[np.ndarray], drawn: Drawn, frame: Frame, beside: Beside | None = None
) -> torch.Tensor:
    """Pictures as they are in the store, (B, H, W, C) or B arrays (H, W, C), after all that was drawn for
    them but mixing -> (B, C, h, w), channels last in memory; `uint8`, or `float32` in [0, 255] where
    any of the pictures is. `beside`: on its device, all at once; None: by the processor, one by one. Operations of
    policies and JPEG are done by the processor alone: with any of them, `beside` must be None."""
    from striate.data import colour, corruptions, warp, warp_at_once

    if beside is None:
        placed = warp.place(pictures, drawn, frame)
    else:
        placed = warp_at_once.place(pictures, drawn, frame, beside)
    if drawn.tones is not None:
        from striate.data.tones import retone

        placed = retone(placed, drawn.tones)
    factors = (drawn.brightness, drawn.contrast, drawn.saturation, drawn.hue)
    if any(factor is not None for factor in factors):
        placed = colour.change(placed, *factors)
    if drawn.tints is not None:
        placed = colour.tint(placed, drawn.tints)
    if drawn.blurs is not None:
        placed = corruptions.blur(placed, drawn.blurs)
    if drawn.noise is not None:
        placed = corruptions.add_noise(placed, drawn.noise)
    if drawn.qualities is not None:
        placed = corruptions.compress(placed, drawn.qualities)
    if drawn.erased is not None:
        placed = colour.erase(placed, drawn.erased, frame)
    return placed


def preview(
    pictures: Sequence[np.ndarray],
    augmentation: Augmentation,
    frame: Frame,
    *,
    seed: int,
    rows: np.ndarray | None = None,
    times: int = 8,
    first: int = 0,
) -> np.ndarray:
    """What training sees of these pictures, (H, W, C) each, in the epochs `first`, `first` + 1, ...:
    (N, times, h, w, C) `uint8`.

    `rows` (N,): their rows in training, 0, 1, ... by default. Mixing takes the next of these pictures
    for the partner, which in training is the next one of the epoch.
    """
    from striate.data.mixing import mix

    rows = np.arange(len(pictures)) if rows is None else np.asarray(rows, dtype=np.int64)
    shapes = np.array([picture.shape for picture in pictures], dtype=np.int64).reshape(-1, 3)
    uniform = len({(picture.shape, picture.dtype) for picture in pictures}) == 1
    shown = []
    for epoch in range(first, first + times):
        drawn = draw(augmentation, seed, epoch, rows, shapes, frame, uniform=uniform)
        made = apply(pictures, drawn, frame)
        if drawn.mixed is not None and drawn.shares is not None:
            made = mix(made, np.roll(np.arange(len(rows)), -1), drawn.mixed, drawn.shares)
        shown.append(made.float().round().byte().permute(0, 2, 3, 1).numpy())
    return np.stack(shown, axis=1)
