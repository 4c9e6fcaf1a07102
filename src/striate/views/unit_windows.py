"""The window of a picture that is enough for a unit: in it the unit has the value that it has in the whole picture.

A unit's receptive field is enough for its value, if what is cut out begins where the map has a cell of its own: at a
multiple of the map's step, so that every layer below cuts the window into the cells that it cuts the picture into. Its
padding stands where the picture ends, and nowhere that the unit can see it. Windows of one size let many units be
computed at once. That a network does the same in a window is tried before it is believed: one that knows where in a
picture it is (coordinates as channels, a map that is brought to a fixed size) does not.

C channels, H W rows and columns of the input, h w of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.machine.memory import is_out_of_memory
from striate.networks.build import IMPOSSIBLE
from striate.taps.fields import Extent, Fields
from striate.taps.places import Place
from striate.taps.unchanged import unchanged
from striate.taps.watching import stopping_at
from striate.views.one_pass import maps_of

WORTH = 0.75  # of the picture: larger windows are no gain
SAME = 1e-4  # of the largest value; numbers are rounded otherwise in pictures of another size
SEED = 20  # of the pictures that a network is tried on


@dataclass(frozen=True)
class Windows:
    """Windows of `size` (rows, columns), one for each unit of a map with this step: where they begin in the picture."""

    size: tuple[int, int]
    step: tuple[int, int]
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    def at(self, row: int, column: int) -> tuple[int, int]:
        """(top, left) of the window of the unit at this cell."""
        return self.tops[row], self.lefts[column]

    def cell(self, row: int, column: int) -> tuple[int, int]:
        """Where the unit is in the map of its window."""
        return row - self.tops[row] // self.step[0], column - self.lefts[column] // self.step[1]


def windows_around(fields: Fields, size: tuple[int, int]) -> Windows | None:
    """The windows of units with these fields in pictures of `size`; None where the map's step is not known, and where
    they would not be much smaller than the pictures."""
    step = fields.step
    if step is None:
        return None
    height, tops = _along(fields.rows, step[0], size[0])
    width, lefts = _along(fields.columns, step[1], size[1])
    if height * width > WORTH * size[0] * size[1]:
        return None
    return Windows((height, width), step, tops, lefts)


def _along(extents: Sequence[Extent], step: int, length: int) -> tuple[int, tuple[int, ...]]:
    """The length of the windows along one axis, and where each begins: at a multiple of `step`, inside the picture."""
    begins = [start - start % step for start, _ in extents]
    size = max(end - begin for begin, (_, end) in zip(begins, extents, strict=True))
    # The last window ends with the picture: it begins at a multiple of the step, too.
    size += (length - size) % step
    return size, tuple(min(begin, length - size) for begin in begins)


def found_windows(network: nn.Module, place: Place, fields: Fields, picture: Tensor) -> Windows | None:
    """The windows of the units of `place`, whose fields these are; None where whole pictures have to be taken.

    picture: (1, C, H, W), any, as the network takes them. The network is tried on noise: units in the corners and in
    the middle must have the same values, in all channels, in their windows and in the whole.
    """
    windows = windows_around(fields, (picture.shape[2], picture.shape[3]))
    if windows is None:
        return None
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn(picture.shape, generator=generator).to(picture)
    rows, columns = (_tried(len(one)) for one in (fields.rows, fields.columns))
    cells = [(row, column) for row, column in zip(rows, reversed(columns), strict=True)]
    cells += list(zip(rows, columns, strict=True))
    with unchanged(network) as bare, torch.no_grad(), stopping_at(bare, place.name) as run:
        whole = maps_of(place, run(noise))[0]
        try:
            parts = maps_of(place, run(cut_out(noise.expand(len(cells), -1, -1, -1), windows, cells)))
        except IMPOSSIBLE as error:
            if is_out_of_memory(error):
                raise
            return None  # a network for pictures of one size
    most = float(whole.abs().max())
    for part, (row, column) in zip(parts, cells, strict=True):
        down, right = windows.cell(row, column)
        if down >= part.shape[1] or right >= part.shape[2]:
            return None
        if not bool(((part[:, down, right] - whole[:, row, column]).abs() <= SAME * most).all()):
            return None
    return windows


def cut_out(pictures: Tensor, windows: Windows, cells: Sequence[tuple[int, int]]) -> Tensor:
    """(N, C, H, W) -> (N, C, *windows.size): of each picture the window of the unit at its cell."""
    height, width = windows.size
    corners = [windows.at(*cell) for cell in cells]
    cut = [
        picture[:, top : top + height, left : left + width]
        for picture, (top, left) in zip(pictures, corners, strict=True)
    ]
    layout = (
        torch.channels_last if pictures.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    )
    return torch.stack(cut).contiguous(memory_format=layout)


def put_back(parts: Tensor, windows: Windows, cells: Sequence[tuple[int, int]], size: tuple[int, int]) -> Tensor:
    """(N, C, *windows.size) -> (N, C, *size): each window where it was cut out, zero around it."""
    whole = parts.new_zeros((len(parts), parts.shape[1], *size))
    height, width = windows.size
    for one, part, cell in zip(whole, parts, cells, strict=True):
        top, left = windows.at(*cell)
        one[:, top : top + height, left : left + width] = part
    return whole


def _tried(count: int) -> list[int]:
    """The first unit, two neighbours in the middle, so that one of them is no multiple of two, and the last."""
    return [0, max(0, count // 2 - 1), count // 2, count - 1]
