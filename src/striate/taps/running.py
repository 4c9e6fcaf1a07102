"""Which modules of a network are at work: where a forward pass fails, the last of them is where it failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from torch import nn


@contextmanager
def running(network: nn.Module) -> Iterator[list[str]]:
    """While this lasts, the list holds the dotted names of the modules whose forward pass has begun and not ended, from
    the outermost ("") inwards. After an error it holds those in which it was raised. All hooks end with `with`."""
    at_work: list[str] = []

    def begin(name: str) -> Callable[[nn.Module, object], None]:
        def hook(module: nn.Module, inputs: object) -> None:
            if not name:
                at_work.clear()
            at_work.append(name)

        return hook

    def end(module: nn.Module, inputs: object, given: object) -> None:
        at_work.pop()

    with ExitStack() as stack:
        for name, module in network.named_modules():
            stack.callback(module.register_forward_pre_hook(begin(name)).remove)
            stack.callback(module.register_forward_hook(end).remove)
        yield at_work
