"""Cutting rectangles out of maps: a clean map with patches laid over it, all places of a block at once.

Legend: a block has places at r rows and c columns of the picture, n = r c of them, row by row; C channels, H W cells of
a map, h w cells of a patch. All tensors are (n or 1, C, H, W) with the channels last in memory, so that a cell is one
piece of memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from striate.views.incremental.spans import Cells, Span


@dataclass(frozen=True)
class Margins:
    """Cells outside of a map that are asked for: how many on each side, and the value that stands there."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0
    value: float = 0.0


NO_MARGINS = Margins()


def with_margins(clean: Tensor, margins: Margins) -> Tensor:
    """The map (1, C, H, W) with its margins, channels last."""
    sides = (margins.left, margins.right, margins.top, margins.bottom)
    padded = functional.pad(clean, sides, value=margins.value) if any(sides) else clean
    return padded.contiguous(memory_format=torch.channels_last)


def cut(
    padded: Tensor, patch: Tensor, held: tuple[Span, Span], asked: tuple[Cells, Cells], margins: Margins = NO_MARGINS
) -> Tensor:
    """The cells that are asked for, (n, C, rows, columns), of a clean map with each place's patch laid over it.

    padded: the clean map with `margins`. held: the rows and columns of the patches (n, C, h, w).
    """
    rows, columns = asked
    channels, width = padded.shape[1], padded.shape[3]
    cells = padded.permute(0, 2, 3, 1).reshape(-1, channels)
    row = _numbers(rows, margins.top, padded.device) * width
    column = _numbers(columns, margins.left, padded.device)
    numbers = (row[:, None, :, None] + column[None, :, None, :]).reshape(-1)
    shape = (len(rows.first), len(columns.first), rows.count, columns.count, channels)
    found = cells[numbers].reshape(shape)
    laid = patch.permute(0, 2, 3, 1).reshape(*shape[:2], held[0].size, held[1].size, channels)
    for places, into, out_of in _overlaps(held[0], rows):
        for other_places, other_into, other_out_of in _overlaps(held[1], columns):
            found[places, other_places, into, other_into] = laid[places, other_places, out_of, other_out_of]
    return found.reshape(-1, *shape[2:]).permute(0, 3, 1, 2)


def _numbers(cells: Cells, before: int, device: torch.device) -> Tensor:
    """The cells of each place as numbers in the map with margins: (places, count)."""
    first = torch.tensor(cells.first, device=device) + before
    return first[:, None] + cells.step * torch.arange(cells.count, device=device)


def _overlaps(span: Span, asked: Cells) -> Iterator[tuple[slice, slice, slice]]:
    """Runs of places whose patches cover the same of what is asked: (places, where in it, where in the patch)."""
    found = []
    for start, first in zip(span.start, asked.first, strict=True):
        low = max(0, -((first - start) // asked.step))
        high = min(asked.count, (start + span.size - 1 - first) // asked.step + 1)
        found.append((low, max(low, high), first + asked.step * low - start))
    begin = 0
    for place in range(1, len(found) + 1):
        if place == len(found) or found[place] != found[begin]:
            low, high, offset = found[begin]
            if low < high:
                last = offset + asked.step * (high - low - 1) + 1
                yield slice(begin, place), slice(low, high), slice(offset, last, asked.step)
            begin = place
