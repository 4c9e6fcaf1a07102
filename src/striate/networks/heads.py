"""The classifier at the end of any network: found, left away for the features before it, or with dropout in front.

The head is the last linear layer (or 1x1 convolution) under one of the names that torchvision and timm
use, else the last one of the network. Legend: B batch, F features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import InputError

HEAD_NAMES = ("fc", "classifier", "heads.head", "heads", "head.fc", "head", "_fc", "last_linear")


class Head(NamedTuple):
    """`name` as in `named_modules()`, and the layer (weight (outputs, F) or (outputs, F, 1, 1))."""

    name: str
    layer: nn.Linear | nn.Conv2d

    @property
    def num_features(self) -> int:
        """What comes into it (F)."""
        return self.layer.in_features if isinstance(self.layer, nn.Linear) else self.layer.in_channels

    @property
    def num_outputs(self) -> int:
        """What goes out of it."""
        return self.layer.out_features if isinstance(self.layer, nn.Linear) else self.layer.out_channels


def find_head(network: nn.Module) -> Head:
    """The layer that makes the outputs. Raises InputError where there is none."""
    modules = dict(network.named_modules())
    for place in HEAD_NAMES:
        if place in modules:
            found = _last_layer(modules[place], place)
            if found is not None:
                return found
    found = _last_layer(network, "")
    if found is None:
        raise InputError(f"{type(network).__name__} has no linear layer at its end that could be fitted to the classes")
    return found


class HeadWithDropout(nn.Linear):
    """A linear head, with the weights of another one, that leaves some of its inputs away while training.

    Its weights have the names that they have without it, so that files of weights fit with and without.
    """

    def __init__(self, head: nn.Linear, share: float) -> None:
        super().__init__(head.in_features, head.out_features, bias=head.bias is not None, device="meta")
        self.weight = head.weight
        if head.bias is not None:
            self.bias = head.bias
        self.dropout = nn.Dropout(share)

    def forward(self, features: Tensor) -> Tensor:
        """(..., F) -> (..., outputs)."""
        return super().forward(self.dropout(features))


def drop_before_head(network: nn.Module, share: float) -> None:
    """While training, leave `share` of what comes into the head away, scaled up by what is left (Srivastava et al.
    2014): by the dropout that the network has there, or by one that is put there. Raises InputError without a head."""
    head = find_head(network)
    own = _dropout_before(network, head.name)
    if own is not None:
        own.p = share
    elif isinstance(head.layer, nn.Linear):
        put(network, head.name, HeadWithDropout(head.layer, share))
    else:
        raise InputError(f"{type(network).__name__} has a head that dropout cannot be put before; leave it away")


def _dropout_before(network: nn.Module, head: str) -> nn.Dropout | None:
    """The network's own dropout right before its head."""
    parent = network.get_submodule(head.rpartition(".")[0])
    named = dict(parent.named_children())
    places = list(named.values())
    before = places[: list(named).index(head.rpartition(".")[2])]
    # Beside the head in a row of layers, called so, or the last of the features.
    last = before[-1] if before else None
    if isinstance(last, nn.Sequential) and len(last):
        last = last[-1]
    return last if isinstance(last, nn.Dropout) else None


def pooled_features(network: nn.Module, pictures: Tensor) -> Tensor:
    """What the head sees: (B, C, H, W) -> (B, F), in the mode (train or eval) that the network is in.

    Not safe while another thread runs the same network: the head is away meanwhile.
    """
    name, layer = find_head(network)
    put(network, name, nn.Identity())
    try:
        outputs: Tensor = network(pictures)
    finally:
        put(network, name, layer)
    return torch.flatten(outputs, 1)


def put(network: nn.Module, name: str, module: nn.Module) -> None:
    """`module` in the place called `name` ("layer4.1.conv2")."""
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)


def _last_layer(module: nn.Module, prefix: str) -> Head | None:
    found = None
    for name, inner in module.named_modules(prefix=prefix):
        if isinstance(inner, nn.Linear) or (isinstance(inner, nn.Conv2d) and inner.kernel_size == (1, 1)):
            found = Head(name, inner)
    return found


def linear_layer(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
    """A linear layer with these weights (outputs, F) and offsets (outputs,)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer
