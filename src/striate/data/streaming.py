"""Training pictures that are read again in every epoch: for sets that neither memory nor the disk's cache can hold.

Shards are read forward, several side by side; pictures wait encoded in a shuffle buffer (see `shard_order`), and are
decoded by threads just before their batch. What happens to a picture is as for pictures that were decoded once.

In memory at a time: `buffer` encoded pictures, 2 x LANES x TASK more that are being read, and at most `window`
decoded ones beside those of the batches.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace

import numpy as np

from striate.data.decode import Limits
from striate.data.jpeg import large_frame
from striate.data.reading import decoded, reduced
from striate.data.samples import Pictures, Samples, Sharded
from striate.data.shard_order import LANES, EpochOrder, epoch_order, stretches
from striate.data.store import StoreResult, build_store
from striate.errors import InputError
from striate.observer import SILENT, Observer

# Of the shuffle buffer, whichever is reached first.
BUFFER_PICTURES = 10_000
BUFFER_BYTES = 1 << 29
FIRST = 2000  # pictures that are looked at before training
TASK = 16  # pictures that a lane reads, or a thread decodes, at once
WINDOW = 64  # decoded pictures that may be ready

Encoded = bytes | np.ndarray | InputError


class Streamed:
    """The pictures of `rows` (n,), read in every epoch in the order that `shard_order` gives.

    `buffer`: pictures of the shuffle buffer. `like`: (H, W, C) where all pictures are taken to be of one size (small
    ones are then warped as they would be from a store). `shrink`: see `reading.reduced`. With `strict`, reading raises
    InputError at the first picture that cannot be read; else it is in `failures`, by row.
    """

    def __init__(
        self,
        samples: Samples,
        rows: np.ndarray,
        *,
        buffer: int,
        threads: int,
        like: tuple[int, int, int] | None = None,
        shrink: int | None = None,
        scaled: bool = False,
        limits: Limits | None = None,
        strict: bool = False,
    ) -> None:
        self.samples, self.rows = samples, np.asarray(rows, dtype=np.int64)
        self.buffer, self.threads, self.like = buffer, threads, like
        self.shrink, self.scaled, self.limits, self.strict = shrink, scaled, limits, strict
        self.window = WINDOW + TASK * threads
        self.failures: dict[int, str] = {}
        self._as_they_lie, self._lengths = _laid_out(samples, self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def order(self, seed: int, epoch: int, rank: int = 0, ranks: int = 1) -> EpochOrder:
        """The order of an epoch, in places of `rows`."""
        order = epoch_order(self._lengths, seed=seed, epoch=epoch, buffer=self.buffer, rank=rank, ranks=ranks)
        lie = self._as_they_lie
        return EpochOrder(lie[order.reading], order.lanes, lie[order.learning])

    def pictures(self, order: EpochOrder, start: int = 0) -> Generator[tuple[int, np.ndarray | None], None, None]:
        """(place of `rows`, pixels (H, W, C), or None where it cannot be read), in the order of learning, from place
        `start` of it on. Close it where it is not read to its end. Raises InputError where `strict`."""
        pending: deque[tuple[list[int], Future[list[np.ndarray | InputError]]]] = deque()
        waiting: dict[int, Encoded] = {}
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="striate-decode")
        try:
            with closing(self._read(order, start)) as reading:
                places = order.learning[start:].tolist()
                for at in range(0, len(places), TASK):
                    some = places[at : at + TASK]
                    for place in some:
                        while place not in waiting:
                            came, data = next(reading)
                            waiting[came] = data
                    encoded = [waiting.pop(place) for place in some]
                    pending.append((some, pool.submit(self._decode_all, encoded)))
                    if len(pending) * TASK > self.window:
                        yield from self._results(*pending.popleft())
                while pending:
                    yield from self._results(*pending.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def block(self, pixels: list[np.ndarray]) -> tuple[np.ndarray | list[np.ndarray], bool]:
        """The pictures of a batch; (B, H, W, C) and True where all are of one size, as a uniform store gives them."""
        if self.like is None:
            return pixels, False
        channels = self.like[2]
        alike = [np.repeat(one, channels, axis=2) if one.shape[2] == 1 else one for one in pixels]
        if any(one.shape != self.like or one.dtype != alike[0].dtype for one in alike):
            return pixels, False
        return np.stack(alike), True

    def _decode_all(self, encoded: list[Encoded]) -> list[np.ndarray | InputError]:
        pictures: list[np.ndarray | InputError] = []
        for data in encoded:
            try:
                pictures.append(data if isinstance(data, InputError) else self._decode(data))
            except InputError as error:
                pictures.append(error)
        return pictures

    def _decode(self, data: bytes | np.ndarray) -> np.ndarray:
        large = self.scaled and not isinstance(data, np.ndarray) and large_frame(data) is not None
        pixels = decoded(data, self.limits, self.shrink if large else None)
        return pixels if self.shrink is None else reduced(pixels, self.shrink)

    def _results(
        self, places: list[int], future: Future[list[np.ndarray | InputError]]
    ) -> Iterator[tuple[int, np.ndarray | None]]:
        for place, picture in zip(places, future.result(), strict=True):
            if isinstance(picture, np.ndarray):
                yield place, picture
                continue
            row = int(self.rows[place])
            if self.strict:
                raise InputError(
                    f"{self.samples.source}: {self.samples.names[row]} cannot be used ({picture}); mend it, or leave "
                    "--strict away"
                ) from picture
            self.failures[row] = str(picture)
            yield place, None

    def _read(self, order: EpochOrder, start: int) -> Generator[tuple[int, Encoded], None, None]:
        """What is learned from from `start` on, still encoded, in the order of reading."""
        done = np.zeros(len(self), dtype=bool)
        done[order.learning[:start]] = True
        left = ~done[order.reading]
        reading, lanes = order.reading[left], order.lanes[left]
        index = self.samples.index[self.rows]
        with ExitStack() as stack:
            pool = ThreadPoolExecutor(LANES, thread_name_prefix="striate-read")
            readers = {
                lane: _Lane(pool, stack.enter_context(_reader(self.samples.pictures)), index[reading[lanes == lane]])
                for lane in np.unique(lanes).tolist()
            }
            # Before the readers' files are closed.
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            for place, lane in zip(reading.tolist(), lanes.tolist(), strict=True):
                yield place, readers[lane].following()


class _Lane:
    """Reads some pictures one after another, TASK of them ahead."""

    def __init__(self, pool: ThreadPoolExecutor, load: Callable[[int], Encoded], indices: np.ndarray) -> None:
        self._pool, self._load, self._left = pool, load, deque(indices.tolist())
        self._ready: deque[Encoded] = deque()
        self._coming = self._ask()

    def _ask(self) -> Future[list[Encoded]]:
        some = [self._left.popleft() for _ in range(min(TASK, len(self._left)))]
        return self._pool.submit(lambda: [self._load(index) for index in some])

    def following(self) -> Encoded:
        if not self._ready:
            self._ready.extend(self._coming.result())
            self._coming = self._ask()
        return self._ready.popleft()


@contextmanager
def _reader(pictures: Pictures) -> Iterator[Callable[[int], Encoded]]:
    """A function that loads pictures which are asked for in the order in which they lie, by one thread at a time."""
    with ExitStack() as stack:
        load = stack.enter_context(closing(pictures.forward())).load if isinstance(pictures, Sharded) else pictures.load

        def either(index: int) -> Encoded:
            try:
                return load(index)
            except InputError as error:
                return error

        yield either


def _laid_out(samples: Samples, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of `rows` (n,) in the order in which the pictures lie, and the lengths of their stretches (s,)."""
    if not isinstance(samples.pictures, Sharded):
        return np.arange(len(rows)), np.ones(len(rows), dtype=np.int64)
    files, offsets, _ = samples.pictures.places[samples.index[rows]].T
    lie = np.lexsort((offsets, files))
    numbers, counts = np.unique(files, return_counts=True)
    return lie, stretches(counts, samples.pictures.compressed[numbers])


def buffer_for(samples: Samples, rows: np.ndarray) -> int:
    """Pictures of the shuffle buffer for these rows: BUFFER_PICTURES, or what BUFFER_BYTES hold.

    1, which is none, where each picture is read by itself: their order is random without.
    """
    if not isinstance(samples.pictures, Sharded):
        return 1
    sizes = samples.pictures.places[samples.index[rows]][:, 2]
    mean = max(1.0, float(sizes.mean())) if len(sizes) else 1.0
    return int(max(1, min(BUFFER_PICTURES, len(rows), BUFFER_BYTES // mean)))


def first_rows(samples: Samples, rows: np.ndarray, seed: int, count: int) -> np.ndarray:
    """The first `count` of `rows`, or all, that an epoch reads; ascending."""
    order = Streamed(samples, rows, buffer=1, threads=1).order(seed, 0)
    some: np.ndarray = np.sort(np.asarray(rows)[order.reading[:count]])
    return some


def first_pictures(
    samples: Samples,
    rows: np.ndarray,
    *,
    seed: int,
    threads: int,
    shrink: int | None = None,
    scaled: bool = False,
    observer: Observer = SILENT,
) -> StoreResult:
    """The first pictures that an epoch reads, FIRST at most, decoded: what is decided before training is decided by
    these. Raises InputError where none can be read."""
    some = first_rows(samples, rows, seed, FIRST)
    with in_turn(samples, some) as turned:
        return build_store(
            turned, some, threads=threads, shrink=shrink, scaled=scaled, observer=observer, what="reading the first"
        )


@contextmanager
def in_turn(samples: Samples, rows: Sequence[int] | np.ndarray) -> Iterator[Samples]:
    """The same table for reading `rows` about in their order, each once: shards are then read forward.

    Without it every picture is looked up by itself, which for a compressed shard means unpacking all before it.
    """
    if not isinstance(samples.pictures, Sharded):
        yield samples
        return
    indices = samples.index[np.asarray(rows, dtype=np.int64)]
    files, offsets, _ = samples.pictures.places[indices].T
    turned = _InTurn(indices[np.lexsort((offsets, files))])
    with _reader(samples.pictures) as turned.read:
        yield replace(samples, pictures=turned)


class _InTurn:
    """`Pictures` of which each is loaded once, about in the order in which they lie."""

    read: Callable[[int], Encoded]

    def __init__(self, indices: np.ndarray) -> None:
        self._left = deque(indices.tolist())
        self._waiting: dict[int, Encoded] = {}
        self._lock = threading.Lock()

    def load(self, index: int) -> bytes | np.ndarray:
        with self._lock:
            while index not in self._waiting:
                if not self._left:
                    raise ValueError(f"picture {index} was not to be read, or was read before")
                following = self._left.popleft()
                self._waiting[following] = self.read(following)
            data = self._waiting.pop(index)
        if isinstance(data, InputError):
            raise data
        return data
