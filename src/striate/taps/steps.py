"""How far apart neighbouring units of a map look, in rows and columns of the input: the step between their fields.

That is not the picture's rows over the map's, which padding and its absence bend: a map of 13 cells a side that sees
224 pixels may well have a step of 16. Where fields reach beyond the picture on both sides, as those of the last maps of
deep networks do, no two of them show the step. Then it is that of another map of as many rows and columns, and, where
none of these shows it either, that of a map below, times the step in its cells of what the units see of it.

C channels, H W rows and columns of the input, h w of a map.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from striate.taps.fields import Fields, by_all, plain_picture, units_reached
from striate.taps.places import Place, find_places
from striate.taps.unchanged import unchanged

Step = tuple[int, int]


def field_steps(
    network: nn.Module, fields: Mapping[str, Fields], shape: tuple[int, int, int], *, output: str | int | None = None
) -> dict[str, Step | None]:
    """Name -> rows and columns of the input from a unit to its neighbours, of the places whose `fields` these are.

    `fields` are those of `receptive_fields` for inputs of this `shape` (C, H, W). None: a place without a map of more
    than one cell, units that are not evenly spaced, and units of which every one sees everything, where no map of as
    many rows and columns comes before that (attention, squeeze-and-excitation).
    """
    with unchanged(network) as bare, torch.no_grad():
        plain = plain_picture(bare, shape)
        places = [place for place in find_places(bare, plain, output=output) if place.name in fields and place.spatial]
        of_grid: dict[tuple[int, ...], Step | None] = {}
        for place in places:
            shown = fields[place.name].step
            if shown is not None:
                of_grid.setdefault(place.shape[1:], shown)
        for position, place in enumerate(places):
            if place.shape[1:] not in of_grid:
                of_grid[place.shape[1:]] = _from_below(bare, plain, places[:position], place, of_grid)
    found: dict[str, Step | None] = dict.fromkeys(fields)
    for place in places:
        found[place.name] = fields[place.name].step or of_grid[place.shape[1:]]
    return found


def _from_below(
    network: nn.Module,
    plain: Tensor,
    earlier: list[Place],
    place: Place,
    of_grid: Mapping[tuple[int, ...], Step | None],
) -> Step | None:
    """The step of `place` by way of the last earlier map whose step is known; None where that does not tell it."""
    for below in reversed(earlier):
        step = of_grid[below.shape[1:]]
        if step is not None:
            cells = _cells_apart(network, plain, below, place)
            return None if cells is None else (step[0] * cells[0], step[1] * cells[1])
    return None


def _cells_apart(network: nn.Module, plain: Tensor, below: Place, place: Place) -> Step | None:
    """The step of `place` in cells of the map `below`."""
    seen = {}
    for along in (2, 3):
        count = below.shape[along - 1]
        # Mostly what hides the step is that every unit sees everything: one line tells that.
        middle = units_reached(network, plain, [place], np.array([count // 2]), along, below)[place.name]
        if middle.all():
            return None
        seen[along] = by_all(units_reached(network, plain, [place], np.arange(count), along, below)[place.name])
    return Fields(seen[2], seen[3]).step
