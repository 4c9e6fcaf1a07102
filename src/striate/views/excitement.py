"""What a dream is to raise: a class's score, one unit in the middle of its map, a whole channel, or a whole layer.

Legend: B pictures, K units asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from striate.errors import InputError, require
from striate.machine.memory import is_out_of_memory
from striate.networks.build import IMPOSSIBLE
from striate.taps.outputs import scores
from striate.taps.places import Place, as_maps, find_places, place_named
from striate.taps.watching import stopping_at

Kind = Literal["class", "unit", "channel", "layer"]
Output = str | int | None
COARSEST = 16.5  # pixels for a cell of a map, with what padding adds


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is to be raised. `place` is None for classes; `indices` are classes or channels, one (0) for a layer."""

    kind: Kind
    place: Place | None
    indices: tuple[int, ...]
    output: Output = None

    @property
    def any_size(self) -> bool:
        """Whether it can be found in pictures of another size than those that it was found with. Of tokens, which are
        the grid and which are not is known for one size."""
        return self.place is None or self.place.layout != "tokens"

    def of(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """(B, C, H, W) as the network takes them -> how strongly each raises each of `indices`, (B, K),
        differentiable. A layer as a whole: the mean of its squares (Mordvintsev, Olah, Tyka 2015)."""
        chosen = list(self.indices)
        if self.place is None:
            return scores(network, inputs, self.output)[:, chosen]
        with stopping_at(network, self.place.name) as given:
            found = given(inputs)
        if self.kind == "layer":
            return found.float().flatten(1).square().mean(1, keepdim=True)
        if self.place.layout == "vector":
            return found[:, chosen].float()
        maps = as_maps(self.place, found)[:, chosen].float()
        if self.kind == "channel":
            return maps.mean((2, 3))
        return maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]


def find_target(
    network: nn.Module, pictures: Tensor, kind: Kind, indices: Sequence[int], layer: str | None, output: Output = None
) -> Target:
    """The target of that kind in `network` (in evaluation mode), which takes pictures like these (B, C, H, W).

    Raises InputError: a layer or an index that it does not have, a layer without channels.
    """
    if kind == "class":
        require(layer is None, f"a class is of the network's scores, not of layer '{layer}'; leave one of them away")
        with torch.no_grad():
            count = scores(network, pictures[:1], output).shape[1]
        _check(indices, count, "class", f"the network gives {count} scores, for classes 0 to {count - 1}")
        return Target(kind=kind, place=None, indices=tuple(indices), output=output)
    if layer is None:
        raise InputError(f"which {kind}? name the layer that it is in")
    place = place_named(find_places(network, pictures, output=output), layer)
    if kind == "layer":
        return Target(kind=kind, place=place, indices=(0,), output=output)
    require(
        place.layout != "other",
        f"layer '{layer}' gives neither maps nor a vector (a {place.kind} of shape "
        f"{'x'.join(map(str, place.shape))}), so it has no units; name another",
    )
    count = place.channels
    _check(indices, count, kind, f"layer '{layer}' has {count} channels, 0 to {count - 1}")
    return Target(kind=kind, place=place, indices=tuple(indices), output=output)


def _check(indices: Sequence[int], count: int, kind: str, there: str) -> None:
    require(len(indices) > 0, f"no {kind} was asked for")
    wrong = [index for index in indices if not 0 <= index < count]
    require(not wrong, f"no {kind} {wrong[0] if wrong else ''}: {there}")


def refusal(network: nn.Module, pictures: Tensor) -> str | None:
    """Why the network cannot take pictures (B, C, H, W) of this size, in its own words; None where it can."""
    try:
        with torch.no_grad():
            network(pictures[:1])
    except IMPOSSIBLE as error:
        if is_out_of_memory(error):
            raise
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None


def middle_layer(network: nn.Module, pictures: Tensor, output: Output = None) -> str:
    """The layer that DeepDream is told by where none is named: the last whose maps have a cell for 16 pixels or fewer.

    Above it there are hardly any places left to change, below it only edges and textures. Raises InputError where the
    network has no maps.
    """
    spatial = [place for place in find_places(network, pictures, output=output) if place.spatial]
    require(bool(spatial), "the network has no layer with maps; name a class")
    fine = [place for place in spatial if place.stride is not None and max(place.stride) <= COARSEST]
    return (fine or spatial)[-1].name
