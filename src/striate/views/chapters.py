"""Which layers of a network to show where nobody has said: of each size of map the last, and the last vectors.

Legend: a place's `shape` is (C, h, w) for maps and tokens, (D,) for vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from striate.taps.outputs import bare_network
from striate.taps.places import Place

# What gives on what it was given, picked or averaged: its units are those of the layer before.
PASSIVE = (
    *("Identity", "Flatten", "Unflatten", "Permute", "StochasticDepth", "DropPath"),
    *("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout"),
    *("MaxPool2d", "AvgPool2d", "AdaptiveMaxPool2d", "AdaptiveAvgPool2d", "LPPool2d", "SelectAdaptivePool2d"),
)
FEWEST = 3  # layers with maps; a network whose maps have one size throughout (a transformer) shows blocks in between
BLOCKS = 4
VECTORS = 3


def chapters(network: nn.Module, places: Sequence[Place]) -> list[str]:
    """Names of layers, in the order of execution. `places`: those of the network, in that order."""
    bare = bare_network(network)
    order = {place.name: number for number, place in enumerate(places)}
    chosen = {*_maps(bare, places), *_vectors(bare, places)}
    for before, place in pairwise(places):
        # A sequence gives what its last part gave: once is enough.
        if place.kind == "Sequential" and {before.name, place.name} <= chosen and _holds(place.name, before.name):
            chosen.discard(place.name)
    return sorted(chosen, key=lambda name: order[name])


def _maps(network: nn.Module, places: Sequence[Place]) -> list[str]:
    last_of: dict[tuple[int, ...], str] = {}
    before = ""
    passive: set[str] = set()
    for place in places:
        # A sequence that ends with something passive gives what that gave.
        if place.kind in PASSIVE or (place.kind == "Sequential" and before in passive and _holds(place.name, before)):
            passive.add(place.name)
        elif place.name and place.spatial:
            last_of[place.shape[-2:]] = place.name
        before = place.name
    found = list(last_of.values())
    if len(found) < FEWEST:
        found += _blocks(network, places)
    return found


def _blocks(network: nn.Module, places: Sequence[Place]) -> list[str]:
    """Up to BLOCKS, evenly, of the modules with parts of their own that there are most of, the outermost kind."""
    blocks = [
        place
        for place in places
        if place.name and place.spatial and _has_parts(network, place) and "#" not in place.name
    ]
    kinds = Counter(place.kind for place in blocks if place.kind != "Sequential")
    if not kinds or max(kinds.values()) < 2:
        return []
    depth = {place.kind: place.name.count(".") for place in reversed(blocks)}
    kind = max(kinds, key=lambda one: (kinds[one], -depth[one]))
    names = [place.name for place in blocks if place.kind == kind]
    count = min(BLOCKS, len(names))
    return [names[(number + 1) * len(names) // count - 1] for number in range(count)]


def _vectors(network: nn.Module, places: Sequence[Place]) -> list[str]:
    """The last of each run of a linear layer and what acts on its values alone."""
    runs: list[Place] = []
    for place in places:
        if place.layout != "vector" or place.kind in PASSIVE or not place.name or _has_parts(network, place):
            continue
        if isinstance(_module(network, place), nn.Linear):
            runs.append(place)
        elif runs and runs[-1].shape == place.shape:
            runs[-1] = place
    return [place.name for place in runs[-VECTORS:]]


def _module(network: nn.Module, place: Place) -> nn.Module:
    return network.get_submodule(place.name.partition("#")[0])


def _has_parts(network: nn.Module, place: Place) -> bool:
    return next(_module(network, place).children(), None) is not None


def _holds(outer: str, inner: str) -> bool:
    return inner.startswith(f"{outer}.") if outer else True
