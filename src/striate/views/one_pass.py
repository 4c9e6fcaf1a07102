"""One pass over pictures, in which every unit of the chosen layers is watched at once. Memory holds one batch.

Legend: B pictures, C channels, H W pixels, U units (channels of a layer), h w cells of its maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from striate.errors import InputError, require
from striate.taps.places import Place, as_maps, find_places, place_named
from striate.taps.unchanged import unchanged
from striate.taps.watching import stopping_at, watching
from striate.views.chapters import chapters
from striate.views.maps import require_pictures

AT_ONCE = 32  # pictures of a tensor that go through the network at a time


class Batch(NamedTuple):
    """Pictures as the network takes them, with what is known of each."""

    pictures: Tensor  # (B, C, H, W)
    rows: Tensor  # (B,) int64: their numbers, ascending from batch to batch
    targets: Tensor | None = None  # (B,) int64: their classes; -1 where one has none


class Watcher(Protocol):
    """What a pass tells of each batch at one layer."""

    def add(self, maps: Tensor, maxima: Tensor, means: Tensor, batch: Batch) -> None:
        """maps (B, U, h, w); of each picture and unit the maximum and the mean over the cells, (B, U) float32.

        Nothing of it may be kept: the next batch takes the same memory.
        """
        ...


@dataclass(frozen=True, eq=False)
class Watched:
    """A layer and what watched it."""

    place: Place
    watchers: tuple[Watcher, ...]


def one_pass(
    network: nn.Module,
    pictures: Tensor | Iterable[Batch],
    layers: Sequence[str] | None,
    watchers: Callable[[Place], Sequence[Watcher]],
    *,
    output: str | int | None = None,
) -> dict[str, Watched]:
    """Let `watchers(place)`, made for each of `layers` (None: those of `chapters`), see all pictures once; them again.

    pictures: (N, C, H, W) as the network takes them, or batches, which are asked for one at a time. The network
    answers in evaluation mode and is afterwards what it was. Raises InputError without pictures, and for a layer that
    does not exist or has no units.
    """
    coming = as_batches(pictures)
    first = next(coming, None)
    if first is None:
        raise InputError("there are no pictures to look at")
    require_pictures(first.pictures)
    places = find_places(network, first.pictures[:1], output=output)
    names = chapters(network, places) if layers is None else layers
    require(len(names) > 0, "no layer is named, and none of this network has units that could be shown")
    chosen = [place_named(places, name) for name in dict.fromkeys(names)]
    for place in chosen:
        require(place.layout != "other", f"{place.name} ({place.kind}) gives no maps and no vector: it has no units")
    found = {place.name: Watched(place, tuple(watchers(place))) for place in chosen}
    order = [place.name for place in places if place.name in found]
    batch = first

    def tell(name: str, given: Tensor) -> Tensor:
        """In the midst of the pass, so that no more than one layer's maps need be there."""
        maps = maps_of(found[name].place, given).float()
        maxima, means = maps.amax(dim=(2, 3)), maps.mean(dim=(2, 3))
        for watcher in found[name].watchers:
            watcher.add(maps, maxima, means, batch)
        return maxima

    with (
        unchanged(network) as bare,
        watching(bare, order, reading=tell) as seen,
        stopping_at(bare, order[-1]) as run,
    ):
        for batch in chain([first], coming):
            with torch.inference_mode():
                run(batch.pictures)
            for name in order:
                require(name in seen, f"the network does not come to {name} for all of these pictures")
    return {name: found[name] for name in order}


def maps_of(place: Place, seen: Tensor) -> Tensor:
    """What was seen at a place as (B, U, h, w); a vector has one cell."""
    return seen[:, :, None, None] if place.layout == "vector" else as_maps(place, seen)


def as_batches(pictures: Tensor | Iterable[Batch], targets: Tensor | None = None) -> Iterator[Batch]:
    """Batches as they are; a tensor (N, C, H, W), with its `targets` (N,), in parts."""
    if not isinstance(pictures, Tensor):
        yield from pictures
        return
    for start in range(0, len(pictures), AT_ONCE):
        part = pictures[start : start + AT_ONCE]
        meant = None if targets is None else targets[start : start + AT_ONCE]
        yield Batch(part, torch.arange(start, start + len(part)), meant)
