"""Pictures inside tars: each by itself, or one after another in the order in which they lie."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from striate.data.sources.gzipped import Stream
from striate.errors import InputError

if TYPE_CHECKING:
    from striate.data.sources.remote import RemoteFile

AHEAD = 1 << 20  # bytes that are read at once where pictures are read one after another
CUT = "its archive ends before it does"


class Members:
    """`Pictures` (and `Sharded`) inside tars: bytes in memory, or where they lie in a file.

    `places` (n, 3) int64: number of the file, offset in what is unpacked, size. `kept`: the bytes of those that are
    in memory. Of a compressed file whose pictures are not kept, one picture by itself costs unpacking all before it.
    """

    def __init__(
        self,
        shards: Sequence[Path | RemoteFile],
        places: np.ndarray,
        kept: Mapping[int, bytes],
        compressed: np.ndarray,
    ) -> None:
        self.shards, self.kept, self.compressed = list(shards), kept, compressed
        self._places = np.asarray(places, dtype=np.int64).reshape(-1, 3)
        self._lock = threading.Lock()
        self._forward: Forward | None = None

    @property
    def places(self) -> np.ndarray:
        """(n, 3) int64: number of the file, offset in it, bytes."""
        return self._places

    def load(self, index: int) -> bytes:
        """The encoded bytes of picture `index`. Raises InputError (the reason alone)."""
        if index in self.kept:
            return self.kept[index]
        shard, offset, size = self._places[index].tolist()
        if self.compressed[shard]:
            with self._lock, Forward(self) as forward:
                return forward.load(index)
        try:
            with self.shards[shard].open("rb") as file:
                file.seek(offset)
                data: bytes = file.read(size)
        except OSError as error:
            raise InputError(f"its archive cannot be read ({error.strerror or error})") from error
        if len(data) < size:
            raise InputError(CUT)
        return data

    def forward(self) -> Forward:
        """A reader for pictures that are asked for in the order in which they lie."""
        return Forward(self)


class Forward:
    """Reads pictures of one file after another, each file from its beginning on. For one thread; close it."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._shard = -1
        self._stream: Stream | None = None
        self._broken: dict[int, tuple[int, str]] = {}  # file -> from which offset on nothing can be had, and why

    def load(self, index: int) -> bytes:
        """The encoded bytes of picture `index`. Raises InputError (the reason alone)."""
        members = self._members
        if index in members.kept:
            return members.kept[index]
        shard, offset, size = members.places[index].tolist()
        if shard in self._broken and offset >= self._broken[shard][0]:
            raise InputError(self._broken[shard][1])
        try:
            if self._stream is None or self._shard != shard or self._stream.position > offset:
                self.close()
                self._stream, self._shard = Stream(members.shards[shard], AHEAD), shard
            data = self._stream.read(size) if self._stream.skip(offset - self._stream.position) else b""
        except InputError as error:
            # What lies behind damage is lost: it is not unpacked again for each picture.
            reason = f"its archive is {error}" if str(error).startswith("damaged") else f"its archive {error}"
            self._broken[shard] = (offset, reason)
            self.close()
            raise InputError(reason) from error
        if len(data) < size:
            self._broken[shard] = (offset, CUT)
            self.close()
            raise InputError(CUT)
        return bytes(data)

    def close(self) -> None:
        """Close the file that is open."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def __enter__(self) -> Forward:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
