"""What places of a network give in a forward pass: read, differentiated to, or stopped at. All hooks end with `with`.

A place is a module by its name in `named_modules()`; the later calls of a module that is used several times in one
pass are "relu#2", "relu#3". Only modules that give one tensor are places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import InputError, unknown
from striate.taps.outputs import bare_network, uncompiled

# Called with a place's name, its module and what it gave; what it returns, unless None, goes on in its stead.
Look = Callable[[str, nn.Module, Tensor], Tensor | None]


@contextmanager
def on_every_call(network: nn.Module, modules: dict[str, nn.Module], look: Look) -> Iterator[None]:
    """While this lasts, `look` is called after each call of `modules` that gives a tensor, in order of execution.

    `network` is the whole that they belong to, wrapped or not: with each of its passes, calls are counted anew.
    """
    calls: Counter[str] = Counter()

    def start(module: nn.Module, inputs: object) -> None:
        calls.clear()

    def after(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, inputs: object, given: object) -> Tensor | None:
            calls[name] += 1
            if not isinstance(given, Tensor):
                return None
            return look(name if calls[name] == 1 else f"{name}#{calls[name]}", module, given)

        return hook

    with ExitStack() as stack:
        stack.enter_context(uncompiled(network))
        stack.callback(bare_network(network).register_forward_pre_hook(start).remove)
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(after(name)).remove)
        yield


class Seen(dict[str, Tensor]):
    """Name -> what the place gave in the latest forward pass."""

    def __missing__(self, name: str) -> Tensor:
        raise InputError(f"the network did not come to '{name}' in its latest pass, or it gave no tensor there")


@contextmanager
def watching(
    network: nn.Module,
    names: Sequence[str],
    *,
    keep_graph: bool = False,
    reading: Callable[[str, Tensor], Tensor] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """While this lasts, each forward pass fills a dictionary: name -> what the place gave, as its own copy.

    In-place operations that follow a place do not reach what was seen there. `reading(name, output)` gives what is to
    be kept instead of a copy (the largest value of each map, for instance), computed while the pass goes on.
    With `keep_graph` what was seen is part of the graph: `torch.autograd.grad(score, seen[name])`. Where nothing below
    the place needs gradients, the graph begins at the place, and the layers below cost no more than their forward pass.
    Otherwise it is detached. Raises InputError for names that the network does not have; looking for a place that a
    pass did not come to raises it too.
    """
    bare = bare_network(network)
    wanted = set(names)
    seen = Seen()

    def look(name: str, module: nn.Module, given: Tensor) -> Tensor | None:
        if name not in wanted:
            return None
        if not keep_graph:
            with torch.no_grad():
                seen[name] = given.detach().clone() if reading is None else reading(name, given.detach())
            return None
        if not given.requires_grad:
            given = given.detach().requires_grad_()
        seen[name] = given if reading is None else reading(name, given)
        # What follows works on a copy: it may write into it, and a tensor that gradients end at must not be written to.
        return given.clone()

    def forget(module: nn.Module, inputs: object) -> None:
        seen.clear()

    with on_every_call(network, modules_of(bare, names), look), ExitStack() as stack:
        stack.callback(bare.register_forward_pre_hook(forget).remove)
        yield seen


class _Reached(BaseException):
    """Carries what a place gave out of the forward pass; no Exception, so that no network can catch it."""

    def __init__(self, given: Tensor) -> None:
        super().__init__()
        self.given = given


@contextmanager
def stopping_at(network: nn.Module, name: str) -> Iterator[Callable[[Tensor], Tensor]]:
    """While this lasts, a function: pictures (B, C, H, W) -> what the place `name` gives, with its graph.

    The pass is left there: nothing above the place is computed. Raises InputError for a name that the network does not
    have, and, from the function, where the pass does not come to the place.
    """
    bare = bare_network(network)

    def look(place: str, module: nn.Module, given: Tensor) -> Tensor | None:
        if place == name:
            raise _Reached(given)
        return None

    def run(pictures: Tensor) -> Tensor:
        try:
            bare(pictures)
        except _Reached as reached:
            return reached.given
        raise InputError(f"the network does not come to '{name}', or it gives no tensor there")

    with on_every_call(network, modules_of(bare, [name]), look):
        yield run


def modules_of(network: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    """The modules that places by these names belong to, by their own names. Raises InputError where there is none."""
    modules = dict(network.named_modules())
    found = {}
    for name in names:
        module_name = name.partition("#")[0]
        if not module_name or module_name not in modules:
            raise unknown("layer", name, [known for known in modules if known])
        found[module_name] = modules[module_name]
    return found
