"""What the passes of one network over many blocks of patches share: what was computed once need not be again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from striate.views.incremental.convolution import Convolution

T = TypeVar("T")


class Memo:
    """Values by what they were made of: tensors and convolutions by identity, all else by value.

    A value is kept where everything that it was made of is: given to begin with (the weights of a network, a clean
    picture) or a value that is kept itself. What a network makes anew in every pass is not, and memory stays bounded.
    """

    def __init__(self, given: Iterable[object], base: Memo | None = None) -> None:
        self._kept = {id(one): one for one in given}
        self._values: dict[tuple[object, ...], object] = {}
        self._base = base

    def value(self, made_of: tuple[object, ...], make: Callable[[], T]) -> T:
        """The value that `make` gives for these."""
        key = tuple(_key(one) for one in made_of)
        if key in self._values:
            return self._values[key]  # type: ignore[return-value]
        made = make()
        if all(self._keeps(one) for one in made_of if isinstance(one, Tensor | Convolution)):
            self._values[key] = made
            self._kept[id(made)] = made
        return made

    def _keeps(self, one: object) -> bool:
        return id(one) in self._kept or (self._base is not None and self._base._keeps(one))


def _key(one: object) -> object:
    if isinstance(one, Tensor | Convolution):
        return "by identity", id(one)
    return tuple(_key(part) for part in one) if isinstance(one, list | tuple) else one


@dataclass(eq=False)
class Work:
    """layers: the name of every module, by its id. computed_in: the format of convolutions.

    weights: convolutions made ready; they are the same for all pictures. clean: maps of the clean picture.
    not_local: the layer that was first to need whole maps while patches were small, None where there was none.
    multiply_adds: of the convolutions before that layer, for the whole maps of one picture, in the latest pass.
    """

    layers: Mapping[int, str]
    computed_in: torch.dtype
    weights: Memo
    clean: Memo
    not_local: str | None = None
    multiply_adds: int = 0

    def needs_whole_maps(self) -> None:
        """Note which layer does, the first time: the innermost module that is running."""
        if self.not_local is None:
            self.not_local = _running(self.layers)


def _running(layers: Mapping[int, str]) -> str:
    """The name and kind of the module of the network whose `forward` called us most directly."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and id(owner) in layers:
            name, kind = layers[id(owner)], type(owner).__name__
            return f"{name} ({kind})" if name else kind
    return "an operation outside of any layer"
