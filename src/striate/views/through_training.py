"""The same units after each epoch that was kept: what excites each most, and which parts of it do.

Zeiler and Fergus 2014, section 4 and fig. 4: for each unit of a layer the strongest activation over the pictures, and
that activation alone brought back to the pixels by the deconvnet (section 2.1), epoch by epoch.

Legend: E epochs, U units, B pictures, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import require
from striate.taps.fields import Fields, receptive_fields
from striate.taps.places import Place
from striate.taps.rectifiers import require_rectifiers
from striate.taps.unchanged import unchanged
from striate.taps.watching import watching
from striate.views.deconvnet import Deconvnet
from striate.views.excitement import find_target
from striate.views.maps import require_pictures
from striate.views.one_pass import maps_of
from striate.views.unit_windows import Windows, found_windows

AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Film:
    """`units` (channels of `layer`) after each of `epochs`; all tensors are on the CPU.

    activations: (E, U) float32, the strongest over the pictures. rows: (E, U) int64, in which picture (the first of
    equals). boxes: (E, U, 4) int64, what the unit sees there: top, left, bottom, right, half-open. reconstructions:
    (E, U, C, H, W) float32, that activation brought back to the pixels, 0 outside of the box.
    """

    layer: str
    units: tuple[int, ...]
    epochs: tuple[int, ...]
    activations: Tensor
    rows: Tensor
    boxes: Tensor
    reconstructions: Tensor


@dataclass(frozen=True, eq=False)
class _Watched:
    """Units of one place."""

    place: Place
    fields: Fields
    units: tuple[int, ...]
    windows: Windows | None


def through_training(
    networks: Iterable[tuple[int, nn.Module]],
    pictures: Tensor,
    units: Sequence[int],
    *,
    layer: str,
    output: str | int | None = None,
    observe: Callable[[int], None] | None = None,
) -> Film:
    """The film of these units of one layer: see `films`."""
    return films(networks, pictures, {layer: units}, output=output, observe=observe)[layer]


def films(
    networks: Iterable[tuple[int, nn.Module]],
    pictures: Tensor,
    units: Mapping[str, Sequence[int]],
    *,
    output: str | int | None = None,
    observe: Callable[[int], None] | None = None,
) -> dict[str, Film]:
    """Of each layer the film of these units. networks: (epoch, network) in order, one at a time, all of one shape, such
    as `(epoch, striate.load(run, epoch=epoch).network)`; each sees all pictures once. pictures: (B, C, H, W) as they
    take them. observe(epoch) after each.

    Raises InputError: no network, an unknown layer or unit, activations that are no rectifiers, for which the deconvnet
    says nothing.
    """
    require_pictures(pictures)
    epochs: list[int] = []
    found: dict[str, list[tuple[Tensor, Tensor, Tensor, Tensor]]] = {name: [] for name in units}
    watched: list[_Watched] = []
    for epoch, network in networks:
        with unchanged(network) as bare:
            if not epochs:
                watched = _watched(bare, pictures, units, output)
            strongest = _strongest(bare, pictures, watched)
            for one in watched:
                found[one.place.name].append(_of_one(bare, pictures, one, *strongest[one.place.name]))
        epochs.append(epoch)
        if observe is not None:
            observe(epoch)
    require(bool(epochs), "there is no epoch to show; train with --keep-epochs 1")
    made = {}
    for one in watched:
        name = one.place.name
        activations, rows, boxes, reconstructions = (torch.stack(part) for part in zip(*found[name], strict=True))
        made[name] = Film(
            layer=name,
            units=one.units,
            epochs=tuple(epochs),
            activations=activations,
            rows=rows,
            boxes=boxes,
            reconstructions=reconstructions,
        )
    return made


def _watched(
    network: nn.Module, pictures: Tensor, units: Mapping[str, Sequence[int]], output: str | int | None
) -> list[_Watched]:
    """The places of these layers. Raises InputError as `films`."""
    require_rectifiers(network, pictures[:1], "features through training")
    places = []
    for layer, asked in units.items():
        place = find_target(network, pictures[:1], "unit", asked, layer, output).place
        assert place is not None
        places.append(place)
    _, channels, height, width = pictures.shape
    fields = receptive_fields(network, list(units), (channels, height, width), output=output)
    found = []
    for place in places:
        own = fields[place.name]
        windows = found_windows(network, place, own, pictures[:1]) if place.spatial else None
        found.append(_Watched(place, own, tuple(units[place.name]), windows))
    return found


def _of_one(
    network: nn.Module, pictures: Tensor, watched: _Watched, best: Tensor, rows: Tensor, cells: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Activations (U,), rows (U,), boxes (U, 4), reconstructions (U, C, H, W) of one network."""
    across = len(watched.fields.columns)
    at = [(int(cell) // across, int(cell) % across) for cell in cells]
    # What goes back through a deconvnet is the activation itself; it is linear in it.
    way = Deconvnet(network, watched.place, watched.windows)
    made = way.reconstructions(pictures[rows.to(pictures.device)], watched.units, at) * best.view(-1, 1, 1, 1)
    return best, rows, torch.tensor([watched.fields.at(*cell) for cell in at], dtype=torch.int64), made


@torch.no_grad()
def _strongest(
    network: nn.Module, pictures: Tensor, watched: Sequence[_Watched]
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """By layer the strongest activation of each unit (U,), its picture (U,) and its cell of the map (U,)."""
    by_name = {one.place.name: one for one in watched}
    values: dict[str, list[Tensor]] = {name: [] for name in by_name}
    cells: dict[str, list[Tensor]] = {name: [] for name in by_name}

    def reading(name: str, given: Tensor) -> Tensor:
        """(B, U, cells)"""
        return maps_of(by_name[name].place, given)[:, list(by_name[name].units)].flatten(2)

    with watching(network, list(by_name), reading=reading) as seen:
        for some in torch.split(pictures, AT_ONCE):
            network(some)
            for name in by_name:
                strongest, where = seen[name].max(dim=2)
                values[name].append(strongest.float().cpu())
                cells[name].append(where.cpu())
    found = {}
    for name in by_name:
        best, rows = torch.cat(values[name]).max(dim=0)
        found[name] = best, rows, torch.cat(cells[name]).gather(0, rows[None])[0]
    return found
