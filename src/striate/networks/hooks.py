"""Whether somebody watches a module: what computes the same in another way than its modules must not pass them by."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as every_module

from striate.taps.unchanged import on_copies

HOOKS = ("forward_pre_hooks", "forward_hooks", "backward_pre_hooks", "backward_hooks")


def is_watched(module: nn.Module) -> bool:
    """Whether it has hooks of its own, not of the modules in it; that of `taps.unchanged` sees nothing."""
    return any(hook is not on_copies for name in HOOKS for hook in getattr(module, f"_{name}").values())


def all_are_watched() -> bool:
    """Whether there are hooks for every module of the process."""
    return any(getattr(every_module, f"_global_{name}") for name in HOOKS)
