"""What in a picture a unit's value came from: the deconvnet's way back from one value to the pixels.

Zeiler and Fergus 2014 (arXiv:1311.2901), section 2.1: down through max-pooling's switches, rectifiers that let only
positive signals pass, and transposed filters: the gradient with the deconvolution rule of `taps/rectifiers.py`. It
needs rectifiers. Of a unit that sees a part of the picture alone, that part is computed and nothing around it.

Legend: N pictures, U units, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import InputError, require
from striate.taps.fields import Fields
from striate.taps.places import Place, find_places, place_named
from striate.taps.rectifiers import rectifying, require_rectifiers
from striate.taps.unchanged import unchanged
from striate.taps.watching import stopping_at
from striate.views.backward import pictures_at_once
from striate.views.maps import require_pictures
from striate.views.one_pass import maps_of
from striate.views.unit_windows import Windows, cut_out, found_windows, put_back


@dataclass(frozen=True, eq=False)
class Deconvnet:
    """The way back from the units of one place of a network; by windows where there are some, else by whole ones."""

    network: nn.Module
    place: Place
    windows: Windows | None = None

    def reconstructions(
        self,
        pictures: Tensor,
        units: Sequence[int] | np.ndarray,
        cells: Sequence[tuple[int, int]] | np.ndarray,
    ) -> Tensor:
        """What it makes of one value each: picture i, unit `units[i]`, at `cells[i]` (row, column) of its map.

        pictures (N, C, H, W) as the network takes them -> (N, C, H, W) float32 on the CPU, in units of the value for a
        unit of the input; zero outside the receptive field. Raises InputError for units or cells beyond the place.
        """
        require_pictures(pictures)
        asked = np.asarray(units, dtype=np.int64)
        places = np.asarray(cells, dtype=np.int64).reshape(-1, 2)
        require(
            len(asked) == len(places) == len(pictures),
            f"{len(pictures)} pictures need as many units and cells, got {len(asked)} and {len(places)}",
        )
        _require_inside(self.place, asked, places)
        at = [(int(row), int(column)) for row, column in places]
        made = []
        with unchanged(self.network) as bare:
            for start in range(0, len(pictures), self._at_once(pictures)):
                part = slice(start, start + self._at_once(pictures))
                made.append(self._back(bare, pictures[part], asked[part].tolist(), at[part]))
        return torch.cat(made)

    def _at_once(self, pictures: Tensor) -> int:
        if self.windows is None:
            return pictures_at_once(pictures)
        height, width = self.windows.size
        return pictures_at_once(pictures[:1, :, :height, :width])

    def _back(self, bare: nn.Module, pictures: Tensor, units: list[int], cells: list[tuple[int, int]]) -> Tensor:
        if self.windows is None:
            return _back_from(bare, pictures, self.place, units, cells)
        inside = [self.windows.cell(*cell) for cell in cells]
        parts = _back_from(bare, cut_out(pictures, self.windows, cells), self.place, units, inside)
        return put_back(parts, self.windows, cells, (pictures.shape[2], pictures.shape[3]))


def deconvnet(
    network: nn.Module,
    picture: Tensor,
    layer: str,
    *,
    fields: Fields | None = None,
    output: str | int | None = None,
) -> Deconvnet:
    """The deconvnet of the units of `layer`. picture: (1, C, H, W), any, as the network takes them.

    fields: the units' receptive fields; with them, windows of the pictures are enough where units see little.
    Raises InputError for a network with activations that are no rectifiers (its name and theirs are said), and for a
    layer that does not exist.
    """
    place = place_named(find_places(network, picture[:1], output=output), layer)
    require_rectifiers(network, picture[:1], "the deconvnet reconstruction")
    windows = None if fields is None or not place.spatial else found_windows(network, place, fields, picture[:1])
    return Deconvnet(network, place, windows)


def reconstructions(
    network: nn.Module,
    pictures: Tensor,
    layer: str,
    units: Sequence[int] | np.ndarray,
    cells: Sequence[tuple[int, int]] | np.ndarray,
    *,
    fields: Fields | None = None,
    output: str | int | None = None,
) -> Tensor:
    """`Deconvnet.reconstructions` of a layer by its name: (N, C, H, W) float32. Raises InputError as both do."""
    require_pictures(pictures)
    made = deconvnet(network, pictures[:1], layer, fields=fields, output=output)
    return made.reconstructions(pictures, units, cells)


def _back_from(
    bare: nn.Module, pictures: Tensor, place: Place, units: Sequence[int], cells: Sequence[tuple[int, int]]
) -> Tensor:
    """One value of each picture (N, C, H, W) brought back, (N, C, H, W) float32 on the CPU; `bare` from `unchanged`."""
    given = pictures.detach().clone().requires_grad_()
    with torch.enable_grad(), rectifying("deconvolution"), stopping_at(bare, place.name) as run:
        maps = maps_of(place, run(given))
        require(maps.requires_grad, f"{place.name} has no gradient: it cannot be brought back to the picture")
        rows, columns = zip(*cells, strict=True)
        index = (torch.tensor(one, device=maps.device) for one in (range(len(units)), list(units), rows, columns))
        (gradient,) = torch.autograd.grad(maps[tuple(index)].sum(), given)
    return gradient.float().cpu()


def _require_inside(place: Place, units: np.ndarray, cells: np.ndarray) -> None:
    wrong = units[(units < 0) | (units >= place.channels)]
    if len(wrong):
        raise InputError(f"{place.name} has units 0 to {place.channels - 1}, not {int(wrong[0])}")
    height, width = place.shape[1:] if len(place.shape) == 3 else (1, 1)
    outside = cells[((cells < 0) | (cells >= (height, width))).any(axis=1)]
    if len(outside):
        raise InputError(f"{place.name} has {height}x{width} cells, none at {tuple(outside[0].tolist())}")
