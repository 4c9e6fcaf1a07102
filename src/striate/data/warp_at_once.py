"""The placing of `warp.py` for a whole batch at once, by large operations: what an accelerator is quick at.

The same draws, matrices and filters. Upright pictures are two products with matrices that hold the antialiased filter
(rows and columns go their own ways), so that fit, box, mirror image and shift are one resampling; any other matrix is
the warp of `warp.py`, after a reduction by such products. On the processor pictures one by one, in whole numbers, are
quicker. Against it, values of 8 bits differ by a level where it rounds in between, and deeper ones in the last digits.
Legend: B pictures, b of one block (see `packing.py`), H W of a picture, h w of the output, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from striate.data import warp
from striate.data.drawing import Drawn
from striate.data.packing import packed
from striate.data.placement import Placement, reflected_indices
from striate.data.resample import Frame, fill_of, fitted
from striate.machine.beside import Beside

# The matrices of a picture have output x picture entries: of longer ones (none but panoramas) they would be too large.
LONGEST = 1 << 14


@dataclass(frozen=True)
class Lines:
    """Where the lines (or the columns) of B outputs lie in their pictures: places (B, n) of their centres, NaN where
    none is shown; steps (B,) from one to the next. In pixels of the picture, float64."""

    places: np.ndarray
    steps: np.ndarray

    def select(self, chosen: np.ndarray) -> Lines:
        """Those of some of the pictures."""
        return Lines(self.places[chosen], self.steps[chosen])


def place(pictures: np.ndarray | Sequence[np.ndarray], drawn: Drawn, frame: Frame, beside: Beside) -> torch.Tensor:
    """As `warp.place`: (B, C, h, w) on the device of `beside`, channels last in memory."""
    if max(max(picture.shape[:2]) for picture in pictures) > LONGEST:
        return beside.sent(warp.place(pictures, drawn, frame))
    placement = drawn.placement
    if drawn.way == "warp":
        return _warped(pictures, placement, frame, beside)
    if drawn.way == "whole":
        lines = [_of_whole(axis, placement.sources, drawn.flips, drawn.shifts, frame) for axis in (0, 1)]
        cuts = pictures
    else:
        spans = [warp.box_spans(matrix, frame) for matrix in placement.matrices]
        lines = [_of_box(axis, placement.matrices, np.array(spans), frame) for axis in (0, 1)]
        cuts = [warp.cut(pixels, span, placement, frame) for pixels, span in zip(pictures, spans, strict=True)]
    blocks = packed(cuts, frame.channels, beside)
    colour = torch.from_numpy(fill_of(frame)).to(beside.device)
    made = []
    for block in blocks:
        rows, columns = (one.select(block.members) for one in lines)
        values, shown = upright(block.pixels, block.sizes, rows, columns, frame.interpolation)
        if frame.fit == "pad":
            values += (1 - shown) * colour
        made.append(warp.as_type(values.clamp_(0, 255), block.pixels.dtype))  # bicubic weights reach beyond
    return _in_order(made, [block.members for block in blocks]).permute(0, 3, 1, 2)


def _in_order(made: Sequence[torch.Tensor], members: Sequence[np.ndarray]) -> torch.Tensor:
    """The pictures of all blocks (B, ...), in the order of the batch."""
    order = np.argsort(np.concatenate(members), kind="stable")
    joined = torch.cat(list(made)).contiguous()
    if (order == np.arange(len(order))).all():
        return joined
    return joined[torch.from_numpy(order).to(joined.device)]


def _of_whole(axis: int, sizes: np.ndarray, flips: np.ndarray, shifts: np.ndarray, frame: Frame) -> Lines:
    """Lines (axis 0) or columns (1) of pictures fitted as for an answer, then shifted by whole pixels and mirrored."""
    length = (frame.height, frame.width)[axis]
    found = fitted(sizes[:, 0], sizes[:, 1], frame)
    resized, firsts = found[axis], found[2 + axis]
    # Pairs of flips and shifts are along x and y. Flipping comes after the shift, as in `warp.py`.
    flip, shift = flips[:, 1 - axis, None], shifts[:, 1 - axis, None]
    indices = np.where(flip, length - 1 - np.arange(length), np.arange(length)) - np.where(flip, -shift, shift)
    if frame.fit != "pad":
        indices = reflected_indices(indices, length)
    lines = indices + firsts[:, None]
    steps = sizes[:, axis] / resized
    shown = (lines >= 0) & (lines < resized[:, None])
    return Lines(np.where(shown, (lines + 0.5) * steps[:, None], np.nan), steps)


def _of_box(axis: int, matrices: np.ndarray, spans: np.ndarray, frame: Frame) -> Lines:
    """The same of upright boxes (B, 2, 2) of whole pixels, which are cut out and fill the output."""
    length = (frame.height, frame.width)[axis]
    sides = (spans[:, axis, 1] - spans[:, axis, 0]).astype(np.float64)
    mirrored = matrices[:, 1 - axis, 1 - axis] < 0
    steps = sides / length
    places = (np.arange(length) + 0.5) * steps[:, None]
    return Lines(np.where(mirrored[:, None], sides[:, None] - places, places), steps)


def upright(
    pixels: torch.Tensor, sizes: np.ndarray, rows: Lines, columns: Lines, interpolation: str = "bilinear"
) -> tuple[torch.Tensor, torch.Tensor]:
    """A block (b, H, W, C) of pictures of these sizes (b, 2), resampled at rows and columns: (b, h, w, C) `float32`,
    0 where nothing is shown; and whether something is, (b, h, w, 1), 1 or 0."""
    count, height, width, channels = pixels.shape
    across = filters(columns, sizes[:, 1], width, interpolation, pixels.device)
    down = filters(rows, sizes[:, 0], height, interpolation, pixels.device)
    standing = pixels.permute(0, 2, 1, 3).contiguous().float()  # copied while it is small
    wide = across @ standing.view(count, width, height * channels)
    if pixels.dtype == torch.uint8 and interpolation != "bilinear":
        wide = wide.clamp_(0, 255)  # as resizing in whole numbers does: bicubic weights reach beyond
    turned = wide.view(count, -1, height, channels).permute(0, 2, 1, 3).reshape(count, height, -1)
    made = (down @ turned).view(count, down.shape[1], across.shape[1], channels)
    shown = [torch.from_numpy(~np.isnan(one.places)).to(pixels.device, torch.float32) for one in (rows, columns)]
    return made, (shown[0][:, :, None] * shown[1][:, None, :])[..., None]


def filters(lines: Lines, lengths: np.ndarray, longest: int, interpolation: str, device: torch.device) -> torch.Tensor:
    """What each pixel of a line of a picture counts in each pixel of the output, (b, n, longest) `float32`.

    lengths (b,): of the pictures, at most `longest`. The filter is that of torch's antialiased resize (and Pillow's): a
    triangle, or the cubic of Keys 1981 with a = -1/2, as wide as the step from pixel to pixel where that is more than
    1, and cut off at the picture's edge. Each line sums to 1; those that show nothing, to 0.
    """
    places, steps, ends = (
        torch.from_numpy(np.asarray(one, dtype=np.float64)).to(device) for one in (lines.places, lines.steps, lengths)
    )
    centres = torch.arange(longest, dtype=torch.float64, device=device) + 0.5
    away = ((centres - places[:, :, None]) / steps.clamp_min(1)[:, None, None]).abs()
    if interpolation == "bicubic":
        near = (1.5 * away - 2.5) * away * away + 1
        far = ((-0.5 * away + 2.5) * away - 4) * away + 2
        weights = torch.where(away < 1, near, torch.where(away < 2, far, 0.0))
    else:
        weights = (1 - away).clamp_min(0)
    weights = torch.where((centres < ends[:, None, None]) & ~away.isnan(), weights, 0.0)
    sums = weights.sum(dim=2, keepdim=True)
    return (weights / torch.where(sums == 0, 1.0, sums)).float()


def _warped(
    pictures: np.ndarray | Sequence[np.ndarray], placement: Placement, frame: Frame, beside: Beside
) -> torch.Tensor:
    """Each picture by its matrix, (B, C, h, w)."""
    if isinstance(pictures, np.ndarray):
        blocks = packed(pictures, frame.channels, beside)
        made = [
            warp.warp_block(block.pixels, placement.select(block.members), frame).permute(0, 2, 3, 1)
            for block in blocks
        ]
        return _in_order(made, [block.members for block in blocks]).permute(0, 3, 1, 2)
    views = [
        warp.view_of(matrix, picture.shape[:2], frame, reach)
        for matrix, picture, reach in zip(placement.matrices, pictures, placement.reaches.tolist(), strict=True)
    ]
    blocks = packed([view.cut(picture) for view, picture in zip(views, pictures, strict=True)], frame.channels, beside)
    made = []
    for block in blocks:
        here = [views[index] for index in block.members]
        reduced, matrices = np.array([view.reduced for view in here]), np.stack([view.onto for view in here])
        values = block.pixels.float()
        if (reduced != block.sizes).any():
            rows, columns = (_of_reduced(block.sizes[:, axis], reduced[:, axis]) for axis in (0, 1))
            values, _ = upright(block.pixels, block.sizes, rows, columns)
        there = placement.select(block.members)
        sampled = _sampled_each(values, reduced, matrices @ there.matrices, there, frame)
        made.append(warp.as_type(sampled, block.pixels.dtype).permute(0, 2, 3, 1))
    return _in_order(made, [block.members for block in blocks]).permute(0, 3, 1, 2)


def _of_reduced(lengths: np.ndarray, reduced: np.ndarray) -> Lines:
    """Of whole pictures of these lengths (b,), brought to `reduced` pixels; to the most of any, beyond them nothing."""
    indices, steps = np.arange(int(reduced.max())), lengths / reduced
    return Lines(np.where(indices < reduced[:, None], (indices + 0.5) * steps[:, None], np.nan), steps)


def _sampled_each(
    values: torch.Tensor, sizes: np.ndarray, matrices: np.ndarray, placement: Placement, frame: Frame
) -> torch.Tensor:
    """Bilinear samples of pictures of these sizes (b, 2) in a block (b, H, W, C) `float32`, each by its matrix, output
    -> picture, after the field of its placement: (b, C, h, w) `float32`."""
    device = values.device
    height, width = values.shape[1:3]
    steps, sides = (torch.from_numpy(np.asarray(one, dtype=np.float64)).to(device) for one in (matrices, sizes))
    x = torch.arange(frame.width, dtype=torch.float64, device=device) + 0.5
    y = torch.arange(frame.height, dtype=torch.float64, device=device) + 0.5
    field = None if placement.field is None else torch.from_numpy(placement.field).to(device)
    grid = torch.empty((len(matrices), frame.height, frame.width, 2), device=device)
    for axis, of in ((0, width), (1, height)):
        side, one = sides[:, 1 - axis, None, None], steps[:, axis, :, None, None]
        at = one[:, 0] * x + one[:, 1] * y[:, None] + one[:, 2]
        if field is not None:
            at += one[:, 0] * field[:, 0] + one[:, 1] * field[:, 1]
        if placement.reflect:
            # About each picture's own edges; the block's are others.
            at = at.remainder(2 * side)
            at = torch.minimum(torch.minimum(at, 2 * side - at).clamp_min(0.5), side - 0.5)
        grid[..., axis] = at * (2 / of) - 1
    colour = torch.from_numpy(fill_of(frame)).to(device)
    if not placement.reflect:
        lines, columns = (torch.arange(length, device=device) for length in (height, width))
        inside = (lines < sides[:, 0, None])[:, :, None, None] & (columns < sides[:, 1, None])[:, None, :, None]
        values = torch.where(inside, values - colour, 0.0)
    planes = values.permute(0, 3, 1, 2).contiguous()
    made = functional.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return made if placement.reflect else made + colour.view(1, -1, 1, 1)
