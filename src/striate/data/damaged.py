"""What a damaged or hostile file makes Pillow raise, as InputError; and what it makes Pillow warn of, as nothing."""

from __future__ import annotations

import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from striate.errors import InputError
from striate.words import in_short

# What Pillow and its codecs are known to raise on files that are damaged or hostile (found by fuzzing).
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    ZeroDivisionError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@contextmanager
def readable() -> Iterator[None]:
    """What a damaged file makes Pillow raise, as InputError."""
    try:
        yield
    except MemoryError as error:
        raise InputError("there is not enough memory to decode it") from error
    except DAMAGED as error:
        reason = in_short(error) or type(error).__name__
        raise InputError(f"the picture is damaged or cut short ({reason})") from error


# Pillow warns of damaged metadata, which is no concern of a person who trains a network, and of sizes below our own
# limit. `warnings.catch_warnings` is not safe in threads: these filters are put in front while any thread decodes, and
# taken away after the last.
_FILTERS = [
    ("ignore", None, category, re.compile(r"PIL\."), 0) for category in (UserWarning, Image.DecompressionBombWarning)
]
_lock = threading.Lock()
_decoding = 0


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that Pillow gives of such files, in any thread."""
    global _decoding
    filters: Any = warnings.filters
    with _lock:
        _decoding += 1
        # Someone else's `catch_warnings` may have put another list in place meanwhile.
        if _FILTERS[0] not in filters:
            filters[:0] = _FILTERS
    try:
        yield
    finally:
        with _lock:
            _decoding -= 1
            if _decoding == 0 and _FILTERS[0] in filters:
                for one in _FILTERS:
                    filters.remove(one)
