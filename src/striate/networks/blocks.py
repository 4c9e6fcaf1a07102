"""The blocks of a network from the pictures to the head: for learning rates by depth, and for what stays frozen.

A block is what is repeated (a residual block, a layer of a transformer, a stage of the network's own class) or a layer
alone; `nn.Sequential`, `nn.ModuleList` and a network's `features` are opened, a normalisation belongs to the block
before it. Names are those of `named_modules()`.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from striate.errors import InputError, did_you_mean, require
from striate.networks.heads import find_head

BACKBONE = "backbone"
# Modules that are opened wherever they stand, and names of parts that hold all but the head.
CONTAINERS = (nn.Sequential, nn.ModuleList)
WHOLES = ("features", "backbone", "encoder", "trunk")


def blocks_of(network: nn.Module) -> list[list[nn.Parameter]]:
    """The weights of each block, in order; the head's are the last ones."""
    found: list[list[nn.Parameter]] = []
    head = {id(weight) for weight in find_head(network).layer.parameters()}
    for weights in _opened(network, ""):
        own = [weight for weight in weights if id(weight) not in head]
        if found and all(weight.ndim <= 1 for weight in own):
            found[-1] += own
        elif own:
            found.append(own)
    return [*found, [weight for weight in network.parameters() if id(weight) in head]]


def _opened(module: nn.Module, name: str) -> Iterable[list[nn.Parameter]]:
    """The weights of a part as blocks, those that stand in it directly first."""
    if name and type(module) not in CONTAINERS and name.rpartition(".")[2] not in WHOLES:
        yield list(module.parameters())
        return
    direct = list(module.parameters(recurse=False))
    if direct:
        yield direct
    for inner, child in module.named_children():
        yield from _opened(child, f"{name}.{inner}" if name else inner)


def depths_of(network: nn.Module) -> dict[nn.Parameter, int]:
    """How many blocks lie between a weight's and the outputs: 0 for the head's. Raises InputError without a head."""
    blocks = blocks_of(network)
    return {weight: len(blocks) - 1 - number for number, weights in enumerate(blocks) for weight in weights}


def hidden_matrices(network: nn.Module) -> list[nn.Parameter]:
    """Trained weights of two dimensions or more between the first layer and the head."""
    first = next((weight for weight in network.parameters() if weight.ndim > 1), None)
    head = {id(weight) for weight in find_head(network).layer.parameters()}
    return [
        weight
        for weight in network.parameters()
        if weight.ndim > 1 and weight.requires_grad and weight is not first and id(weight) not in head
    ]


def freeze(network: nn.Module, layers: str) -> str:
    """Keep the weights of `layers` as they are: "backbone" (all but the head) or names, separated by commas. What was
    done, for the log.

    Raises InputError for a name that is no layer's, and where nothing would be left to train.
    """
    for part in frozen_parts(network, layers):
        part.requires_grad_(False)
    if layers == BACKBONE:
        find_head(network).layer.requires_grad_(True)
    left = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    total = sum(weight.numel() for weight in network.parameters())
    require(left > 0, f"freeze {layers}: then the network has nothing left to train")
    return f"frozen: {layers}; {left:,} of {total:,} weights are trained, and frozen norms keep their statistics"


def frozen_parts(network: nn.Module, layers: str) -> list[nn.Module]:
    """The modules that `layers` names; of "backbone" the network itself."""
    if layers == BACKBONE:
        return [network]
    known = {name: module for name, module in network.named_modules() if name}
    names = [name.strip() for name in layers.split(",") if name.strip()]
    require(bool(names), f"freeze must be {BACKBONE} or names of layers, got {layers!r}")
    for name in names:
        if name not in known:
            upper = [one for one in known if one.count(".") < 2]
            hint = did_you_mean(name, [BACKBONE, *known]) or f"; it has {', '.join(upper[:12])}"
            raise InputError(f"freeze: no layer '{name}' in the network{hint}")
    return [known[name] for name in names]


def frozen_norms(network: nn.Module, layers: str) -> list[nn.Module]:
    """The batch normalisations in what `layers` names, whose statistics stay as they are."""
    norms = nn.modules.batchnorm._BatchNorm
    return list(
        dict.fromkeys(one for part in frozen_parts(network, layers) for one in part.modules() if isinstance(one, norms))
    )
