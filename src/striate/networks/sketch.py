"""Networks without values: every tensor has its shape and takes no memory, whatever the arguments ask for.

torch's meta device does this, but loads the compiler (a second) as soon as initial weights are drawn there; here they
are not drawn at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

# What initial weights are made of; of a tensor without values nothing is left to be done.
FILLING = frozenset({"normal_", "uniform_", "fill_", "zero_", "copy_", "mul_", "add_", "div_", "clamp_", "erfinv_"})


@contextmanager
def sketching() -> Iterator[None]:
    """While it is open, what is built has shapes alone."""
    with torch.device("meta"), _NothingIsFilled():
        yield


class _NothingIsFilled(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        filled = args[0] if args else named.get("tensor")  # torch.nn.init passes it by name
        if getattr(func, "__name__", "") in FILLING and isinstance(filled, Tensor) and filled.is_meta:
            return filled
        return func(*args, **named)
