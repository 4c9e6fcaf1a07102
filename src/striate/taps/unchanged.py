"""A network to look into, and afterwards nothing of it has changed, also where the looking failed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from striate.errors import InputError
from striate.taps.outputs import bare_network, uncompiled


@contextmanager
def unchanged(network: nn.Module) -> Iterator[nn.Module]:
    """While this lasts, the bare network in evaluation mode, its weights without gradients, gradients enabled.

    Afterwards, also after an exception, these are bit for bit what they were: weights, buffers (also those that a
    forward pass registers), `.grad`, `requires_grad`, the mode of each module, and the random states of torch (all
    devices), numpy and Python. Weights are not copied: they do not change where they need no gradients. A network
    that writes into its own weights as it answers is found by their version counts: InputError. One that writes into
    the pictures is given copies of them. Raises InputError for a network that nothing can be seen of: scripted, without
    numbers (on the meta device), or with layers that have no shape yet; and for one whose norms are of the batch, so
    that what it says of a picture hangs on its company.
    """
    bare = bare_network(network)
    _require_seen(bare)
    with ExitStack() as stack:
        stack.enter_context(_random_states())
        stack.enter_context(_tables(bare))
        stack.enter_context(_buffers(bare))
        stack.enter_context(_weights(bare))
        stack.enter_context(_modes(bare))
        stack.enter_context(uncompiled(network))
        stack.enter_context(torch.inference_mode(False))  # also ends `no_grad`
        bare.eval()
        stack.callback(bare.register_forward_pre_hook(on_copies).remove)
        yield bare


def _require_seen(network: nn.Module) -> None:
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            where = f"'{name}' of the network" if name else "the network"
            raise InputError(
                f"{where} is scripted or traced, so that what it does cannot be seen; give the network as it was before"
            )
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is None:
            raise InputError(
                f"'{name}' ({type(module).__name__}) keeps no running statistics, so that what the network says of a "
                "picture hangs on the pictures beside it; train it with track_running_stats=True"
            )
    for name, weight in (*network.named_parameters(), *network.named_buffers()):
        if is_lazy(weight):
            raise InputError(f"'{name}' has no shape yet (a lazy layer); let the network answer a picture before")
        if weight.is_meta:
            raise InputError(f"'{name}' is on the meta device and holds no numbers; load the weights of the network")


def on_copies(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """A network may write into what it is given, which is the caller's, and is asked about again."""
    return tuple(one.clone() if isinstance(one, Tensor) else one for one in inputs)


@contextmanager
def _modes(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _weights(network: nn.Module) -> Iterator[None]:
    weights = [weight for weight in network.parameters() if not weight.is_inference()]
    before = [(weight, weight.requires_grad, weight.grad, weight._version) for weight in weights]
    try:
        for weight in weights:
            weight.requires_grad_(False)
            weight.grad = None
        yield
    finally:
        for weight, requires_grad, grad, _ in before:
            weight.requires_grad_(requires_grad)
            weight.grad = grad
    if any(weight._version != version for weight, _, _, version in before):
        raise InputError(
            f"{type(network).__name__} writes into its own weights as it answers; it cannot be looked into"
        )


@contextmanager
def _buffers(network: nn.Module) -> Iterator[None]:
    """The values of buffers; only those that have others now are written to."""
    before = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


@contextmanager
def _tables(network: nn.Module) -> Iterator[None]:
    """Which parameters, buffers and modules each module has."""
    before: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for module in network.modules():
        for table in (module._parameters, module._buffers, module._modules):
            before.append((cast(dict[str, Any], table), dict(table)))
    temporary = [(module, set(module._non_persistent_buffers_set)) for module in network.modules()]
    try:
        yield
    finally:
        for table, values in before:
            # Mostly they are the same; then nothing is written.
            if list(table) != list(values) or any(table[name] is not value for name, value in values.items()):
                table.clear()
                table.update(values)
        for module, names in temporary:
            module._non_persistent_buffers_set = names


@contextmanager
def _random_states() -> Iterator[None]:
    with ExitStack() as stack:
        # Also the accelerators, where they are in use: their states are asked for only then.
        devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())
        yield
