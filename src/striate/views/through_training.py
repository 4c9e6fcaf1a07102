"""The same units after each epoch that was kept: what excites each most, and which parts of it do.

Zeiler and Fergus 2014, section 4 and fig. 4: for each unit of a layer the strongest activation over the pictures, and
that activation alone brought back to the pixels by the deconvnet (section 2.1), epoch by epoch.

Legend: E epochs, U units, B pictures, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import require
from striate.taps.fields import Fields, receptive_fields
from striate.taps.places import Place, as_maps
from striate.taps.rectifiers import rectifying, require_rectifiers
from striate.taps.unchanged import unchanged
from striate.taps.watching import watching
from striate.views.excitement import find_target
from striate.views.maps import require_pictures

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


def through_training(
    networks: Iterable[tuple[int, nn.Module]],
    pictures: Tensor,
    units: Sequence[int],
    *,
    layer: str,
    output: str | int | None = None,
    observe: Callable[[int], None] | None = None,
) -> Film:
    """The film of these units. networks: (epoch, network) in order, one at a time, all of one shape, such as
    `(epoch, striate.load(run, epoch=epoch).network)`. pictures: (B, C, H, W) as they take them. observe(epoch) after
    each.

    Raises InputError: no network, an unknown layer or unit, activations that are no rectifiers, for which the deconvnet
    says nothing.
    """
    require_pictures(pictures)
    epochs, found = [], []
    where: tuple[Place, Fields] | None = None
    for epoch, network in networks:
        with unchanged(network) as bare:
            if where is None:
                require_rectifiers(bare, pictures[:1], "features through training")
                place = find_target(bare, pictures[:1], "unit", units, layer, output).place
                assert place is not None
                _, channels, height, width = pictures.shape
                where = place, receptive_fields(bare, [layer], (channels, height, width), output=output)[layer]
            found.append(_of_one(bare, pictures, list(units), *where))
        epochs.append(epoch)
        if observe is not None:
            observe(epoch)
    require(bool(epochs), "there is no epoch to show; train with --keep-epochs 1")
    activations, rows, boxes, reconstructions = (torch.stack(one) for one in zip(*found, strict=True))
    return Film(
        layer=layer,
        units=tuple(units),
        epochs=tuple(epochs),
        activations=activations,
        rows=rows,
        boxes=boxes,
        reconstructions=reconstructions,
    )


def _of_one(
    network: nn.Module, pictures: Tensor, units: list[int], place: Place, fields: Fields
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Activations (U,), rows (U,), boxes (U, 4), reconstructions (U, C, H, W) of one network."""
    best, rows, cells, across = _strongest(network, pictures, units, place)
    boxes = [fields.at(int(cell) // across, int(cell) % across) for cell in cells]
    chosen = pictures[rows].detach().requires_grad_()
    with torch.enable_grad(), rectifying("deconvolution"), watching(network, [place.name], keep_graph=True) as seen:
        network(chosen)
        maps = _maps(place, seen[place.name])[:, units].flatten(2)
        each = torch.arange(len(units), device=maps.device)
        (back,) = torch.autograd.grad(maps[each, each, cells.to(maps.device)].sum(), chosen)
    # What goes back through a deconvnet is the activation itself; it is linear in it.
    back = back.float().cpu() * best.view(-1, 1, 1, 1)
    return best, rows, torch.tensor(boxes, dtype=torch.int64), back


@torch.no_grad()
def _strongest(
    network: nn.Module, pictures: Tensor, units: list[int], place: Place
) -> tuple[Tensor, Tensor, Tensor, int]:
    """The strongest activation of each unit (U,), its picture (U,) and its cell of the map (U,), and the cells in a row
    of that map."""
    values, cells, across = [], [], 1
    for some in torch.split(pictures, AT_ONCE):
        with watching(network, [place.name]) as seen:
            network(some)
            maps = _maps(place, seen[place.name])[:, units]
        strongest, where = maps.flatten(2).max(dim=2)
        values.append(strongest.float().cpu())
        cells.append(where.cpu())
        across = maps.shape[3]
    all_values, all_cells = torch.cat(values), torch.cat(cells)
    best, rows = all_values.max(dim=0)
    return best, rows, all_cells.gather(0, rows[None])[0], across


def _maps(place: Place, seen: Tensor) -> Tensor:
    """(B, C, h, w), a vector as maps of one cell."""
    return seen[:, :, None, None] if place.layout == "vector" else as_maps(place, seen)
