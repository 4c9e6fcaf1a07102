"""Weights as pictures: the filters that look at the picture itself, and the templates of linear layers.

A filter of the first layer is what it answers to most, up to its length; a linear layer on pixels holds one template a
class (Bishop 2006, section 4.3.4; Zeiler and Fergus 2014, figure 6, for filters). Deeper filters mean nothing by
themselves: their inputs are no colours.

Legend: U units, C channels, h w sides of a filter, D inputs of a linear layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from striate.errors import InputError, require
from striate.taps.places import Place, find_places, place_named
from striate.taps.unchanged import unchanged
from striate.views.maps import require_pictures

Kind = Literal["filters", "templates", "grid", "matrix"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """The weights of a layer, float32 on the CPU.

    filters: (U, C, h, w) of a convolution on the picture. templates: (U, C, H, W) of a linear layer on its pixels.
    grid: (U, C, h, w) of a linear layer on C maps of h x w cells. matrix: (U, D) of any other linear layer.
    """

    layer: str
    kind: Kind
    values: Tensor


def filters(
    network: nn.Module, pictures: Tensor, *, layers: Sequence[str] | None = None, output: str | int | None = None
) -> tuple[Weights, ...]:
    """The weights of `layers` as pictures, in order of execution.

    pictures: (B, C, H, W) as the network takes them; one is enough, it tells which layer looks at what. layers: None
    means the first convolution, if the picture comes to it before any other weights, and every linear layer on vectors.
    Raises InputError for a layer that does not exist, and for one whose weights are no pictures.
    """
    require_pictures(pictures)
    places = find_places(network, pictures[:1], output=output)
    # Weights that are computed, as those of a spectral norm, are so in evaluation mode.
    with unchanged(network) as bare:
        found = [
            one for number, place in enumerate(places) if (one := _weights(bare, places[:number], place, pictures))
        ]
    if layers is None:
        return tuple(found)
    by_name = {one.layer: one for one in found}
    for name in layers:
        place = place_named(places, name)
        if place.name not in by_name:
            have = ", ".join(by_name) or "no layer of this network"
            raise InputError(
                f"the weights of {name} ({place.kind}) are no pictures: those of the first convolution and of linear "
                f"layers are; here {have}"
            )
    return tuple(one for one in found if one.layer in layers)


def _weights(network: nn.Module, before: Sequence[Place], place: Place, pictures: Tensor) -> Weights | None:
    """None where they are no picture."""
    module = network.get_submodule(place.name.partition("#")[0])
    if "#" in place.name:
        return None  # the same weights again
    if isinstance(module, nn.Conv2d):
        if any(_has_weights(network, one) for one in before):
            return None
        return Weights(layer=place.name, kind="filters", values=_plain(module.weight))
    if not isinstance(module, nn.Linear) or place.layout != "vector":
        return None
    values = _plain(module.weight)
    seen = tuple(pictures.shape[1:])
    if math.prod(seen) == values.shape[1] and not any(_has_weights(network, one) for one in before):
        return Weights(layer=place.name, kind="templates", values=values.reshape(-1, *seen))
    for one in reversed(before):
        if math.prod(one.shape) != values.shape[1]:
            break
        # Flattened, dropped out or pooled: as many values as the linear layer takes, still in their places.
        if one.layout == "maps" and one.spatial:
            return Weights(layer=place.name, kind="grid", values=values.reshape(-1, *one.shape))
    return Weights(layer=place.name, kind="matrix", values=values)


def _has_weights(network: nn.Module, place: Place) -> bool:
    module = network.get_submodule(place.name.partition("#")[0])
    return isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)


def _plain(weight: Tensor) -> Tensor:
    require(weight.ndim in (2, 4), f"weights of {weight.ndim} axes are no pictures")
    return weight.detach().float().cpu().clone()
