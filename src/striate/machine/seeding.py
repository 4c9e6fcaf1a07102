"""Setting the state of the generator that a device draws from, at every step."""

from __future__ import annotations

import torch


def seed_draws(device: str, seed: int) -> None:
    """What torch draws on `device` from here on is a function of `seed`, in [0, 2^63).

    `torch.manual_seed` gives the same draws, but for every kind of accelerator that is not in use it formats the stack
    and keeps it for good: a millisecond and some kilobytes a step.
    """
    torch.default_generator.manual_seed(seed)
    if device.startswith("cuda"):
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device == "mps":
        torch.mps.manual_seed(seed)
