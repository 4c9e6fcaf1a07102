"""What a network is built for, and what `build_network` gives back: the network, what was done to it, its input.

Imports no torch, so that the table of networks can be read without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a network is built for: pictures of so many channels and of `size` (rows, columns), and so many outputs.

    `arguments` are its class's own.
    """

    num_outputs: int
    channels: int
    size: tuple[int, int]
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InputDefaults:
    """How the pictures of a network with weights, or of one size only, have to come.

    `size` is (rows, columns); `mean` and `deviation` are in [0, 1] units, one a channel, and None where
    the network starts from random weights and the values are to be fitted on the data.
    `crop_share`: the share of the shorter side that the centre crop keeps.
    """

    size: tuple[int, int]
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    interpolation: str = "bilinear"
    crop_share: float = 1.0

    def for_channels(self, channels: int) -> InputDefaults:
        """The same for grey pictures: the means of the colours' values."""
        if self.mean is None or self.deviation is None or len(self.mean) == channels:
            return self
        mean = sum(self.mean) / len(self.mean)
        deviation = sum(self.deviation) / len(self.deviation)
        return replace(self, mean=(mean,) * channels, deviation=(deviation,) * channels)


@dataclass(frozen=True, kw_only=True)
class BuiltNetwork:
    """A network that takes (B, channels, rows, columns) and gives (B, num_outputs).

    `notes` are sentences for the log. `size` is (rows, columns) that it was checked with: what was asked
    for, or its own where it cannot take that. Built again with the same name, outputs, channels, arguments
    and this `size`, with or without weights, it has the same tensors by name and shape.
    `input_defaults` is None where any normalisation of pictures of the size asked for will do.
    """

    network: nn.Module
    notes: tuple[str, ...]
    size: tuple[int, int]
    input_defaults: InputDefaults | None
