"""From a name to a network that takes the pictures at hand: found, built, given weights, fitted, tried once.

B batch, size (rows, columns).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from striate.errors import InputError, did_you_mean, require, unknown
from striate.networks import NETWORKS, network_names
from striate.networks.built import Asked, BuiltNetwork, InputDefaults
from striate.networks.heads import find_head
from striate.networks.imagenet_names import imagenet_names
from striate.networks.sketch import sketching
from striate.networks.stems import first_convolution, fit_channels, fit_size, on_meta
from striate.networks.weights import AUXILIARY, load_into, read_weights

LARGEST_SIDE = 4096
MOST_OUTPUTS = 1_000_000
MOST_WEIGHTS = 4_000_000_000
LARGE_PATCH = 8  # a vision transformer's; pixels beyond the last whole patch would be lost without a word
# What PyTorch and the networks' authors raise for a size or an argument that cannot be.
IMPOSSIBLE = (RuntimeError, ValueError, AssertionError, TypeError, IndexError, KeyError, ZeroDivisionError)
MOST_PIXELS_TO_TRY = 512 * 512  # beyond, shapes alone are checked: one picture could take minutes and gigabytes


class Found(Protocol):
    """A network that a name stands for, not built yet."""

    @property
    def name(self) -> str:
        """Without a prefix."""
        ...

    @property
    def takes_channels(self) -> bool:
        """Whether `build` takes any number of channels; if not, three."""
        ...

    @property
    def fits_size(self) -> bool:
        """Whether `build` makes the stem for the size of the pictures by itself."""
        ...

    def own_input(self) -> InputDefaults | None:
        """What its published weights want."""
        ...

    def published_classes(self) -> tuple[str, ...]:
        """What its published weights know, in the order of their outputs; () where they answer with no classes, or
        there are none."""
        ...

    def argument_names(self) -> list[str]:
        """What `arguments` may hold."""
        ...

    def build(self, asked: Asked) -> nn.Module:
        """With random weights."""
        ...

    def published(self, asked: Asked, cache: Path | None) -> tuple[nn.Module, list[str]]:
        """With its makers' weights, and sentences for the log."""
        ...

    def adapted(self, network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights from a file, made to fit the size that `network` was built for."""
        ...


@dataclass(frozen=True)
class OwnNetwork:
    """A row of `NETWORKS`."""

    name: str
    takes_channels = True

    @property
    def fits_size(self) -> bool:
        """Those for small pictures do."""
        return "size" in inspect.signature(NETWORKS[self.name].load()).parameters

    def own_input(self) -> InputDefaults | None:
        """Of its published weights; None where it has none."""
        return NETWORKS[self.name].own_input

    def published_classes(self) -> tuple[str, ...]:
        """ImageNet's, or none."""
        return imagenet_names() if NETWORKS[self.name].published is not None else ()

    def argument_names(self) -> list[str]:
        """Of its class."""
        given = ("num_outputs", "channels", "size")
        return [name for name in inspect.signature(NETWORKS[self.name].load()).parameters if name not in given]

    def build(self, asked: Asked) -> nn.Module:
        """With random weights."""
        factory = NETWORKS[self.name].load()
        settings = {"num_outputs": asked.num_outputs, "channels": asked.channels, **asked.arguments}
        if "size" in inspect.signature(factory).parameters:
            settings["size"] = asked.size
        return factory(**settings)

    def published(self, asked: Asked, cache: Path | None) -> tuple[nn.Module, list[str]]:
        """As the row of the table says; InputError where it says nothing."""
        row = NETWORKS[self.name]
        if row.published is None:
            raise InputError(
                f"there are no published weights of {self.name}; leave --pretrained away, or use efficientnet-lite0"
            )
        # They are for colours; the first convolution is fitted to grey afterwards.
        network = self.build(replace(asked, channels=3))
        notes: list[str] = row.function(row.published)(network, self.name, cache)
        return network, notes

    def adapted(self, network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Under our names, where their makers have others."""
        row = NETWORKS[self.name]
        if row.renamed is None:
            return state
        ours: dict[str, Tensor] = row.function(row.renamed)(state)
        return ours


def find(name: str) -> Found:
    """Whose network `name` is: ours, torchvision's, timm's, in this order. Raises InputError: nobody's."""
    family, slash, plain = name.partition("/")
    if not slash:
        if name in NETWORKS:
            return OwnNetwork(name)
        family, plain = "", name
    if family in ("", "torchvision"):
        from striate.networks import torchvision_networks

        if plain in torchvision_networks.names():
            return torchvision_networks.TorchvisionNetwork(plain)
        if family:
            raise unknown("torchvision network", plain, torchvision_networks.names())
    if family in ("", "timm"):
        from striate.networks import timm_networks

        if timm_networks.knows(plain):
            return timm_networks.TimmNetwork(plain)
        if family:
            raise unknown("timm network", plain, timm_networks.names())
    raise unknown("network", name, network_names())


def every_argument(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments`, with the defaults of a network of ours for the others: what a file has to say of it, so that it is
    built alike when a default has changed."""
    if name not in NETWORKS:
        return dict(arguments)
    parameters = inspect.signature(NETWORKS[name].load()).parameters
    defaults = {one: parameters[one].default for one in OwnNetwork(name).argument_names()}
    return defaults | dict(arguments)


def build(
    name: str,
    *,
    num_outputs: int,
    channels: int,
    size: int | tuple[int, int],
    pretrained: bool,
    weights: Path | None,
    arguments: Mapping[str, Any],
    seed: int,
    cache: Path | None,
) -> BuiltNetwork:
    """As `striate.networks.build_network` says."""
    sides = (size, size) if isinstance(size, int) else (size[0], size[1])
    for side in sides:
        require(1 <= side <= LARGEST_SIDE, f"picture size must be 1 to {LARGEST_SIDE} pixels, got {side}")
    require(1 <= num_outputs <= MOST_OUTPUTS, f"outputs must be 1 to {MOST_OUTPUTS}, got {num_outputs}")
    of_rows = sides == (1, 1) and name in NETWORKS and NETWORKS[name].takes_rows
    require(channels in (1, 3) or of_rows, f"channels must be 1 or 3, got {channels}")
    require(
        not (pretrained and weights is not None), "give --pretrained or --weights FILE, not both: one set of weights"
    )
    found = find(name)
    asked = Asked(num_outputs=num_outputs, channels=channels, size=sides, arguments=arguments)
    state = None if weights is None else read_weights(Path(weights))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _check_arguments(found, asked)
        with_weights = pretrained or state is not None
        if with_weights and isinstance(found, OwnNetwork):
            taken = sides  # ours take every size, so that none has to be built to find out
        else:
            network, notes, taken = _of_random_weights(found, asked)
        if with_weights:
            torch.manual_seed(seed)
            at = replace(asked, size=taken)
            if state is None:
                network, notes = found.published(_of_its_channels(found, at), cache)
            else:
                network, notes = _from_state(found, at, state, str(weights))
            notes += _fit(found, network, channels, taken, has_weights=True)
            try_once(found, network, channels, taken, num_outputs)
    own = found.own_input()
    defaults = None
    if (pretrained or weights is not None) and own is not None:
        defaults = replace(own.for_channels(channels), size=taken)
    elif taken != sides:
        defaults = InputDefaults(size=taken)
    if taken != sides:
        notes.append(
            f"{name} cannot take pictures of {_times(sides)} pixels; they are brought to {_times(taken)} for it"
        )
    return BuiltNetwork(network=network, notes=tuple(notes), size=taken, input_defaults=defaults)


def _of_its_channels(found: Found, asked: Asked) -> Asked:
    """The same for the three channels of colours, where it is built for no others."""
    return asked if found.takes_channels else replace(asked, channels=3)


def _of_random_weights(found: Found, asked: Asked) -> tuple[nn.Module, list[str], tuple[int, int]]:
    """Built for the size asked for, or the nearest one that the network can take."""
    own = found.own_input()
    # Vision transformers cut pictures into whole patches; Inception needs 75 pixels.
    larger = (_rounded_up(asked.size, step) for step in (16, 32, 48))
    sizes = [asked.size, *larger, *([own.size] if own is not None else [])]
    reason: Exception | None = None
    for size in dict.fromkeys(sizes):
        try:
            network = found.build(_of_its_channels(found, replace(asked, size=size)))
            notes = _fit(found, network, asked.channels, size, has_weights=False)
            try_once(found, network, asked.channels, size, asked.num_outputs)
        except IMPOSSIBLE as error:
            if isinstance(found, OwnNetwork) and not asked.arguments:
                raise  # ours take every size: this is a defect
            reason = reason or error
        else:
            return network, notes, size
    why = (str(reason).splitlines() or [type(reason).__name__])[0]
    given = f" with {dict(asked.arguments)}" if asked.arguments else ""
    raise InputError(
        f"{found.name}{given} cannot take pictures of {_times(asked.size)} pixels with {asked.channels} channels: {why}"
    ) from reason


def _from_state(found: Found, asked: Asked, state: dict[str, Tensor], origin: str) -> tuple[nn.Module, list[str]]:
    """Built with as many input channels as the file's weights have, then loaded."""
    first = 3
    probe = found.build(asked)
    stem = first_convolution(probe)
    state = found.adapted(probe, state)
    if stem is not None:
        in_file = state.get(f"{stem[0]}.weight")
        first = in_file.shape[1] if in_file is not None and in_file.dim() == 4 else stem[1].in_channels
    # Without a convolution there is nothing to fit: the file must have been made for these channels.
    first = first if stem is not None and first in (1, 3) else asked.channels
    network = found.build(replace(asked, channels=first))
    fit_channels(network, first, has_weights=False)
    head = find_head(network).name
    notes = load_into(network, state, head, origin, AUXILIARY)
    return network, [f"{found.name} starts from the weights in {origin}", *notes]


def _fit(found: Found, network: nn.Module, channels: int, size: tuple[int, int], has_weights: bool) -> list[str]:
    notes = (
        fit_channels(network, channels, has_weights=has_weights),
        None if found.fits_size else fit_size(network, size, channels, has_weights=has_weights),
    )
    return [note for note in notes if note is not None]


def try_once(found: Found, network: nn.Module, channels: int, size: tuple[int, int], num_outputs: int) -> None:
    """One picture in evaluation mode, and the shapes of two in training mode. Raises one of `IMPOSSIBLE`."""
    if isinstance(found, OwnNetwork):
        return  # made for every size, which the contract tests hold them to; torch's meta kernels cost a second to load
    stem = first_convolution(network)
    if stem is not None and stem[1].kernel_size == stem[1].stride and stem[1].stride[0] >= LARGE_PATCH:
        patch = stem[1].stride[0]
        if any(side % patch or side < 2 * patch for side in size):
            raise ValueError(f"it cuts pictures into patches of {patch}x{patch} pixels")
    network.eval()
    with torch.no_grad():
        if size[0] * size[1] <= MOST_PIXELS_TO_TRY:
            outputs = network(torch.zeros(1, channels, *size))
        else:
            outputs = on_meta(network, (1, channels, *size))
        _check_outputs(outputs, (1, num_outputs))
    network.train()
    try:
        with torch.no_grad():
            outputs = on_meta(network, (2, channels, *size))
    except NotImplementedError:  # an operation that needs values
        return
    _check_outputs(outputs, (2, num_outputs))


def _check_outputs(outputs: object, shape: tuple[int, int]) -> None:
    if not isinstance(outputs, Tensor):
        raise ValueError(f"it gives a {type(outputs).__name__}, not one tensor")
    if tuple(outputs.shape) != shape:
        raise ValueError(f"it gives outputs of {_times(outputs.shape)} where {_times(shape)} are needed")


def _check_arguments(found: Found, asked: Asked) -> None:
    """Known names, and not more weights than any machine holds: counted without making them."""
    arguments = asked.arguments
    if not arguments and found.name not in ("linear", "mlp"):
        return
    if arguments:
        known = found.argument_names()
        for argument in arguments:
            if argument not in known:
                hint = did_you_mean(argument, known)
                listed = f"; it has {', '.join(known)}" if known else "; it has none"
                raise InputError(f"network {found.name} has no argument '{argument}'{hint or listed}")
    try:
        with sketching():
            shapes = found.build(_of_its_channels(found, asked))
    except NotImplementedError:  # initial weights that need values
        return
    except IMPOSSIBLE as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"network {found.name} cannot be built with {dict(arguments)}: {why}") from error
    count = sum(weight.numel() for weight in shapes.parameters())
    require(
        count <= MOST_WEIGHTS,
        f"network {found.name} would have {count:,} weights for pictures of {_times(asked.size)} pixels; "
        "use smaller pictures or a smaller network",
    )


def _rounded_up(size: tuple[int, int], step: int) -> tuple[int, int]:
    rows, columns = (max(2 * step, -(-side // step) * step) for side in size)
    return rows, columns


def _times(sides: Iterable[int]) -> str:
    return "x".join(str(side) for side in sides)
