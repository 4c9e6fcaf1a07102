"""One resampling a picture, without aliasing: pictures and their matrices -> the batch that a network takes.

Whole pixels are copied; an upright box is resized with an antialiased filter; any other matrix is a
bilinear warp, over several points a pixel (small pictures, one batch) or after an antialiased reduction
(large ones), wherever the output is coarser than the picture. By the processor, as is quickest there; `warp_at_once.py`
does the same on an accelerator. Legend: B pictures, H W of a picture, h w
of the output, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from striate.data.drawing import Drawn
from striate.data.placement import Placement, reflected_indices
from striate.data.resample import Frame, as_it_is, bring, fill_of, resize, to_channels

# Picture pixels per output pixel up to which one bilinear sample serves. Large pictures: nothing is gained by a
# reduction before. Small ones: on handwritten digits the error against a supersampled warp is 4.8 levels (root
# mean square) at 1.04, 5.0 at 1.13, 5.3 at 1.25 and 6 at 1.4; four samples leave 1.2 and take four times as long.
FINE = 1.05
FINE_SMALL = 1.25
# Reduced pictures keep 1 / 0.75 pixels per pixel of the output: on photographs, 224 and 128 pixels, less error
# against a supersampled warp (1.8 and 2.5 levels) than 1 / 1 (2.5 and 4.8) and no reduction (2.3 and 4.9).
REDUCED = 0.75
POINTS_AT_ONCE = 100_000  # so that their places and what is read there stay in the cache
POINTS_AT_ONCE_ACCELERATOR = 1 << 24
MARGIN = 3  # pixels around the part of a picture that is reduced, so that the filter sees its surroundings


def place(pictures: np.ndarray | Sequence[np.ndarray], drawn: Drawn, frame: Frame) -> torch.Tensor:
    """Pictures, (B, H, W, C) or B arrays (H, W, C), brought to the places that were drawn for them
    -> (B, C, h, w), channels last in memory, of their type. May share the memory of `pictures`.
    """
    way, placement = drawn.way, drawn.placement
    if way == "whole":
        made = _moved(_fitted(pictures, frame), drawn.flips, drawn.shifts, frame)
        return _to_tensor(made).permute(0, 3, 1, 2)
    if way == "warp" and isinstance(pictures, np.ndarray):
        return warp_block(_to_tensor(to_channels(pictures, frame.channels)), placement, frame)
    one = _box if way == "box" else _warp_one
    return torch.from_numpy(
        _stacked([one(pixels, placement, i, frame) for i, pixels in enumerate(pictures)], frame)
    ).permute(0, 3, 1, 2)


def _to_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _stacked(made: Sequence[torch.Tensor], frame: Frame) -> np.ndarray:
    """Pictures (C, h, w) -> (B, h, w, C); `float32` where any of them is."""
    kind = np.uint8 if all(picture.dtype == torch.uint8 for picture in made) else np.float32
    block = np.empty((len(made), frame.height, frame.width, frame.channels), dtype=kind)
    together = torch.from_numpy(block)
    for place_of, picture in zip(together, made, strict=True):
        place_of.copy_(picture.permute(1, 2, 0))
    return block


def _fitted(pictures: np.ndarray | Sequence[np.ndarray], frame: Frame) -> np.ndarray:
    """The pictures as answers are prepared from them, (B, h, w, C)."""
    if isinstance(pictures, np.ndarray) and as_it_is((*pictures.shape[1:3], frame.channels), frame):
        return np.ascontiguousarray(to_channels(pictures, frame.channels))
    return _stacked([bring(pixels, frame) for pixels in pictures], frame)


def _moved(block: np.ndarray, flips: np.ndarray, shifts: np.ndarray, frame: Frame) -> np.ndarray:
    """Flips, then shifts by whole pixels: (B, h, w, C) -> the same, or `block` itself where nothing moves."""
    reach_x, reach_y = (int(reach) for reach in np.abs(shifts).max(axis=0, initial=0))
    count, height, width, channels = block.shape
    if reach_x or reach_y:
        reaches = ((0, 0), (reach_y, reach_y), (reach_x, reach_x), (0, 0))
        if frame.fit == "pad":
            padded = np.empty((count, height + 2 * reach_y, width + 2 * reach_x, channels), dtype=block.dtype)
            padded[:] = fill_of(frame).astype(block.dtype)
            padded[:, reach_y : reach_y + height, reach_x : reach_x + width] = block
        else:
            padded = np.pad(block, reaches, mode="symmetric")
        # Flipping comes after the cut here, so that a shift of a flipped picture is cut from the other side.
        starts = np.array([reach_x, reach_y]) - np.where(flips, -shifts, shifts)
        per_picture, line, pixel, value = padded.strides
        cuts = np.lib.stride_tricks.as_strided(
            padded,
            shape=(count, 2 * reach_y + 1, 2 * reach_x + 1, height, width * channels),
            strides=(per_picture, line, pixel, line, value),
            writeable=False,
        )
        block = cuts[np.arange(count), starts[:, 1], starts[:, 0]].reshape(count, height, width, channels)
    elif flips.any():
        block = block.copy()
    for axis, chosen in ((2, np.flatnonzero(flips[:, 0])), (1, np.flatnonzero(flips[:, 1]))):
        if len(chosen):
            # torch mirrors channels-last pictures by vectors, NumPy pixel by pixel
            picked = torch.from_numpy(block[chosen]).permute(0, 3, 1, 2)
            block[chosen] = torch.flip(picked, (axis + 1,) if axis == 2 else (2,)).permute(0, 2, 3, 1).numpy()
    return block


def _box(pixels: np.ndarray, placement: Placement, index: int, frame: Frame) -> torch.Tensor:
    """An upright box of whole pixels of (H, W, C), resized -> (C, h, w)."""
    matrix = placement.matrices[index]
    whole = to_channels(cut(pixels, box_spans(matrix, frame), placement, frame), frame.channels)
    made = resize(_to_tensor(whole).permute(2, 0, 1), frame.height, frame.width, frame.interpolation)
    axes = [3 - axis for axis in (0, 1) if matrix[axis, axis] < 0]
    return torch.flip(made[None], axes)[0] if axes else made


def box_spans(matrix: np.ndarray, frame: Frame) -> list[tuple[int, int]]:
    """The lines and the columns (first, end) of a picture that an upright matrix of whole pixels shows."""
    spans = []
    for axis, side in ((1, frame.height), (0, frame.width)):
        ends = matrix[axis, 2], matrix[axis, 2] + matrix[axis, axis] * side
        spans.append((round(min(ends)), round(max(ends))))
    return spans


def cut(pixels: np.ndarray, spans: Sequence[tuple[int, int]], placement: Placement, frame: Frame) -> np.ndarray:
    """The lines and columns of `spans`, with what stands outside of the picture where they leave it."""
    (top, bottom), (left, right) = spans
    height, width = pixels.shape[:2]
    if top >= 0 and left >= 0 and bottom <= height and right <= width:
        return pixels[top:bottom, left:right]
    lines, columns = np.arange(top, bottom), np.arange(left, right)
    if placement.reflect:
        return np.take(np.take(pixels, reflected_indices(lines, height), 0), reflected_indices(columns, width), 1)
    colour = fill_of(frame).astype(pixels.dtype)
    made = np.empty((len(lines), len(columns), frame.channels), dtype=pixels.dtype)
    made[:] = colour
    inside = to_channels(pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)], frame.channels)
    made[max(-top, 0) : max(-top, 0) + inside.shape[0], max(-left, 0) : max(-left, 0) + inside.shape[1]] = inside
    return made


def warp_block(pictures: torch.Tensor, placement: Placement, frame: Frame) -> torch.Tensor:
    """Pictures of one size (B, H, W, C) on any device, each by its matrix -> (B, C, h, w), channels last in memory."""
    whole = pictures.permute(0, 3, 1, 2)
    matrices = placement.matrices
    # Several points a pixel, averaged, where the output is coarser than the picture.
    steps = np.linalg.norm(matrices[:, :2, :2], axis=1).max(axis=1)
    points = np.where(steps <= FINE_SMALL, 1, np.clip(np.ceil(steps - 1e-9), 2, 16)).astype(np.int64)
    made = torch.empty(
        (len(matrices), frame.channels, frame.height, frame.width), dtype=whole.dtype, device=whole.device
    )
    at_once = POINTS_AT_ONCE if whole.device.type == "cpu" else POINTS_AT_ONCE_ACCELERATOR
    for each in np.unique(points):
        alike = np.flatnonzero(points == each)
        step = max(1, at_once // (frame.height * frame.width * int(each) ** 2))
        for first in range(0, len(alike), step):
            chosen = alike[first : first + step]
            # Most often all are alike: then no picture is copied to be picked.
            some = slice(first, first + step) if len(alike) == len(matrices) else chosen
            planes = whole[some].float().contiguous()
            field = None if placement.field is None else placement.field[chosen]
            made[some] = as_type(_sampled(planes, matrices[chosen], int(each), placement, frame, field), whole.dtype)
    return made.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What of a large picture a matrix shows, and how many pixels of it the output can show."""

    lines: tuple[int, int]  # first, end
    columns: tuple[int, int]
    reduced: tuple[int, int]  # height and width that these are brought to before they are warped
    onto: np.ndarray  # (3, 3) point of the picture -> point of the reduced part
    inside: bool  # whether the output shows nothing from outside of the picture

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """The part of (H, W, C)."""
        return pixels[slice(*self.lines), slice(*self.columns)]


def view_of(matrix: np.ndarray, size: Sequence[int], frame: Frame, reach: float = 0.0) -> View:
    """Of a picture of this size (H, W), by its matrix (3, 3), after a field that moves points of the output up to
    `reach` pixels of it."""
    spans, reduced = [], []
    low, right, bottom = -reach, frame.width + reach, frame.height + reach
    corners = matrix @ np.array([[low, right, low, right], [low, low, bottom, bottom], [1, 1, 1, 1]])
    for axis, side in ((1, size[0]), (0, size[1])):
        step = float(np.linalg.norm(matrix[axis, :2]))
        span = _needed(corners[axis], side, math.ceil(MARGIN * max(step, 1.0)))
        length = span[1] - span[0]
        spans.append(span)
        reduced.append(length if step <= FINE else max(1, min(length, round(length / (step * REDUCED)))))
    (top, bottom), (left, right) = spans
    onto = np.diag([reduced[1] / (right - left), reduced[0] / (bottom - top), 1.0])
    onto = onto @ np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    inside = bool((corners[:2].min(axis=1) >= 0).all()) and all(
        corners[axis].max() <= side for axis, side in ((0, size[1]), (1, size[0]))
    )
    return View(lines=(top, bottom), columns=(left, right), reduced=(reduced[0], reduced[1]), onto=onto, inside=inside)


def _warp_one(pixels: np.ndarray, placement: Placement, index: int, frame: Frame) -> torch.Tensor:
    """One picture (H, W, C) by its matrix, after an antialiased reduction where it has more pixels than
    the output can show -> (C, h, w)."""
    matrix = placement.matrices[index]
    field = None if placement.field is None else placement.field[index : index + 1]
    view = view_of(matrix, pixels.shape[:2], frame, 0.0 if field is None else float(np.abs(field).max()))
    whole = to_channels(view.cut(pixels), frame.channels)
    small = resize(_to_tensor(whole).permute(2, 0, 1), *view.reduced)
    planes = small.float().contiguous()[None]
    made = _sampled(planes, (view.onto @ matrix)[None], 1, placement, frame, field, whole=view.inside)[0]
    return as_type(made, small.dtype)


def _needed(corners: np.ndarray, side: int, margin: int) -> tuple[int, int]:
    """Which of 0..side is needed for an output that spans these corners and shows reflections."""
    low, high = math.floor(corners.min()) - margin, math.ceil(corners.max()) + margin
    if low >= side or high <= 0 or low < -side or high > 2 * side:
        return 0, side
    first, last = max(low, 0), min(high, side)
    if low < 0:
        last = max(last, min(-low, side))
    if high > side:
        first = min(first, max(2 * side - high, 0))
    return first, last


def _sampled(
    planes: torch.Tensor,
    matrices: np.ndarray,
    points: int,
    placement: Placement,
    frame: Frame,
    field: np.ndarray | None = None,
    *,
    whole: bool = False,
) -> torch.Tensor:
    """Bilinear samples of planes (B, C, H, W) float32 at `points` x `points` places of each output pixel,
    averaged -> (B, C, h, w) float32. `field` (B, 2, h, w): displacements; all places of a pixel move alike. `whole`:
    the planes hold all that the output shows."""
    height, width, device = frame.height * points, frame.width * points, planes.device
    scale = np.array([2 / planes.shape[3], 2 / planes.shape[2]])
    steps = torch.from_numpy((matrices[:, :2, :2] * scale[None, :, None]).astype(np.float32)).to(device)
    start = torch.from_numpy((matrices[:, :2, 2] * scale - 1).astype(np.float32)).to(device)
    x = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) / points
    y = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) / points
    # One multiplication and addition at a time: the same bits however many pictures there are. A plane for x and one
    # for y are written by whole lines, and read by vectors as they are.
    across = steps[:, :, 0, None] * x + start[:, :, None]
    planes_of = across[:, :, None, :] + (steps[:, :, 1, None] * y)[:, :, :, None]
    if field is not None:
        moves = torch.from_numpy(field).to(device)
        if points > 1:
            moves = moves.repeat_interleave(points, 2).repeat_interleave(points, 3)
        planes_of += steps[:, :, 0, None, None] * moves[:, None, 0]
        planes_of += steps[:, :, 1, None, None] * moves[:, None, 1]
    grid = planes_of.permute(0, 2, 3, 1)
    # Nothing is outside: the quickest way of reading the edge serves.
    outside = "border" if whole else "reflection" if placement.reflect else "zeros"
    colour = None if outside != "zeros" else torch.from_numpy(fill_of(frame)).to(device).view(1, -1, 1, 1)
    made = functional.grid_sample(
        planes if colour is None else planes - colour,
        grid,
        mode="bilinear",
        padding_mode=outside,
        align_corners=False,
    )
    if colour is not None:
        made += colour
    return functional.avg_pool2d(made, points) if points > 1 else made


def as_type(made: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """What was sampled (it is written to) limited to [0, 255], rounded where the pictures were `uint8`."""
    if kind == torch.uint8:
        made += 0.5  # then cut off: rounded. Averages of levels are levels: nothing is to be limited.
        return made.to(torch.uint8)
    return made.clamp_(0, 255)
