"""Whether somebody watches a module: what computes the same in another way than its modules must not pass them by."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as every_module

HOOKS = ("forward_pre_hooks", "forward_hooks", "backward_pre_hooks", "backward_hooks")


def is_watched(module: nn.Module) -> bool:
    """Whether it has hooks of its own; not of the modules in it."""
    return any(getattr(module, f"_{name}") for name in HOOKS)


def all_are_watched() -> bool:
    """Whether there are hooks for every module of the process."""
    return any(getattr(every_module, f"_global_{name}") for name in HOOKS)
