"""The mean training picture, which AlexNet takes off its inputs in the place of a mean colour (Krizhevsky et al. 2012,
section 2).

A file of its own in the run folder, as safetensors. Legend: C channels, h w of the network's input, n pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from striate.errors import InputError, require

if TYPE_CHECKING:
    import torch

TENSOR = "mean"
LARGEST = 256 * 2**20  # bytes


@dataclass(frozen=True, eq=False)
class MeanPicture:
    """values (C, h, w) float32 in [0, 1] units. Equal to another one of the same values."""

    values: np.ndarray

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MeanPicture) and bool(np.array_equal(self.values, other.values))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.values.shape, self.values.tobytes()))

    def to_bytes(self) -> bytes:
        """A safetensors file."""
        from safetensors.numpy import save

        return save({TENSOR: np.ascontiguousarray(self.values)})


def mean_picture(prepared: Iterable[torch.Tensor]) -> MeanPicture:
    """The mean of pictures (C, h, w) as the network takes them, `uint8` or `float32` in [0, 255].

    Sums are in float64: of 8-bit pictures they are exact, whatever the order. Raises InputError without pictures.
    """
    number, total = 0, np.zeros(())
    for picture in prepared:
        total = total + picture.numpy().astype(np.float64)
        number += 1
    require(number > 0, "there are no training pictures to take the mean of")
    return MeanPicture((total / (255 * number)).astype(np.float32))


def read_mean_picture(data: Callable[[], bytes], where: str, shape: tuple[int, int, int]) -> MeanPicture:
    """What `to_bytes` gave, for inputs of this shape (C, h, w). Raises InputError, naming `where`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(data())
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{where}: the mean picture cannot be read ({error})") from error
    values = found.get(TENSOR)
    sound = list(found) == [TENSOR] and values is not None and values.shape == shape and values.dtype == np.float32
    require(sound, f"{where}: not the mean of pictures of {'x'.join(map(str, shape))}")
    assert values is not None
    require(bool(np.isfinite(values).all()), f"{where}: the mean picture holds what is no finite number")
    return MeanPicture(values)
