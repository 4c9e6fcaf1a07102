"""Reading a file that may be compressed (gzip, bzip2, xz) as a stream, with an end: a bomb is refused, damage has a
sentence.

What unpacks to more than 64 MiB plus 100 times its own size is taken for a bomb (pictures in tars
with their padding reach about 20 times).
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from striate.data.sources.bz2_xz import Unpacked, unpacker_of
from striate.errors import InputError

if TYPE_CHECKING:
    from striate.data.sources.remote import RemoteFile

SPARE = 64 << 20
TIMES = 100
BLOCK = 1 << 20
MAGIC = b"\x1f\x8b"


class CutShort(InputError):
    """The file ends before its content does."""


class _Unpacked(io.RawIOBase):
    """What is in a gzip file, piece by piece, so that an error does not take what came before it."""

    def __init__(self, file: BinaryIO) -> None:
        self._gzip = gzip.GzipFile(fileobj=file, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._gzip.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Stream:
    """Reads forward, `buffer` bytes of the file at once. Every error is an InputError with the reason alone."""

    def __init__(self, path: Path | RemoteFile, buffer: int = -1) -> None:
        try:
            self._file = cast(io.BufferedReader, path.open("rb", buffer))
            size = path.stat().st_size
            begin = self._file.peek(6)[:6]
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror or error})") from error
        unpacker = unpacker_of(begin)
        self.compressed = begin[:2] == MAGIC or unpacker is not None
        self.position = 0
        self.most = SPARE + TIMES * size if self.compressed else size
        self._bytes: BinaryIO = self._file
        if self.compressed:
            # through a buffer: small reads of a GzipFile are slow
            unpacked: io.RawIOBase = _Unpacked(self._file) if unpacker is None else Unpacked(self._file, unpacker)
            self._bytes = io.BufferedReader(unpacked, BLOCK)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._bytes.close()
        self._file.close()

    def read(self, count: int) -> bytes | bytearray:
        """Up to `count` bytes, fewer only at the end. Memory grows with what is there, not with what is asked for."""
        data = self._some(min(count, BLOCK))
        self._advance(len(data))
        if len(data) in (0, count):
            return data
        grown = bytearray(data)
        while len(grown) < count and (part := self._some(min(count - len(grown), BLOCK))):
            grown += part
            self._advance(len(part))
        return grown

    def skip(self, count: int) -> bool:
        """Go `count` bytes on. False where the end comes first."""
        if not self.compressed:
            self.position += count
            self._bytes.seek(min(self.position, self.most))
            return self.position <= self.most
        while count > 0:
            part = self.read(min(count, BLOCK))
            if not part:
                return False
            count -= len(part)
        return True

    def _advance(self, count: int) -> None:
        self.position += count
        if self.position > self.most:
            raise InputError(f"unpacks to more than {TIMES} times its size, which no set of pictures does")

    def _some(self, count: int) -> bytes:
        try:
            return self._bytes.read(count)
        except EOFError:
            raise CutShort("cut short: the compressed data end too early") from None
        except (zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"damaged ({error})") from None
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror or error})") from error
