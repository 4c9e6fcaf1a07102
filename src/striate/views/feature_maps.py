"""What every layer makes of a picture: its feature maps. (B, C, H, W) -> (B, U, h, w) a layer.

Legend: B pictures, U units (channels of a layer), h w cells of its maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import require
from striate.taps.places import Place, find_places, place_named
from striate.taps.unchanged import unchanged
from striate.taps.watching import watching
from striate.views.maps import require_pictures
from striate.views.one_pass import maps_of


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """A layer and what it gave: `values` (B, U, h, w) float32 on the CPU; a vector has one cell."""

    place: Place
    values: Tensor

    def strongest(self, picture: int = 0, most: int | None = None) -> list[int]:
        """The units with the highest maximum in one picture, highest first."""
        order = self.values[picture].amax(dim=(1, 2)).sort(descending=True, stable=True).indices
        return [int(unit) for unit in order[:most]]


def feature_maps(
    network: nn.Module, pictures: Tensor, *, layers: Sequence[str] | None = None, output: str | int | None = None
) -> tuple[FeatureMaps, ...]:
    """The feature maps of `pictures` (B, C, H, W, as the network takes them) at `layers`, in the order given.

    layers: None means every place that has maps. Raises InputError for one that does not exist or has no units.
    """
    require_pictures(pictures)
    places = find_places(network, pictures[:1], output=output)
    if layers is None:
        chosen = [place for place in places if place.name and place.spatial]
    else:
        chosen = [place_named(places, name) for name in dict.fromkeys(layers)]
    for place in chosen:
        require(place.layout != "other", f"{place.name} ({place.kind}) gives no maps and no vector")
    with unchanged(network) as bare, watching(bare, [place.name for place in chosen]) as seen, torch.inference_mode():
        bare(pictures)
        kept = [maps_of(place, seen[place.name]).float().cpu() for place in chosen]
    # Outside of inference mode a copy is a plain tensor, which may be differentiated through.
    return tuple(FeatureMaps(place, values.clone()) for place, values in zip(chosen, kept, strict=True))
