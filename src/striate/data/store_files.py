"""A store in a file: pixels and a table of them as safetensors, so that nothing runs when it is read.

    8 bytes        length of the header
    4,088 bytes    the header: JSON, padded with spaces
    pixels         one picture after the other; deeper ones (`float32`) begin at multiples of 4
    table          shapes, checksums and places of the pictures, reasons of those that could not be read, digests

It is written under a name of its own, and gets its name when it is whole. Nothing waits until the disk has it: whoever
reads it compares the digests of the table and of every part of the pixels, and so finds out what a power failure, a
failing disk or a hand has changed. (That is a matter of accidents: the digests are no signature.)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from striate.data.in_order import in_order

SCHEMA = "striate store 2"
HEAD = 4096
PART_BYTES = 16 << 20  # of pixels that one digest is of
DIGEST_BYTES = 16
NO_DIGEST = "0" * (2 * DIGEST_BYTES)
BEGUN = ".part"  # how the name of a file ends that is being written
LEFT_SECONDS = 60  # after which a file that nobody holds is one that nobody finishes

KINDS: dict[str, tuple[str, type[np.generic]]] = {
    "shapes": ("I64", np.int64),
    "sizes": ("I64", np.int64),
    "positions": ("I64", np.int64),
    "checksums": ("U64", np.uint64),
    "deep": ("U8", np.uint8),
    "digests": ("U8", np.uint8),
    "failures": ("U8", np.uint8),
}


class Unusable(Exception):
    """A file that holds no store that can be used; the message is the reason, for a person."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """What there is to know of the pictures of a store, n of them, beside their pixels."""

    shapes: np.ndarray  # (n, 3) int64: H, W, C
    deep: np.ndarray  # (n,) bool: `float32`
    sizes: np.ndarray  # (n, 2) int64: H, W before any reduction
    positions: np.ndarray  # (n,) int64, among the pictures that were asked for
    checksums: np.ndarray  # (n,) uint64
    failures: tuple[tuple[int, str], ...]  # (position, reason)

    def bytes(self) -> int:
        """What the pixels take."""
        return int((self.shapes.prod(axis=1) * np.where(self.deep, 4, 1)).sum())

    def places(self) -> np.ndarray:
        """(n,) int64: the byte at which each picture begins."""
        sizes = self.shapes.prod(axis=1) * np.where(self.deep, 4, 1)
        starts: np.ndarray = np.cumsum(sizes) - sizes
        if self.deep.any() and not self.deep.all():
            end = 0
            for index, (size, deep) in enumerate(zip(sizes.tolist(), self.deep.tolist(), strict=True)):
                starts[index] = end + (-end % 4 if deep else 0)
                end = int(starts[index]) + size
        return starts


class PixelFile:
    """A file that pixels are written to, from its beginning to its end. What the disk refuses is raised as OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        descriptor, name = tempfile.mkstemp(suffix=BEGUN, dir=folder)
        self.path: Path | None = Path(name)
        self.stream: BinaryIO = os.fdopen(descriptor, "w+b", buffering=1 << 20)
        _hold(self.stream)
        self.stream.write(bytes(HEAD))
        self.size = 0  # of the pixels
        self.digests: list[bytes] = []
        self.part = hashlib.blake2b(digest_size=DIGEST_BYTES)

    def write(self, flat: np.ndarray, align: int) -> int:
        """Append bytes; where they begin among the pixels."""
        gap = -self.size % align
        if gap:
            self._append(memoryview(bytes(gap)))
        begin = self.size
        self._append(flat.data)
        return begin

    def _append(self, data: memoryview) -> None:
        self.stream.write(data)
        while len(data):
            room = PART_BYTES - self.size % PART_BYTES
            self.part.update(data[:room])
            self.size += min(room, len(data))
            data = data[room:]
            if self.size % PART_BYTES == 0:
                self._end_part()

    def _end_part(self) -> None:
        self.digests.append(self.part.digest())
        self.part = hashlib.blake2b(digest_size=DIGEST_BYTES)

    def mapped(self) -> np.ndarray:
        """The pixels so far, flat `uint8`, mapped into memory."""
        self.stream.flush()
        return _mapped(self.stream, self.size)

    def publish(self, path: Path, table: Table, about: Mapping[str, str]) -> None:
        """Write the table and the header, and give the file its name."""
        assert self.path is not None
        self._append(memoryview(bytes(-self.size % 8)))  # the table begins at a multiple of 8
        if self.size % PART_BYTES:
            self._end_part()
        content = {
            "shapes": table.shapes,
            "sizes": table.sizes,
            "positions": table.positions,
            "checksums": table.checksums,
            "deep": table.deep,
            "digests": np.frombuffer(b"".join(self.digests), dtype=np.uint8),
            "failures": np.frombuffer(json.dumps(table.failures).encode(), dtype=np.uint8),
        }
        arrays = {name: np.ascontiguousarray(content[name], dtype=kind) for name, (_, kind) in KINDS.items()}
        tail = b"".join(array.tobytes() for array in arrays.values())
        head = _head(self.size, {name: array.shape for name, array in arrays.items()}, about)
        head = head.replace(NO_DIGEST.encode(), _digest(head, tail).encode())
        self.stream.write(tail)
        self.stream.seek(0)
        self.stream.write(head)
        self.stream.close()
        self.path.replace(path)
        self.path = None

    def remove(self) -> None:
        """Let go of the file; a mapping of it stays. One that has got its name keeps it."""
        # What a full disk did not take was told by the write before; the rest is being thrown away.
        with contextlib.suppress(OSError):
            self.stream.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def read_store_file(
    path: Path, about: Mapping[str, str], *, room: int, threads: int | None = None
) -> tuple[np.ndarray, Table]:
    """The pixels of a file, flat `uint8`, in memory where they take at most `room` bytes, else mapped; and the table.

    `about` are entries of the header that must be as given. Every byte is compared with the digests. Raises Unusable.
    """
    try:
        with path.open("rb") as stream:
            size, table, digests = _read_table(stream, about)
        in_memory = size <= room
        if in_memory:
            pixels = np.empty(size, dtype=np.uint8)
        else:
            with path.open("rb+") as writable:
                pixels = _mapped(writable, size)

        def is_whole(part: int) -> bool:
            data = pixels[part * PART_BYTES : (part + 1) * PART_BYTES]
            if in_memory:
                with path.open("rb") as own:
                    own.seek(HEAD + part * PART_BYTES)
                    own.readinto(data.data)
            return bool(hashlib.blake2b(data.data, digest_size=DIGEST_BYTES).digest() == digests[part].tobytes())

        whole = len(digests) == -(-size // PART_BYTES)
        if not whole or not all(list(in_order(is_whole, range(len(digests)), lambda _: 0, threads=threads))):
            raise Unusable("its pixels have changed")
    except OSError as error:
        raise Unusable(f"it cannot be read: {error.strerror}") from error
    return pixels, table


def read_about(path: Path) -> dict[str, str]:
    """What the header of a file says of it, without a look at the rest; {} where it says nothing."""
    try:
        with path.open("rb") as stream:
            said = json.loads(stream.read(HEAD)[8:])["__metadata__"]
            return {str(name): str(value) for name, value in said.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def sweep(folder: Path) -> None:
    """Remove files that were begun by a process that is no more."""
    for path in folder.glob(f"*{BEGUN}"):
        if _is_left(path):
            path.unlink(missing_ok=True)


def _hold(stream: BinaryIO) -> None:
    """Show the others that this file is being written; the system forgets it with the process."""
    if os.name == "posix":
        import fcntl

        # Some disks know no locks; there nobody gets one to take the file away either.
        with contextlib.suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_left(path: Path) -> bool:
    try:
        if time.time() - path.stat().st_mtime < LEFT_SECONDS:
            return False
        with path.open("rb") as stream:
            if os.name == "posix":
                import fcntl

                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # someone is writing it, or has just finished
        return False
    return True


def _mapped(stream: BinaryIO, size: int) -> np.ndarray:
    # Writable, as torch wants it, though nothing is written; a private mapping would be counted as memory.
    view = mmap.mmap(stream.fileno(), HEAD + size, access=mmap.ACCESS_WRITE)
    return np.frombuffer(view, dtype=np.uint8)[HEAD:]


def _digest(head: bytes, tail: bytes) -> str:
    return hashlib.blake2b(head + tail, digest_size=DIGEST_BYTES).hexdigest()


def _head(pixels: int, shapes: Mapping[str, tuple[int, ...]], about: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {
        "__metadata__": {**about, "digest": NO_DIGEST},
        "pixels": {"dtype": "U8", "shape": [pixels], "data_offsets": [0, pixels]},
    }
    at = pixels
    for name, shape in shapes.items():
        dtype, kind = KINDS[name]
        end = at + int(np.prod(shape)) * np.dtype(kind).itemsize
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries).encode()
    assert len(text) <= HEAD - 8
    return (HEAD - 8).to_bytes(8, "little") + text.ljust(HEAD - 8)


def _read_table(stream: BinaryIO, about: Mapping[str, str]) -> tuple[int, Table, np.ndarray]:
    """Bytes of the pixels, the table, and the digests (k, DIGEST_BYTES) of the parts."""
    head = stream.read(HEAD)
    try:
        entries = json.loads(head[8:])
        said = entries.pop("__metadata__")
        if any(said.get(name) != value for name, value in about.items()):
            raise Unusable("another version wrote it")
        size = int(entries["pixels"]["data_offsets"][1])
        end = max(int(entry["data_offsets"][1]) for entry in entries.values())
        if not 0 < size < end or os.fstat(stream.fileno()).st_size != HEAD + end:
            raise Unusable("it is half written")
        stream.seek(HEAD + size)
        tail = stream.read()
        if _digest(head.replace(said["digest"].encode(), NO_DIGEST.encode()), tail) != said["digest"]:
            raise Unusable("its table has changed")
        found: dict[str, np.ndarray] = {}
        for name, (_, kind) in KINDS.items():
            shape, (begin, _) = entries[name]["shape"], entries[name]["data_offsets"]
            flat = np.frombuffer(tail, dtype=kind, count=int(np.prod(shape)), offset=begin - size)
            found[name] = flat.reshape(shape)
        failures = json.loads(found["failures"].tobytes())
        table = Table(
            shapes=found["shapes"],
            deep=found["deep"].astype(bool),
            sizes=found["sizes"],
            positions=found["positions"],
            checksums=found["checksums"],
            failures=tuple((int(position), str(reason)) for position, reason in failures),
        )
        return size, table, found["digests"].reshape(-1, DIGEST_BYTES)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise Unusable("its header cannot be read") from error
