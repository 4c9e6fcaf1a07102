"""What excites a unit most: of many pictures the nine strongest, the patch that it sees of each, and what in it counts.

Zeiler and Fergus 2014 (arXiv:1311.2901), section 2 and figure 2. One pass over the pictures finds them for all units
of all layers at once. A patch is the exact receptive field at the place of the maximum; what in it counts is told by
the deconvnet (`deconvnet.py`), of networks of rectifiers.

Legend: N pictures, U units, T the strongest kept (9), h w cells of a map.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import require
from striate.views.one_pass import Batch, one_pass

COUNT = 9


@dataclass(frozen=True, kw_only=True, eq=False)
class Top:
    """The strongest pictures of every unit of a layer, strongest first; of equal ones those that came first.

    Each picture counts once, by its maximum. Where there are fewer than T pictures the rest has row -1.

    values: (U, T) float32, -inf where there is none. rows: (U, T) int64, the pictures' numbers.
    cells: (U, T, 2) int64, row and column of the maximum in the map, the first of equal ones.
    """

    values: np.ndarray
    rows: np.ndarray
    cells: np.ndarray

    def of(self, unit: int) -> list[tuple[float, int, tuple[int, int]]]:
        """(value, row, cell) of the strongest pictures of one unit, as many as there are."""
        return [
            (float(value), int(row), (int(cell[0]), int(cell[1])))
            for value, row, cell in zip(self.values[unit], self.rows[unit], self.cells[unit], strict=True)
            if row >= 0
        ]


class Strongest:
    """Keeps the strongest pictures while batches go by; memory does not grow with their number."""

    def __init__(self, units: int, count: int = COUNT) -> None:
        require(count >= 1, f"at least one picture of each unit must be kept, got {count}")
        self._values = torch.full((count, units), -torch.inf)
        self._rows = torch.full((count, units), -1, dtype=torch.int64)
        self._cells = torch.zeros((count, units), dtype=torch.int64)
        self._width = 1

    def add(self, maps: Tensor, maxima: Tensor, means: Tensor, batch: Batch) -> None:
        """maps (B, U, h, w), maxima (B, U): see `one_pass.Watcher`."""
        count, self._width = len(self._values), maps.shape[3]
        weakest = self._values[-1].to(maxima.device)
        better = maxima > weakest  # what is no number is never better
        units = better.any(dim=0).nonzero()[:, 0]
        if not len(units):
            return
        better, new = better[:, units], maxima[:, units]
        values = torch.cat([self._values[:, units.cpu()], new.masked_fill(~better, -torch.inf).to(self._values.device)])
        # Stable, and those that are kept already come first: of equal values the earlier stays.
        order = values.sort(dim=0, descending=True, stable=True).indices[:count]
        values = values.gather(0, order)
        # Where the maximum lies is looked up only of those that are kept now: after some hundred pictures, few.
        slot, column = ((order >= count) & (values > -torch.inf)).nonzero(as_tuple=True)
        picture = (order[slot, column] - count).to(maps.device)
        places = maps[picture, units[column.to(maps.device)]].flatten(1).argmax(dim=1)
        units = units.to(self._rows.device)
        rows = batch.rows.to(self._rows.device)[:, None].expand(-1, len(units))
        self._rows[:, units] = torch.cat([self._rows[:, units], rows]).gather(0, order)
        cells = self._cells[:, units].gather(0, order.clamp(max=count - 1))
        cells[slot, column] = places.to(cells.device)
        self._cells[:, units] = cells
        self._values[:, units] = values
        # A picture of a batch that is not better must not take an empty place.
        self._rows[:, units] = self._rows[:, units].masked_fill(self._values[:, units] == -torch.inf, -1)

    def result(self) -> Top:
        """What is kept so far."""
        cells = torch.stack([self._cells // self._width, self._cells % self._width], dim=2)
        return Top(
            values=self._values.T.contiguous().numpy().copy(),
            rows=self._rows.T.contiguous().numpy().copy(),
            cells=cells.permute(1, 0, 2).contiguous().numpy().copy(),
        )


def top_patches(
    network: nn.Module,
    pictures: Tensor | Iterable[Batch],
    *,
    layers: Sequence[str] | None = None,
    count: int = COUNT,
    output: str | int | None = None,
) -> dict[str, Top]:
    """The `count` strongest pictures of every unit of `layers`, by layer.

    pictures: (N, C, H, W) as the network takes them, whose numbers are 0 to N - 1, or batches. layers: None means one
    of each size of map and the last vectors (`chapters`). Fewer pictures than `count` give as many as there are.
    Raises InputError without pictures, and for a layer that does not exist.
    """
    found = one_pass(network, pictures, layers, lambda place: (Strongest(place.channels, count),), output=output)
    return {name: _only(watched.watchers[0]) for name, watched in found.items()}


def _only(watcher: object) -> Top:
    assert isinstance(watcher, Strongest)
    return watcher.result()
