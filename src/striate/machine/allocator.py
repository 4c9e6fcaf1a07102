"""Keep large blocks of memory instead of giving them back after every step.

glibc maps every large block anew and unmaps it when it is freed, so that each step page-faults through
all its activations again: training of a ResNet-18 ran 1.5 times as fast with the blocks kept.
"""

from __future__ import annotations

import ctypes
import sys

# mallopt(3): parameters of glibc's malloc.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_TOP_PAD = -1, -4, -2


def keep_large_blocks() -> bool:
    """Tell glibc to keep freed memory. True where it was told; elsewhere nothing happens."""
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "gnu_get_libc_version"):
        return False
    told = [library.mallopt(M_MMAP_MAX, 0), library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)]
    told.append(library.mallopt(M_TOP_PAD, 64 * 2**20))
    return all(told)
