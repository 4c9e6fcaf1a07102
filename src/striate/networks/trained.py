"""A network that somebody else trained: by its name, with a file of weights or those that its makers publish.

How many outputs it has, and for how many colours it was made, is told by the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from striate.errors import InputError, require
from striate.networks.build import IMPOSSIBLE, Found, find, try_once
from striate.networks.built import Asked, InputDefaults
from striate.networks.heads import find_head
from striate.networks.sketch import sketching
from striate.networks.stems import first_convolution, fit_channels
from striate.networks.weights import AUXILIARY, load_into, read_weights

SOME_CLASSES = 1000  # of a sketch, of which only names and other shapes are asked


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A network with weights, in evaluation mode, for pictures (B, `channels`, *`size`).

    own_input: what it was trained with, as far as its makers say; None where they do not. class_names: what its
    `num_outputs` outputs mean, where the weights are those that its makers publish; else None.
    """

    network: nn.Module
    num_outputs: int
    channels: int
    size: tuple[int, int]
    own_input: InputDefaults | None
    class_names: tuple[str, ...] | None
    notes: tuple[str, ...]


def trained_network(
    name: str,
    *,
    weights: Path | None = None,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    cache: Path | None = None,
) -> TrainedNetwork:
    """The network called `name` (see `build_network`) with the weights in a file, or with published ones.

    weights: safetensors, or .pth/.pt read without running anything in it; None: what its makers publish, fetched into
    `cache`. size: rows and columns; None: those of its makers. channels: 1 or 3; None: as many as the weights were
    made for.

    Raises InputError: an unknown name, weights of another network or without its last layer, a network whose size
    nobody says, no published weights.
    """
    found = find(name)
    own = found.own_input()
    if size is None:
        if own is None:
            raise InputError(
                f"{name}: which pictures it was trained with is not in its weights; name the folder of its run, or "
                "say it in Python with input_spec"
            )
        size = own.size
    names: tuple[str, ...] | None = None
    with torch.random.fork_rng(devices=[]):
        if weights is None:
            names = found.published_classes()
            require(
                bool(names),
                f"there are no published weights of {name} that answer with classes; name a file of weights with "
                "--weights",
            )
            network, notes = _published(found, name, len(names), size, cache)
            outputs, colours = len(names), 3
        else:
            state = read_weights(weights)
            head, outputs, colours = _told_by(found, name, weights, state, size, channels)
            network = _made(found, name, outputs, size, colours)
            notes = load_into(network, found.adapted(network, state), head, str(weights), AUXILIARY)
        channels = channels or colours
        fitted = fit_channels(network, channels, has_weights=True)
        if own is None or size != own.size:
            try:
                try_once(found, network, channels, size, outputs)
            except IMPOSSIBLE as error:
                raise _impossible(name, size, error) from error
    return TrainedNetwork(
        network=network.eval(),
        num_outputs=outputs,
        channels=channels,
        size=size,
        own_input=None if own is None else own.for_channels(channels),
        class_names=names,
        notes=(*notes, *([] if fitted is None else [fitted])),
    )


def _published(
    found: Found, name: str, outputs: int, size: tuple[int, int], cache: Path | None
) -> tuple[nn.Module, list[str]]:
    try:
        return found.published(Asked(num_outputs=outputs, channels=3, size=size), cache)
    except IMPOSSIBLE as error:
        raise _impossible(name, size, error) from error


def _made(found: Found, name: str, outputs: int, size: tuple[int, int], channels: int) -> nn.Module:
    """The network as its makers wrote it, for so many channels, with random weights.

    Unlike one that is to be trained its stem is not fitted to small pictures: its weights are those of the stem it has.
    """
    try:
        first = channels if found.takes_channels else 3
        network = found.build(Asked(num_outputs=outputs, channels=first, size=size))
    except IMPOSSIBLE as error:
        raise _impossible(name, size, error) from error
    fit_channels(network, channels, has_weights=False)
    return network


def _impossible(name: str, size: tuple[int, int], error: Exception) -> InputError:
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{name} cannot take pictures of {size[0]}x{size[1]} pixels: {why}")


def _told_by(
    found: Found,
    name: str,
    weights: Path,
    state: dict[str, Tensor],
    size: tuple[int, int],
    channels: int | None,
) -> tuple[str, int, int]:
    """The last layer of the network whose weights these are, its outputs, and the channels of its input."""
    try:
        with sketching():
            sketch = found.build(Asked(num_outputs=SOME_CLASSES, channels=channels or 3, size=size))
    except IMPOSSIBLE:  # its making needs values, or the size cannot be, which is then said
        sketch = _made(found, name, SOME_CLASSES, size, channels or 3)
    state = found.adapted(sketch, state)
    head, own = find_head(sketch).name, sketch.state_dict()
    # A last layer that is missing, or is another network's, would be left with random weights, as for a training.
    for part in (f"{head}.weight", f"{head}.bias"):
        if part in own and (part not in state or state[part].shape[1:] != own[part].shape[1:]):
            raise InputError(
                f"{weights}: not the weights of {name}, or without its last layer ({part} is "
                f"{'missing' if part not in state else 'of another shape'}); name the network that they belong to "
                "with --network"
            )
    stem = first_convolution(sketch)
    first = None if stem is None else state.get(f"{stem[0]}.weight")
    # A stem of groups, or none: then its input is as the network was built.
    told = first is not None and first.dim() == 4 and first.shape[1] in (1, 3)
    colours = int(first.shape[1]) if first is not None and told else channels or 3
    return head, int(state[f"{head}.weight"].shape[0]), colours
