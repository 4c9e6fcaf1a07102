"""Pictures decoded once, by threads, in the order of the rows, and kept (`PixelStore`) or prepared and let go.

Every result is the same whatever the number of threads. Memory is bounded: a window of pictures is in the works at
any time, and a store that would take more than its room lies in a file of the cache folder, mapped into memory.
Law 3: only training pictures may be reduced (`shrink`); whatever is answered comes from the fully decoded picture.

Legend: n pictures, B batch, H W pixels, C channels (1 grey, 3 colour; values in [0, 255], `uint8` or `float32`).
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import tempfile
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar

import numpy as np

from striate.data.decode import Limits, as_pixels, decode
from striate.data.samples import Samples
from striate.errors import InputError
from striate.machine.folders import VARIABLE, cache_folder
from striate.machine.threads import available_memory, usable_cores
from striate.observer import SILENT, Observer

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

TASK_BYTES = 4 << 20  # pixels that one task of a thread makes, about
TASK_PICTURES = 64
PAGE_BYTES = 64 << 20
# Of the memory that is free now: what a store may take, and what may be in the works at a time.
STORE_SHARE = 0.5
WINDOW_SHARE = 0.125
PROGRESS_SECONDS = 0.1


class Read(NamedTuple):
    """One picture that was read, or why it was not."""

    row: int
    pixels: np.ndarray | InputError  # (H, W, C)
    checksum: int  # of the picture before any reduction, 64 bits; 0 where it was not read


@dataclass(frozen=True, kw_only=True, eq=False)
class StoreResult:
    """`store[i]` is the picture of `rows[i]`; what could not be read is in `failures` only."""

    store: PixelStore
    rows: np.ndarray  # (n,) int64, ascending in the order asked for
    checksums: np.ndarray  # (n,) uint64
    failures: list[tuple[int, str]]  # (row, reason), as `Samples.without` takes it


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedResult:
    """`pictures[i]` is the prepared picture of `rows[i]`."""

    pictures: torch.Tensor  # (n, C, h, w); (0,) where none could be read
    rows: np.ndarray  # (n,) int64
    checksums: np.ndarray  # (n,) uint64
    failures: list[tuple[int, str]]


def load_pixels(samples: Samples, row: int, limits: Limits | None = None) -> np.ndarray:
    """The picture of one row (H, W, C), fully decoded. Raises InputError with the reason alone."""
    return decoded(samples.pictures.load(int(samples.index[row])), limits)


def decoded(loaded: bytes | np.ndarray, limits: Limits | None = None) -> np.ndarray:
    """What `Pictures.load` gave as pixels (H, W, C). Raises InputError with the reason alone."""
    if isinstance(loaded, np.ndarray):
        pixels = as_pixels(loaded)
        return pixels if pixels.flags.writeable else pixels.copy()
    return decode(loaded, limits)


def checksum(pixels: np.ndarray) -> int:
    """64 bits of the content (H, W, C): shape, type and values. Equal pictures in different files are equal here."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(f"{pixels.shape}{pixels.dtype.str}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return int.from_bytes(digest.digest(), "little")


def reduced(pixels: np.ndarray, shorter_side: int) -> np.ndarray:
    """(H, W, C) -> the mean of whole k x k boxes, k as large as leaves the shorter side >= `shorter_side`.

    Within one level for `uint8`. Boxes at the lower and right border may be cut. A point (x, y) goes to (x / k, y / k).
    """
    height, width = pixels.shape[:2]
    factor = min(height, width) // max(1, shorter_side)
    if factor <= 1:
        return pixels
    if pixels.dtype == np.uint8:
        from PIL import Image

        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        return np.array(image.reduce(factor)).reshape(-(-height // factor), -(-width // factor), -1)
    rows, columns = np.arange(0, height, factor), np.arange(0, width, factor)
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float64), rows, axis=0), columns, axis=1)
    counts = np.diff(np.append(rows, height))[:, None] * np.diff(np.append(columns, width))
    return np.asarray(sums / counts[..., None], dtype=np.float32)


def read_pictures(
    samples: Samples,
    rows: Sequence[int] | np.ndarray,
    *,
    limits: Limits | None = None,
    threads: int | None = None,
    observer: Observer = SILENT,
    what: str = "reading",
    shrink: int | None = None,
) -> Iterator[Read]:
    """The pictures of `rows`, one `Read` each, in that order. `shrink`: see `reduced`."""

    def work(row: int) -> Read:
        try:
            pixels = load_pixels(samples, row, limits)
        except InputError as error:
            return Read(row, error, 0)
        return Read(row, pixels if shrink is None else reduced(pixels, shrink), checksum(pixels))

    def weigh(read: Read) -> int:
        return read.pixels.nbytes if isinstance(read.pixels, np.ndarray) else 0

    return in_order(work, rows, weigh, threads=threads, observer=observer, what=what)


def build_store(
    samples: Samples,
    rows: Sequence[int] | np.ndarray,
    *,
    limits: Limits | None = None,
    threads: int | None = None,
    observer: Observer = SILENT,
    what: str = "reading",
    shrink: int | None = None,
    room: int | None = None,
) -> StoreResult:
    """Decode `rows` into a store. `room` (bytes; None: half of the memory that is free): beyond it, a mapped file.

    Raises InputError where none of the pictures can be read, and where the disk of the cache folder is full.
    """
    builder = _Builder(len(rows), int(available_memory() * STORE_SHARE) if room is None else room)
    kept: list[int] = []
    checksums: list[int] = []
    failures: list[tuple[int, str]] = []
    try:
        for read in read_pictures(
            samples, rows, limits=limits, threads=threads, observer=observer, what=what, shrink=shrink
        ):
            if isinstance(read.pixels, InputError):
                failures.append((read.row, str(read.pixels)))
                continue
            builder.add(read.pixels)
            kept.append(read.row)
            checksums.append(read.checksum)
        if failures and not kept:
            row, reason = failures[0]
            raise InputError(f"none of the {len(failures)} pictures can be read ({samples.names[row]}: {reason})")
        store = builder.finish()
    except BaseException:
        builder.give_up()
        raise
    return StoreResult(
        store=store,
        rows=np.array(kept, dtype=np.int64),
        checksums=np.array(checksums, dtype=np.uint64),
        failures=failures,
    )


def prepare_all(
    samples: Samples,
    rows: Sequence[int] | np.ndarray,
    prepare: Callable[[np.ndarray], torch.Tensor],
    *,
    limits: Limits | None = None,
    threads: int | None = None,
    observer: Observer = SILENT,
    what: str = "reading",
) -> PreparedResult:
    """Decode and `prepare` ((H, W, C) -> (C, h, w), one shape for all) `rows` without keeping their pixels.

    `prepare` runs in the threads that decode. Where it raises InputError, the picture counts as unreadable.
    """
    import torch

    def work(row: int) -> tuple[int, torch.Tensor | InputError, int, int]:
        try:
            pixels = load_pixels(samples, row, limits)
            return row, prepare(pixels), checksum(pixels), pixels.nbytes
        except InputError as error:
            return row, error, 0, 0

    pictures = torch.empty(0)
    kept: list[int] = []
    checksums: list[int] = []
    failures: list[tuple[int, str]] = []
    results = in_order(work, rows, lambda result: result[3], threads=threads, observer=observer, what=what)
    for row, prepared, value, _ in results:
        if isinstance(prepared, InputError):
            failures.append((row, str(prepared)))
            continue
        if not kept:
            # Rows that are never written (failures) never become resident.
            pictures = torch.empty((len(rows), *prepared.shape), dtype=prepared.dtype)
        pictures[len(kept)] = prepared
        kept.append(row)
        checksums.append(value)
    return PreparedResult(
        pictures=pictures[: len(kept)],
        rows=np.array(kept, dtype=np.int64),
        checksums=np.array(checksums, dtype=np.uint64),
        failures=failures,
    )


def in_order(
    work: Callable[[int], T],
    rows: Sequence[int] | np.ndarray,
    weigh: Callable[[T], int],
    *,
    threads: int | None = None,
    observer: Observer = SILENT,
    what: str = "reading",
) -> Iterator[T]:
    """`work(row)` for each row, by `threads` (None: the usable cores), results in the order of `rows`.

    `weigh(result)` is the bytes that a result holds; it bounds how many are in the works, and changes nothing else.
    """
    numbers = [int(row) for row in rows]
    threads = usable_cores() if threads is None else max(1, threads)
    ticker = _Ticker(observer, what, len(numbers))
    if threads == 1 or len(numbers) <= 1:
        for done, row in enumerate(numbers, start=1):
            yield work(row)
            ticker.tell(done)
        return

    def batch(part: list[int]) -> list[T]:
        return [work(row) for row in part]

    window_bytes = available_memory() * WINDOW_SHARE
    pool = ThreadPoolExecutor(threads, thread_name_prefix="striate-decode")
    pending: deque[tuple[Future[list[T]], int]] = deque()
    try:
        at = done = in_works = weight = 0
        size, most = 1, threads + 2
        while at < len(numbers) or pending:
            while at < len(numbers) and len(pending) < most and (in_works < size * most or not pending):
                part = numbers[at : at + size]
                # Several small pictures a task: handing one over costs as much as decoding one.
                pending.append((pool.submit(batch, part), len(part)))
                at += len(part)
                in_works += len(part)
            future, count = pending.popleft()
            for result in future.result():
                weight += weigh(result)
                yield result
                done += 1
                ticker.tell(done)
            in_works -= count
            mean = max(1, weight // done)
            size = max(1, min(TASK_PICTURES, TASK_BYTES // mean, 2 * size))
            most = max(2, min(threads + 2, int(window_bytes / (mean * size))))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Ticker:
    """Tells an observer at most ten times a second, and at the end."""

    def __init__(self, observer: Observer, what: str, total: int) -> None:
        self.observer, self.what, self.total = observer, what, total
        self.next = time.monotonic() + PROGRESS_SECONDS

    def tell(self, done: int) -> None:
        if done == self.total or time.monotonic() >= self.next:
            self.observer.progress(self.what, done, self.total)
            self.next = time.monotonic() + PROGRESS_SECONDS


class PixelStore:
    """Decoded pictures, each in its own size, in memory or in a mapped file. Made by `build_store`.

    `uniform`: all have one shape and type and lie in one row, so that `block` takes a batch at once. In a uniform
    store that holds colour, grey pictures have three equal channels.
    """

    def __init__(self, segments: list[np.ndarray], places: np.ndarray, shapes: np.ndarray, deep: np.ndarray) -> None:
        self._segments = segments  # flat `uint8`
        self._places = places  # (n, 2) segment, byte
        self._deep = deep  # (n,) bool: `float32`
        self.shapes = shapes  # (n, 3) int64: H, W, C
        self.nbytes = int((shapes.prod(axis=1) * np.where(deep, 4, 1)).sum())
        self._all = self._in_one_row()
        self.uniform = self._all is not None

    def _in_one_row(self) -> np.ndarray | None:
        if not len(self):
            return None
        shape, deep = self.shapes[0], bool(self._deep[0])
        size = int(shape.prod()) * (4 if deep else 1)
        expected = np.column_stack([np.zeros(len(self), dtype=np.int64), size * np.arange(len(self))])
        if not ((self.shapes == shape).all() and (self._deep == deep).all() and (self._places == expected).all()):
            return None
        flat = self._segments[0][: size * len(self)].view(np.float32 if deep else np.uint8)
        return np.asarray(flat.reshape(len(self), *shape.tolist()))

    def __len__(self) -> int:
        return len(self.shapes)

    def pixels(self, index: int) -> np.ndarray:
        """Picture `index` (H, W, C), without a copy: not to be written to."""
        if self._all is not None:
            return np.asarray(self._all[index])
        segment, start = self._places[index]
        height, width, channels = self.shapes[index].tolist()
        deep = bool(self._deep[index])
        size = height * width * channels * (4 if deep else 1)
        flat: np.ndarray = self._segments[segment][start : start + size].view(np.float32 if deep else np.uint8)
        return flat.reshape(height, width, channels)

    def block(self, indices: np.ndarray) -> np.ndarray:
        """Pictures `indices` (B,) of a uniform store as one new array (B, H, W, C)."""
        if self._all is None:
            raise ValueError("the pictures of this store have different shapes or types")
        return np.asarray(self._all[indices])

    def close(self) -> None:
        """Let go of the memory, or of the mapped file, whose space the system then has back."""
        self._segments, self._all, self.uniform = [], None, False
        self.shapes, self._places, self._deep = self.shapes[:0], self._places[:0], self._deep[:0]


class _Builder:
    """Puts pictures after one another into pages of memory, and from where these are full into one file."""

    def __init__(self, count: int, room: int) -> None:
        self.count, self.room = count, room
        self.head: list[np.ndarray] | None = []  # the first few, from which the layout is chosen
        self.head_bytes = 0
        self.pages: list[np.ndarray] = []
        self.used = 0  # of the last page
        self.shape: tuple[int, ...] | None = None  # of all pictures so far, while they share one
        self.file: _File | None = None
        self.places: list[tuple[int, int]] = []
        self.shapes: list[tuple[int, ...]] = []
        self.deep: list[bool] = []

    def add(self, pixels: np.ndarray) -> None:
        if self.head is None:
            self._put(pixels)
            return
        self.head.append(pixels)
        self.head_bytes += pixels.nbytes
        if len(self.head) >= TASK_PICTURES or self.head_bytes >= PAGE_BYTES:
            self._lay_out()

    def _lay_out(self) -> None:
        head, self.head = self.head or [], None
        if head and len({(picture.shape[:2], picture.dtype) for picture in head}) == 1:
            self.shape = (*head[0].shape[:2], max(picture.shape[2] for picture in head))
            size = int(np.prod(self.shape)) * head[0].itemsize * self.count
            if size <= self.room:
                # Memory that is never written never becomes resident.
                self.pages.append(np.empty(size, dtype=np.uint8))
            else:
                self.file = _File()
        for picture in head:
            self._put(picture)

    def _put(self, pixels: np.ndarray) -> None:
        if self.shape is not None and pixels.shape != self.shape:
            pixels = self._fitted(pixels)
        deep = pixels.dtype == np.float32
        flat = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
        if self.file is None:
            start = -(-self.used // 4) * 4 if deep else self.used
            if self.pages and start + len(flat) <= len(self.pages[-1]):
                self.pages[-1][start : start + len(flat)] = flat
            elif sum(len(page) for page in self.pages) + max(PAGE_BYTES, len(flat)) <= self.room:
                start = 0
                self.pages.append(np.empty(max(PAGE_BYTES, len(flat)), dtype=np.uint8))
                self.pages[-1][: len(flat)] = flat
            else:
                self.file = _File()
            self.used = start + len(flat)
        if self.file is not None:
            self.places.append((len(self.pages), self.file.write(flat, align=4 if deep else 1)))
        else:
            self.places.append((len(self.pages) - 1, self.used - len(flat)))
        self.shapes.append(pixels.shape)
        self.deep.append(deep)

    def _fitted(self, pixels: np.ndarray) -> np.ndarray:
        """Grey among colour of the same size gets three channels; anything else ends the one shape."""
        shape = self.shape
        if shape is None or pixels.shape[:2] != shape[:2]:
            self.shape = None
        elif pixels.shape[2] == 1:
            return np.repeat(pixels, 3, axis=2)
        elif self.file is None and 3 * len(self.pages[0]) <= self.room and len(self.pages) == 1:
            wide = np.empty((len(self.pages[0]), 3), dtype=np.uint8)
            if any(self.deep):
                self.shape = None
                return pixels
            wide[: self.used] = self.pages[0][: self.used, None]
            self.pages, self.used, self.shape = [wide.reshape(-1)], 3 * self.used, (*shape[:2], 3)
            self.places = [(page, 3 * start) for page, start in self.places]
            self.shapes = [self.shape] * len(self.shapes)
        else:
            self.shape = None
        return pixels

    def finish(self) -> PixelStore:
        if self.head is not None:
            self.count = len(self.head)
            self._lay_out()
        segments = list(self.pages)
        mapped = None if self.file is None else self.file.mapped()
        if mapped is not None:
            segments.append(mapped)
        store = PixelStore(
            segments,
            np.array(self.places, dtype=np.int64).reshape(-1, 2),
            np.array(self.shapes, dtype=np.int64).reshape(-1, 3),
            np.array(self.deep, dtype=bool),
        )
        if self.file is not None:
            weakref.finalize(store, self.file.remove)
        return store

    def give_up(self) -> None:
        if self.file is not None:
            self.file.remove()


class _File:
    """One file in the cache folder, written from its beginning to its end, then mapped.

    Where the system allows it, the name is taken away at once: the space comes back even after a kill.
    """

    def __init__(self) -> None:
        self.folder = cache_folder("stores")
        self.size = 0
        try:
            descriptor, name = tempfile.mkstemp(suffix=".pixels", dir=self.folder)
        except OSError as error:
            raise self._full(error) from error
        self.path: Path | None = Path(name)
        self.stream: BinaryIO = os.fdopen(descriptor, "w+b", buffering=1 << 20)
        if os.name == "posix":
            self.path.unlink()
            self.path = None

    def write(self, flat: np.ndarray, align: int) -> int:
        """Append bytes; where they begin."""
        try:
            gap = -self.size % align
            self.stream.write(bytes(gap))
            self.stream.write(flat.data)
        except OSError as error:
            raise self._full(error) from error
        self.size += gap + len(flat)
        return self.size - len(flat)

    def mapped(self) -> np.ndarray:
        try:
            self.stream.flush()
        except OSError as error:
            raise self._full(error) from error
        # Writable, as torch wants it, though nothing is written; a private mapping would be counted as memory.
        view = mmap.mmap(self.stream.fileno(), self.size, access=mmap.ACCESS_WRITE)
        self._close()
        return np.frombuffer(view, dtype=np.uint8)

    def remove(self) -> None:
        self._close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        try:
            self.stream.close()
        except OSError:
            # What a full disk did not take is told by the write before; the rest is being thrown away.
            return

    def _full(self, error: OSError) -> InputError:
        reason = "its disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        return InputError(
            f"the decoded pictures do not fit into memory, and cannot be written to {self.folder} ({reason}); "
            f"free some space, or name another folder in {VARIABLE}"
        )
