"""The places in a network, in order of execution: what each gives, how it is laid out, and which one is for Grad-CAM.

B pictures, C channels, H W rows and columns of a map, N tokens, D their width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from striate.errors import InputError, require, unknown
from striate.taps.layouts import Layout, Layouts
from striate.taps.outputs import bare_network, scores
from striate.taps.unchanged import unchanged
from striate.taps.watching import on_every_call, watching

# What these give is what they are given, or a rougher picture of it: the map before them is the one to look at.
_PASSED_OVER = ("Identity", "Dropout", "Dropout2d", "Permute", "Flatten", "StochasticDepth", "DropPath")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A module that gives one tensor, in one of its calls.

    `name` is that of `named_modules()`; the later calls of a module that is used again are "relu#2", "relu#3".
    `kind` is the class of the module, "Conv2d".
    `shape` is for one picture: (C, H, W) where there is a map, as `as_maps` gives it; (D,) for a vector.
    `stride`: input pixels for each row and each column of the map, None where there is no map.
    `extra_tokens`: class tokens, distillation tokens and registers before the grid of tokens.
    `feeds_head`: whether the scores are made from its map. False for patches above which only the class token counts,
    and for a map whose channels are the scores themselves.
    """

    name: str
    kind: str
    layout: Layout
    shape: tuple[int, ...]
    stride: tuple[float, float] | None
    extra_tokens: int = 0
    feeds_head: bool = True

    @property
    def channels(self) -> int:
        """How many features the place has."""
        return self.shape[0] if self.shape else 1

    @property
    def spatial(self) -> bool:
        """Whether it has a map of more than one cell."""
        return self.stride is not None and self.shape[1:] != (1, 1)


def find_places(network: nn.Module, pictures: Tensor, *, output: str | int | None = None) -> tuple[Place, ...]:
    """The places of a network in order of execution, by a forward pass of the first of `pictures` (B, C, H, W).

    `output` says which of several outputs holds the scores. Where there are several, or tokens that stand for no patch,
    a backward pass finds which maps the scores are made from. The network is as it was afterwards.
    Raises InputError where the network gives no scores (`scores`).
    """
    picture = pictures[:1]
    with unchanged(network) as bare:
        with torch.no_grad(), finding_places(bare, picture) as places:
            classes = scores(bare, picture, output).shape[1]
        if output is not None or any(place.extra_tokens for place in places):
            places = _read_by_scores(bare, picture, output, places)
        return _without_scores(bare, places, classes)


@contextmanager
def finding_places(network: nn.Module, pictures: Tensor) -> Iterator[list[Place]]:
    """While this lasts, a forward pass of `pictures` (B, C, H, W) fills the list with the places that it comes to.

    `network` is a bare one. All of the places say that they feed the head: `find_places` looks further.
    """
    rows, columns = pictures.shape[-2:]
    layouts = Layouts(network, (rows, columns))
    places: list[Place] = []
    latest: list[tuple[Tensor, Place]] = []

    def look(name: str, module: nn.Module, given: Tensor) -> None:
        if not given.is_floating_point() or given.ndim == 0:
            return
        if latest and latest[0][0] is given:  # a container gives what its last module gave
            place = replace(latest[0][1], name=name, kind=type(module).__name__)
        else:
            # Of one picture each, unless there are several windows or heads of each.
            first = 1 if len(given) == len(pictures) else len(given) + 1
            layout, grid, extra = layouts.find(module, (first, *given.shape[1:]))
            place = Place(
                name=name,
                kind=type(module).__name__,
                layout=layout,
                shape=tuple(given.shape[1:]) if grid is None else (_channels(layout, given), *grid),
                stride=None if grid is None else (rows / grid[0], columns / grid[1]),
                extra_tokens=extra,
            )
        places.append(place)
        latest[:] = [(given, place)]

    modules = {name: module for name, module in network.named_modules() if name}
    try:
        with on_every_call(network, modules, look):
            yield places
    finally:
        latest.clear()


def place_named(places: Sequence[Place], name: str) -> Place:
    """The place of this name. Raises InputError with the nearest name where there is none."""
    for place in places:
        if place.name == name:
            return place
    raise InputError(f"{unknown('layer', name, [place.name for place in places])}; striate look RUN --list shows all")


def default_place(network: nn.Module, places: Sequence[Place]) -> Place:
    """The place for Grad-CAM: the last map of more than one cell that the scores are made from.

    Of vision transformers with a class token, that is the norm before the last attention. Raises InputError where the
    network has no such map, and where it has one only far below what its other layers make of it.
    """
    bare = bare_network(network)
    name = type(bare).__name__
    for position in range(len(places) - 1, -1, -1):
        place = places[position]
        # Between the features of tokens and their next features there are queries, keys, values: no features.
        inner = place.layout == "tokens" and place.kind == "Linear"
        passed_over = place.kind in _PASSED_OVER or place.kind.startswith("Adaptive") or inner
        if place.spatial and place.feeds_head and not passed_over:
            above = [later for later in places[position + 1 :] if _weighted(bare, later)]
            if 2 * sum(later.layout == "other" for later in above) > len(above):
                raise InputError(
                    f"most layers of {name} above '{place.name}' give no map of rows and columns that can be told; "
                    "name the layer to look at"
                )
            return place
    raise InputError(f"{name} has no layer with a map of more than one cell, which this view needs")


def as_maps(place: Place, tensor: Tensor) -> Tensor:
    """What was seen at a place, or gradients there, as maps (B, C, H, W), without a copy. Extra tokens are left out.

    Raises InputError where the place has no map.
    """
    if place.layout == "maps":
        return tensor
    if place.layout == "channels-last":
        return tensor.movedim(-1, 1)
    if place.layout == "tokens":
        patches = tensor[:, place.extra_tokens :].transpose(1, 2)
        grid = place.shape[1:]
        require(
            patches.shape[2] == grid[0] * grid[1],
            f"'{place.name}' was found with {grid[0]}x{grid[1]} patches and now has {patches.shape[2]}; "
            "find the places again with pictures of this size",
        )
        return patches.view(*patches.shape[:2], *grid)
    shape = "x".join(map(str, place.shape))
    raise InputError(f"'{place.name}' ({place.kind}) has no map: it gives {shape} numbers for a picture")


def _channels(layout: Layout, given: Tensor) -> int:
    return given.shape[1] if layout == "maps" else given.shape[-1]


def _read_by_scores(network: nn.Module, picture: Tensor, output: str | int | None, places: list[Place]) -> list[Place]:
    """The places with `feeds_head`: NaN as the gradient of the scores spreads to all that they are made from.

    Unlike a plain gradient it does so through weights of zero, with which heads often begin.
    """
    spatial = [place for place in places if place.spatial]
    with watching(network, [place.name for place in spatial], keep_graph=True) as seen:
        answer = scores(network, picture, output)
    reached = [place for place in spatial if place.name in seen]
    if not answer.requires_grad or not reached:
        return places
    gradients = torch.autograd.grad(
        answer, [seen[place.name] for place in reached], torch.full_like(answer, torch.nan), allow_unused=True
    )
    unread = {
        place.name
        for place, gradient in zip(reached, gradients, strict=True)
        if gradient is None or not as_maps(place, gradient).isnan().any()
    }
    return [replace(place, feeds_head=place.name not in unread) for place in places]


def _without_scores(network: nn.Module, places: list[Place], classes: int) -> tuple[Place, ...]:
    """The places with `feeds_head` False for a head that is a convolution itself, and for what follows it."""
    weighted = [position for position, place in enumerate(places) if _weighted(network, place)]
    if not weighted:
        return tuple(places)
    head = weighted[-1]
    own_map = places[head].spatial and places[head].channels == classes
    # A network whose only map is that of the scores is looked at there.
    if not own_map or not any(place.spatial for place in places[:head]):
        return tuple(places)
    return tuple(
        replace(place, feeds_head=place.feeds_head and (position < head or not place.spatial))
        for position, place in enumerate(places)
    )


def _weighted(network: nn.Module, place: Place) -> bool:
    """Whether the place's module has weights of its own, not only those of modules in it."""
    module = network.get_submodule(place.name.partition("#")[0])
    return next(module.parameters(recurse=False), None) is not None
