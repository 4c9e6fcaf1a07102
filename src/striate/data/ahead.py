"""Pictures decoded while something else is awaited: torch takes a second or two to import, on one core of several.

What is decoded is what `decode` gives, whoever asks for it; a picture is read once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from striate.data.in_order import WINDOW_SHARE
from striate.data.reading import decoded
from striate.data.samples import Pictures, Samples
from striate.machine.threads import available_memory, usable_cores

MOST_BYTES = 1 << 29  # of decoded pictures that wait to be asked for
MOST_PICTURES = 10_000  # that are asked for in advance; many more take longer than any wait


class Ahead:
    """`Pictures` whose first ones are decoded already, or are just being decoded."""

    def __init__(self, pictures: Pictures, indices: np.ndarray, room: int, threads: int) -> None:
        self._pictures, self._room = pictures, room
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="striate-ahead")
        self._waiting: dict[int, Future[np.ndarray | None]] = {
            index: self._pool.submit(self._decode, index) for index in indices[:MOST_PICTURES].tolist()
        }

    def load(self, index: int) -> bytes | np.ndarray:
        """Pixels (H, W, C) where they are there, else what the source holds. Raises InputError (the reason alone)."""
        with self._lock:
            future = self._waiting.pop(index, None)
        if future is None or future.cancel():
            return self._pictures.load(index)
        pixels = future.result()
        if pixels is None:
            return self._pictures.load(index)
        with self._lock:
            self._room += pixels.nbytes
        return pixels

    def close(self) -> None:
        """Begin no more pictures, and end once those that were begun are decoded."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _decode(self, index: int) -> np.ndarray | None:
        if self._room <= 0:
            return None
        pixels = decoded(self._pictures.load(index))
        with self._lock:
            self._room -= pixels.nbytes
        return pixels


@contextmanager
def ahead(samples: Samples) -> Iterator[Samples]:
    """The same samples, whose pictures are being decoded from now on, in the order of the rows, while there is room."""
    room = min(MOST_BYTES, int(available_memory() * WINDOW_SHARE))
    pictures = Ahead(samples.pictures, samples.index, room, usable_cores())
    try:
        yield replace(samples, pictures=pictures)
    finally:
        pictures.close()
