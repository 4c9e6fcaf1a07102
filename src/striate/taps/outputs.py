"""What a network answers: the scores (B, K), out of a wrapped network, a compiled one, a dictionary or a tuple.

B pictures, K classes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from striate.errors import InputError, require, unknown


def bare_network(network: nn.Module) -> nn.Module:
    """The network itself, out of DistributedDataParallel, DataParallel and `torch.compile`, in whatever order."""
    while True:
        if isinstance(network, nn.parallel.DistributedDataParallel | nn.parallel.DataParallel):
            network = network.module
        elif _is_compiled_wrapper(network):
            network = network.get_submodule("_orig_mod")
        else:
            return network


@contextmanager
def uncompiled(network: nn.Module) -> Iterator[None]:
    """While this lasts, compiled parts of a network run as they are written, so that hooks in them are called."""
    compiled = any(
        _is_compiled_wrapper(module) or getattr(module, "_compiled_call_impl", None) is not None
        for module in network.modules()
    )
    if not compiled:
        yield
        return
    require(
        hasattr(torch.compiler, "set_stance"),
        "to look into a compiled network needs torch 2.6 or later; give the network as it was before it was compiled",
    )
    with torch.compiler.set_stance("force_eager"):
        yield


def _is_compiled_wrapper(network: nn.Module) -> bool:
    # Not imported for this: the compiler takes a second, and where it is not loaded nothing is compiled.
    compiler = sys.modules.get("torch._dynamo")
    return compiler is not None and isinstance(network, compiler.OptimizedModule)


def scores(network: nn.Module, pictures: Tensor, output: str | int | None = None) -> Tensor:
    """The scores (B, K) of `pictures` (B, C, H, W) as the network takes them, before softmax, differentiable.

    `output` is the key or the position of the scores where the network gives a dictionary or a tuple.
    Number formats below float32 are brought to it. Raises InputError where `output` is missing, unknown or not needed,
    and where what the network gives is not one row of scores a picture.
    """
    return scores_in(bare_network(network)(pictures), len(pictures), output)


def scores_in(answered: object, count: int, output: str | int | None = None) -> Tensor:
    """The scores (B, K) in what a network has answered for so many pictures; else as `scores`."""
    given = _picked(answered, output)
    if not isinstance(given, Tensor) or not given.is_floating_point():
        what = f"a tensor of {given.dtype}" if isinstance(given, Tensor) else f"a {type(given).__name__}"
        raise InputError(f"the network gives {what} where scores are needed: a tensor of numbers, one row a picture")
    if given.ndim != 2 or len(given) != count:
        shape = "x".join(map(str, given.shape)) or "no axes"
        raise InputError(
            f"the network gives a tensor of {shape} for {count} pictures; "
            "scores are needed, one row a picture and one column a class"
        )
    return given.float() if given.dtype in (torch.float16, torch.bfloat16) else given


def _picked(given: object, output: str | int | None) -> object:
    """The part of what a network gave that `output` names."""
    if isinstance(given, Mapping):
        keys = [str(key) for key in given]
        if output is None:
            raise InputError(
                f"the network gives a dictionary ({', '.join(keys)}); say which holds the scores: output='{keys[0]}'"
                if keys
                else "the network gives an empty dictionary, and no scores"
            )
        if output not in given:
            raise unknown("output", str(output), keys)
        return given[output]
    if isinstance(given, Sequence):
        if output is None:
            raise InputError(
                f"the network gives a {type(given).__name__} of {len(given)}; say which holds the scores: output=0"
            )
        names: Sequence[str] = getattr(given, "_fields", ())
        if isinstance(output, str) and output in names:
            return given[names.index(output)]
        if isinstance(output, str):
            raise unknown("output", output, names or [str(position) for position in range(len(given))])
        if not -len(given) <= output < len(given):
            raise InputError(f"no output {output}: the network gives {len(given)}, counted from 0")
        return given[output]
    if output is not None:
        raise InputError(f"the network gives one tensor of scores; leave output={output!r} out")
    return given
