"""What is in a bzip2 or xz file, piece by piece: an error does not take what came before it, memory stays small.

xz files say how much memory unpacking them takes; more than 512 MiB (`xz -9` needs 65) is refused.
"""

from __future__ import annotations

import bz2
import io
import lzma
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

from striate.errors import InputError

BLOCK = 1 << 16
MOST_MEMORY = 512 << 20


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MOST_MEMORY)


# How a file begins -> what unpacks it.
UNPACKERS: dict[bytes, Callable[[], _Decompressor]] = {b"BZh": bz2.BZ2Decompressor, b"\xfd7zXZ\x00": _xz}


def unpacker_of(begin: bytes) -> Callable[[], _Decompressor] | None:
    """What unpacks a file that begins so; None where it is neither of the two."""
    return next((make for magic, make in UNPACKERS.items() if begin.startswith(magic)), None)


class Unpacked(io.RawIOBase):
    """The content of an open file, of one compressed stream after another. Raises EOFError where it ends too early,
    InputError (the reason alone) where it is damaged."""

    def __init__(self, file: BinaryIO, make: Callable[[], _Decompressor]) -> None:
        self._file, self._make = file, make
        self._decompressor = make()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            given = b""
            if self._decompressor.eof:
                # Padding of zeros may follow; where anything else does, it must be another stream.
                given = self._decompressor.unused_data.lstrip(b"\0")
                while not given:
                    read = self._file.read(BLOCK)
                    if not read:
                        return 0
                    given = read.lstrip(b"\0")
                self._decompressor = self._make()
            elif self._decompressor.needs_input:
                given = self._file.read(BLOCK)
                if not given:
                    raise EOFError
            data = self._unpacked(given, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)

    def _unpacked(self, given: bytes, most: int) -> bytes:
        try:
            return self._decompressor.decompress(given, most)
        except (OSError, ValueError, lzma.LZMAError) as error:
            raise InputError(f"damaged ({error})") from error
