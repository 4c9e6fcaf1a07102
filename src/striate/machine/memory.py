"""Memory that runs out: how each library says so, and giving back what is held for later.

`available_memory` (in threads.py) says how much is left before it does.
"""

from __future__ import annotations

import gc
from pathlib import Path

from striate.machine.allocator import give_back

# What torch and the libraries below it raise as a plain RuntimeError where memory is what they lack: torch's own
# allocator (Linux, Windows), C++ itself, oneDNN, Apple's GPUs, and the libraries of NVIDIA's GPUs.
SAID = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "out of memory",
    "could not create a primitive",  # oneDNN, which cannot have the memory for its code or its scratchpad
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, of the processor or of an accelerator, is what was lacking."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)


def give_back_memory(device: str) -> None:
    """Give what an allocator holds for later back to the device, so that it can be cut anew."""
    gc.collect()
    give_back()
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()


def resident_memory() -> int:
    """Bytes of the processor's memory that this process holds; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    import resource

    return pages * resource.getpagesize()
