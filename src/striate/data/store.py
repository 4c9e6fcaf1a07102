"""Pictures decoded once, by threads, in the order of the rows, into a `PixelStore`.

Memory is bounded: a window of pictures is in the works at any time, and a store that would take more than its room lies
in a file of the cache folder, mapped into memory. A store that took long to make is kept there for the next run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from striate.data import kept
from striate.data.decode import Limits
from striate.data.pixel_store import PixelStore
from striate.data.reading import grey_block, read_digests, read_pictures
from striate.data.samples import Samples
from striate.data.store_builder import Builder
from striate.data.store_files import Table
from striate.errors import InputError
from striate.machine.threads import available_memory
from striate.observer import SILENT, Observer
from striate.words import none_can

STORE_SHARE = 0.5  # of the memory that is free now: what a store may take


@dataclass(frozen=True, kw_only=True, eq=False)
class StoreResult:
    """`store[i]` is the picture of `rows[i]`; what could not be read is in `failures` only."""

    store: PixelStore
    rows: np.ndarray  # (n,) int64, ascending in the order asked for
    sizes: np.ndarray  # (n, 2) int64: heights and widths of the whole pictures, before any reduction
    checksums: np.ndarray  # (n,) uint64
    failures: list[tuple[int, str]]  # (row, reason), as `Samples.without` takes it


def build_store(
    samples: Samples,
    rows: Sequence[int] | np.ndarray,
    *,
    limits: Limits | None = None,
    threads: int | None = None,
    observer: Observer = SILENT,
    what: str = "reading",
    shrink: int | None = None,
    scaled: bool = False,
    room: int | None = None,
    keep_from: float | None = None,
) -> StoreResult:
    """Decode `rows` into a store, or take the store of these pictures that is kept in the cache folder.

    `shrink`, `scaled`: see `read_pictures`. `room` (bytes; None: half of the memory that is free): beyond it, a mapped
    file. `keep_from`: the seconds of decoding from which a store is kept for the next time; None: nothing is looked
    for or kept. Raises InputError where none of the pictures can be read, and where the disk of the cache folder is
    full and memory takes no more.
    """
    rows = np.asarray(rows, dtype=np.int64)
    room = int(available_memory() * STORE_SHARE) if room is None else room
    whole = grey_block(samples, rows)
    if whole is not None and whole[0].nbytes <= room and (shrink is None or min(whole[0].shape[1:3]) < 2 * shrink):
        return _of_block(rows, *whole)
    request = None
    if keep_from is not None and kept.cache_budget() > 0:
        request = kept.Request(
            source=samples.source,
            count=len(rows),
            how=f"decoded {shrink} {scaled} {limits or Limits()}",
            size="whole" if shrink is None else f"shorter side at least {shrink}",
        )
        digest = partial(read_digests, samples, rows, threads=threads, observer=observer)
        found = kept.find(request, digest, room=room, threads=threads, observer=observer)
        if found is not None:
            flat, table = found
            places = np.column_stack([np.zeros(len(table.shapes), dtype=np.int64), table.places()])
            return _result(rows, PixelStore([flat], places, table.shapes, table.deep), table)
    began = time.monotonic()
    builder = Builder(len(rows), room)
    positions: list[int] = []
    sizes: list[tuple[int, int]] = []
    checksums: list[int] = []
    digests: list[bytes] = []
    failures: list[tuple[int, str]] = []
    reads = read_pictures(
        samples,
        rows,
        limits=limits,
        threads=threads,
        observer=observer,
        what=what,
        shrink=shrink,
        scaled=scaled,
        digests=request is not None,
    )
    try:
        for position, read in enumerate(reads):
            digests.append(read.digest)
            if isinstance(read.pixels, InputError):
                failures.append((position, str(read.pixels)))
                continue
            builder.add(read.pixels)
            positions.append(position)
            sizes.append(read.size)
            checksums.append(read.checksum)
        if failures and not positions:
            position, reason = failures[0]
            name = samples.names[rows[position]]
            raise InputError(f"{none_can(len(failures))} be read ({name}: {reason})")
        store = builder.finish()
        table = Table(
            shapes=store.shapes,
            deep=store.deep,
            positions=np.array(positions, dtype=np.int64),
            sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
            checksums=np.array(checksums, dtype=np.uint64),
            failures=tuple(failures),
        )
        # What was quickly decoded is about as quickly decoded again as found again, and every seed that draws other
        # splits would leave a file.
        if request is not None and keep_from is not None and time.monotonic() - began >= keep_from:
            filename = request.name(digests)
            if filename is not None and len(store):
                pictures = builder.file or [store.pixels(index) for index in range(len(store))]
                kept.keep(request, filename, pictures, table, observer)
        builder.let_go()
    except BaseException:
        builder.give_up()
        raise
    return _result(rows, store, table)


def _of_block(rows: np.ndarray, block: np.ndarray, checksums: np.ndarray) -> StoreResult:
    """What lies in memory already, taken at once: one by one, 50,000 digits would take a second."""
    count, size = len(block), int(np.prod(block.shape[1:])) * block.itemsize
    places = np.column_stack([np.zeros(count, dtype=np.int64), size * np.arange(count)])
    shapes = np.tile(np.array(block.shape[1:], dtype=np.int64), (count, 1))
    deep = np.full(count, block.dtype == np.float32)
    store = PixelStore([block.reshape(-1).view(np.uint8)], places, shapes, deep)
    return StoreResult(store=store, rows=rows, sizes=shapes[:, :2], checksums=checksums, failures=[])


def _result(rows: np.ndarray, store: PixelStore, table: Table) -> StoreResult:
    return StoreResult(
        store=store,
        rows=rows[table.positions],
        sizes=table.sizes,
        checksums=table.checksums,
        failures=[(int(rows[position]), reason) for position, reason in table.failures],
    )
