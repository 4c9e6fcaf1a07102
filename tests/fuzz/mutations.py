"""What every fuzz test shares: mutations of a valid file, how many, how long, how much memory.

`STRIATE_FUZZ=10000` asks for more examples than the 200 of an ordinary run.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("STRIATE_FUZZ", "200"))
SECONDS = 2
MEGABYTES = 500

# The same examples on every run (law 1 holds for tests, too), and no folder of found examples.
fuzz_settings = settings(
    max_examples=EXAMPLES,
    deadline=SECONDS * 1000,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)

HOSTILE = [
    struct.pack(">I", 0xFFFFFFFF),
    struct.pack(">I", 0x7FFFFFFF),
    struct.pack("<I", 0x7FFFFFFF),
    struct.pack(">I", 100_000),
    struct.pack("<Q", 1 << 40),
    struct.pack(">I", 0),
    b"\x00" * 16,
    b"../../",
    b"nan",
    b"\xff\xfe",
    b"-1",
    b"1e999",
    b"{[" * 500,
]


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` after one to six changes: a byte, a hostile number or text, a cut, an insertion, a repetition."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["byte", "hostile", "bit", "cut", "end", "insert", "repeat"]))
        # headers are at the beginning: half of all changes go there
        last = len(changed)
        place = draw(st.integers(0, min(last, 64)) | st.integers(0, last))
        if kind == "byte" and place < last:
            changed[place] = draw(st.integers(0, 255))
        elif kind == "bit" and place < last:
            changed[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "hostile":
            value = draw(st.sampled_from(HOSTILE))
            changed[place : place + len(value)] = value
        elif kind == "cut":
            del changed[place : place + draw(st.integers(1, 600))]
        elif kind == "end":
            del changed[place:]
        elif kind == "insert":
            changed[place:place] = draw(st.binary(min_size=1, max_size=40) | st.sampled_from(HOSTILE))
        elif kind == "repeat":
            changed[place:place] = changed[place : place + draw(st.integers(1, 600))]
    return bytes(changed)


@contextmanager
def within_memory(megabytes: int = MEGABYTES) -> Iterator[None]:
    """Inside, an allocation that goes `megabytes` (10^6 bytes) beyond what is mapped now raises MemoryError.

    Only where the system tells and keeps the limit (Linux); elsewhere nothing is checked.
    """
    status = Path("/proc/self/statm")
    if not status.exists():
        yield
        return
    import resource

    mapped = int(status.read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + megabytes * 1_000_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
