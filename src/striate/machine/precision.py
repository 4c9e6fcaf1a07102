"""Number format and memory layout of the training step.

Answers are always computed in float32; this is about the step alone. bfloat16 pays where the processor
multiplies it natively, and is slower than float32 where it does not.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import unknown

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16")
NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16")


def pick_precision(wanted: str, device: str) -> tuple[str, str]:
    """The precision for `wanted` on `device`, and why, as a clause for the log."""
    if wanted not in PRECISIONS:
        raise unknown("precision", wanted, PRECISIONS)
    if wanted != "auto":
        return wanted, "as asked"
    if device.startswith("cuda"):
        import torch

        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bfloat16", "native on this GPU") if native else ("float32", "no native bfloat16 on this GPU")
    if device == "cpu" and any(flag in processor_flags() for flag in NATIVE_BFLOAT16):
        return "bfloat16", "native on this processor"
    return "float32", "no native bfloat16 here"


def processor_flags() -> frozenset[str]:
    """Instruction sets that the operating system names; empty where it names none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return frozenset(line.partition(":")[2].split())


def autocast(precision: str, device: str) -> AbstractContextManager[None]:
    """The context in which the network's forward pass runs."""
    import torch

    kind = device.partition(":")[0]
    context: torch.autocast = torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bfloat16")
    return context
