"""Number format, memory layout and exactness of the training step.

Answers are computed in float32 unless less is asked for; this is about the step. bfloat16 pays where the processor
multiplies it natively, and is slower than float32 where it does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.errors import InputError, require, unknown

if TYPE_CHECKING:
    import torch

FORMATS = ("float32", "bfloat16", "float16")
PRECISIONS = ("auto", *FORMATS)
CHANNELS_LAST, CONTIGUOUS = "channels-last", "contiguous"
LAYOUTS = (CONTIGUOUS, CHANNELS_LAST)
NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16")
# With less, or without it, matrix products of cuBLAS may differ from run to run.
WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
# How torch refuses an operation.
NO_SUCH_FORM = "does not have a deterministic implementation"


def pick_precision(wanted: str, device: str) -> tuple[str, str]:
    """The precision for `wanted` on `device`, and why, as a clause for the log.

    Raises InputError for an unknown name, and for float16 where it has too small a range to be of use.
    """
    if wanted not in PRECISIONS:
        raise unknown("precision", wanted, PRECISIONS)
    if wanted != "auto":
        require(
            wanted != "float16" or device.startswith("cuda"),
            f"--precision float16: for CUDA devices only, this is {device}; try bfloat16",
        )
        return wanted, "as asked"
    native, why = native_bfloat16(device)
    return ("bfloat16" if native else "float32"), why


def native_bfloat16(device: str) -> tuple[bool, str]:
    """Whether `device` multiplies bfloat16 natively, as a clause too."""
    if device.startswith("cuda"):
        import torch

        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return native, "native on this GPU" if native else "no native bfloat16 on this GPU"
    if device == "cpu" and any(flag in processor_flags() for flag in NATIVE_BFLOAT16):
        return True, "native on this processor"
    return False, "no native bfloat16 here"


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
    number = torch.float16 if precision == "float16" else torch.bfloat16
    context: torch.autocast = torch.autocast(kind, dtype=number, enabled=precision != "float32")
    return context


def loss_scaler(precision: str, device: str) -> torch.amp.GradScaler | None:
    """What keeps small gradients from vanishing in float16 (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2);
    None for formats with the range of float32."""
    import torch

    return torch.amp.GradScaler(device.partition(":")[0]) if precision == "float16" else None


def memory_format(layout: str) -> torch.memory_format:
    """torch's word for one of LAYOUTS."""
    import torch

    return torch.channels_last if layout == CHANNELS_LAST else torch.contiguous_format


@contextmanager
def reference_computing(wanted: bool) -> Iterator[None]:
    """Only operations that give the same bits every time, also on a GPU, and no TF32; as before afterwards.

    Does nothing unless `wanted`. Raises InputError for an operation that has no such form.
    """
    if not wanted:
        yield
        return
    import torch

    os.environ.setdefault(*WORKSPACE)  # read when the first product is computed
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    products = torch.get_float32_matmul_precision()
    # New memory is filled with NaN by default, so that reading it shows; it costs a pass over all of it.
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    try:
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = False
        torch.set_float32_matmul_precision("highest")
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    except RuntimeError as error:
        if NO_SUCH_FORM not in str(error):
            raise
        what = str(error).partition(NO_SUCH_FORM)[0].strip()
        raise InputError(f"--reference: {what} has no form that always gives the same bits; leave it away") from error
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = filled
        torch.set_float32_matmul_precision(products)
