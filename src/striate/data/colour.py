"""Colour changes of a whole batch, one linear map a picture, and erased rectangles.

Brightness, contrast, saturation and hue are all affine in (R, G, B), so they are composed and the result
is rounded and limited to [0, 255] once. Contrast turns about the picture's mean luma and saturation about
each pixel's (ITU-R BT.601, as Pillow's ImageEnhance); hue turns the plane of I and Q in YIQ, which keeps
luma. Grey pictures have neither saturation nor hue. Legend: B pictures, h w pixels, C channels.
"""

from __future__ import annotations

import numpy as np
import torch

from striate.data.resample import LUMA, Frame, fill_of

WEIGHTS = np.array(LUMA) / 65536
# FCC NTSC: I and Q from the differences R - Y and B - Y (as in Python's colorsys, with Y of BT.601).
FROM_DIFFERENCES = np.array([[0.74, -0.27], [0.48, 0.41]])
VALUES_AT_ONCE = 1 << 16  # worked on at once, so that the planes stay in the cache
VALUES_AT_ONCE_ACCELERATOR = 1 << 25  # there, calls cost more than memory


def change(
    pictures: torch.Tensor,
    brightness: np.ndarray | None,
    contrast: np.ndarray | None,
    saturation: np.ndarray | None,
    hue: np.ndarray | None,
) -> torch.Tensor:
    """(B, C, h, w) `uint8`, or `float32` in [0, 255], on any device -> new ones of the same type and memory format.

    `brightness`, `contrast` and `saturation` are factors (B,), `hue` turns (B,); None leaves it.
    """
    count, channels = pictures.shape[:2]
    device = pictures.device
    one = np.ones(count)
    bright, contrasted = (one if factor is None else factor for factor in (brightness, contrast))
    gains = torch.from_numpy((bright * contrasted).astype(np.float32)).to(device).view(-1, 1, 1, 1)
    moved = torch.from_numpy(bright).to(device), torch.from_numpy(1 - contrasted).to(device)
    maps = None
    if channels == 3 and not (saturation is None and hue is None):
        turned = _hue_maps(np.zeros(count) if hue is None else hue)
        composed = turned @ _saturation_maps(one if saturation is None else saturation)
        maps = torch.from_numpy((composed * (bright * contrasted)[:, None, None]).astype(np.float32)).to(device)
    elif brightness is None and contrast is None:
        return pictures
    changed = torch.empty_like(pictures)
    values_at_once = VALUES_AT_ONCE if device.type == "cpu" else VALUES_AT_ONCE_ACCELERATOR
    step = max(1, values_at_once // max(1, pictures[:1].numel()))
    for start in range(0, count, step):
        some = slice(start, start + step)
        # Planes where channels are mixed, else the order that is there: reordering costs more than the sums.
        values = (pictures[some] if maps is None else pictures[some].contiguous()).float()
        offsets = torch.zeros(len(values), dtype=torch.float64, device=device)
        if contrast is not None:
            offsets = moved[0][some] * mean_luma(values, pictures.dtype) * moved[1][some]
        values = values * gains[some] if maps is None else _mapped(values, maps[some])
        values += offsets.float().view(-1, 1, 1, 1)
        if pictures.dtype == torch.uint8:
            values += 0.5  # then cut off: rounded
        changed[some] = values.clamp_(0, 255).to(pictures.dtype)
    return changed


def _mapped(planes: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """(b, 3, h, w) by (b, 3, 3). One product and one sum at a time: the same bits however a batch is divided."""
    made = torch.empty_like(planes)
    part = torch.empty_like(planes[:, 0])
    for channel in range(3):
        into = made[:, channel]
        torch.mul(planes[:, 0], maps[:, channel, 0, None, None], out=into)
        for other in (1, 2):
            into += torch.mul(planes[:, other], maps[:, channel, other, None, None], out=part)
    return made


def mean_luma(pictures: torch.Tensor, kind: torch.dtype = torch.float32) -> torch.Tensor:
    """The mean of the luma of each picture (B, C, h, w), `float32` in [0, 255]: (B,) float64.

    Whole numbers are added (those of `uint8` pictures; 1/256 for those of other `kind`s): in float64
    these sums are exact, so they do not depend on the order.
    """
    unit = 1 if kind == torch.uint8 else 256
    whole = pictures if unit == 1 else (pictures * unit).round()
    sums = whole.sum(dim=(2, 3), dtype=torch.float64)
    means = sums / (unit * pictures.shape[2] * pictures.shape[3])
    if means.shape[1] == 1:
        return means[:, 0]
    red, green, blue = (float(weight) for weight in WEIGHTS)
    return means[:, 0] * red + means[:, 1] * green + means[:, 2] * blue


def _saturation_maps(factors: np.ndarray) -> np.ndarray:
    """(B, 3, 3): factor * colour + (1 - factor) * luma."""
    grey = np.broadcast_to(WEIGHTS, (3, 3))
    maps: np.ndarray = factors[:, None, None] * np.eye(3) + (1 - factors)[:, None, None] * grey
    return maps


def _hue_maps(turns: np.ndarray) -> np.ndarray:
    """(B, 3, 3): RGB -> YIQ, turned in its plane, -> RGB."""
    differences = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]) - WEIGHTS
    to_yiq = np.vstack([WEIGHTS, FROM_DIFFERENCES @ differences])
    angles = 2 * np.pi * turns
    turned = np.zeros((len(turns), 3, 3))
    turned[:, 0, 0] = 1.0
    turned[:, 1, 1] = turned[:, 2, 2] = np.cos(angles)
    turned[:, 1, 2] = -np.sin(angles)
    turned[:, 2, 1] = np.sin(angles)
    maps: np.ndarray = np.linalg.inv(to_yiq) @ turned @ to_yiq
    return maps


def tint(pictures: torch.Tensor, levels: np.ndarray) -> torch.Tensor:
    """(B, C, h, w) `uint8`, or `float32` in [0, 255], on any device, plus one colour each, (B, C) levels -> new ones of
    the same type and memory format."""
    changed = torch.empty_like(pictures)
    added = torch.from_numpy(levels.astype(np.float32)).to(pictures.device)[:, :, None, None]
    values_at_once = VALUES_AT_ONCE if pictures.device.type == "cpu" else VALUES_AT_ONCE_ACCELERATOR
    step = max(1, values_at_once // max(1, pictures[:1].numel()))
    for start in range(0, len(pictures), step):
        some = slice(start, start + step)
        values = pictures[some].float() + added[some]
        if pictures.dtype == torch.uint8:
            values += 0.5  # then cut off: rounded
        changed[some] = values.clamp_(0, 255).to(pictures.dtype)
    return changed


def erase(pictures: torch.Tensor, boxes: np.ndarray, frame: Frame) -> torch.Tensor:
    """(B, C, h, w) on any device, the boxes (B, 4) (left, top, right, bottom) filled with the mean: new pictures."""
    erased = pictures.clone(memory_format=torch.preserve_format)
    colour = torch.from_numpy(fill_of(frame)).to(pictures.device, pictures.dtype).view(-1, 1, 1)
    for index in np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])):
        left, top, right, bottom = (int(side) for side in boxes[index])
        erased[index, :, top:bottom, left:right] = colour
    return erased
