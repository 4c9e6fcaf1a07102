"""A network compiled by torch (Inductor), where that was chosen: the same weights, another way through them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from striate.errors import InputError
from striate.machine.folders import OF_THE_COMPILER, redirect_caches
from striate.words import in_short

if TYPE_CHECKING:
    from torch import nn


def compiled(network: nn.Module) -> Callable[..., Any]:
    """The network's forward pass, compiled at its first call, which takes seconds to a minute.

    Calling it raises InputError where it cannot be compiled here (no C++ compiler, for one).
    """
    import torch

    redirect_caches(OF_THE_COMPILER)
    _import_extensions()
    from torch._dynamo.exc import TorchDynamoException

    run = torch.compile(network)

    def call(*arguments: Any) -> Any:
        try:
            return run(*arguments)
        except TorchDynamoException as error:
            raise InputError(
                f"the network cannot be compiled here ({in_short(error)}); leave --compile away"
            ) from error

    return call


def _import_extensions() -> None:
    """The compiler imports them. Where CUDA is installed and no card is there this warns of it, whatever is compiled;
    Striate has said by then which device it takes."""
    logger = logging.getLogger("torch.utils.cpp_extension")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        import torch.utils.cpp_extension  # noqa: F401
    finally:
        logger.setLevel(level)
