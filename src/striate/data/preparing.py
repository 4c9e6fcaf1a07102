"""Pictures decoded, prepared for a network and let go, so that memory holds what the network takes and no more.

Law 3: what is prepared is the fully decoded picture. What took long to prepare is kept in the cache folder.
Legend: n pictures, H W pixels, C channels.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from striate.data import kept
from striate.data.decode import Limits
from striate.data.in_order import in_order
from striate.data.reading import decoded, digest_of, grey_block, picture_of, read_digests
from striate.data.resample import Frame, as_it_is
from striate.data.samples import Samples
from striate.data.store import STORE_SHARE
from striate.data.store_files import Table
from striate.data.streaming import in_turn
from striate.errors import InputError
from striate.machine.threads import available_memory
from striate.observer import SILENT, Observer

if TYPE_CHECKING:
    import torch

# To read it back and compare its digests takes about a tenth of this.
SECONDS_A_BYTE = 10 / 1e9


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedResult:
    """`pictures[i]` is the prepared picture of `rows[i]`."""

    pictures: torch.Tensor  # (n, C, h, w); (0,) where none could be read
    rows: np.ndarray  # (n,) int64
    checksums: np.ndarray  # (n,) uint64; zeros where they were not asked for
    failures: list[tuple[int, str]]
    digests: tuple[bytes, ...] = ()  # one a row that was asked for, where they were: see `reading.digest_of`


class _Made(NamedTuple):
    row: int
    prepared: torch.Tensor | InputError
    checksum: int
    nbytes: int  # of the decoded picture
    digest: bytes


def prepare_all(
    samples: Samples,
    rows: Sequence[int] | np.ndarray,
    prepare: Callable[[np.ndarray], torch.Tensor],
    *,
    limits: Limits | None = None,
    threads: int | None = None,
    observer: Observer = SILENT,
    what: str = "reading",
    frame: Frame | None = None,
    checksums: bool = True,
    digests: bool = False,
) -> PreparedResult:
    """Decode and `prepare` ((H, W, C) -> (C, h, w), one shape for all) `rows` without keeping their pixels.

    `prepare` runs in the threads that decode. Where it raises InputError, the picture counts as unreadable.
    `frame`: what `prepare` brings pictures to, so that arrays of that very size are taken as they are, all at once.
    Without `checksums`, which take a third as long as decoding, those of the result are zeros.
    """
    import torch

    rows = np.asarray(rows, dtype=np.int64)
    if frame is not None:
        whole = grey_block(samples, rows)
        if whole is not None and as_it_is(whole[0].shape[1:], frame):
            block, known = whole
            return PreparedResult(
                pictures=torch.from_numpy(block).permute(0, 3, 1, 2).contiguous(),
                rows=rows,
                checksums=known,
                failures=[],
            )

    def work(row: int) -> _Made:
        digest = b""
        try:
            loaded = samples.pictures.load(int(samples.index[row]))
            digest = digest_of(loaded) if digests else b""
            if not checksums:
                pixels = decoded(loaded, limits)
                return _Made(row, prepare(pixels), 0, pixels.nbytes, digest)
            picture = picture_of(loaded, limits)
            return _Made(row, prepare(picture.pixels), picture.checksum, picture.pixels.nbytes, digest)
        except InputError as error:
            return _Made(row, error, 0, 0, digest or (digest_of(error) if digests else b""))

    pictures = torch.empty(0)
    read: list[int] = []
    values: list[int] = []
    seen: list[bytes] = []
    failures: list[tuple[int, str]] = []
    results = in_order(work, rows, lambda made: made.nbytes, threads=threads, observer=observer, what=what)
    for made in results:
        seen.append(made.digest)
        if isinstance(made.prepared, InputError):
            failures.append((made.row, str(made.prepared)))
            continue
        if not read:
            # Rows that are never written (failures) never become resident.
            pictures = torch.empty((len(rows), *made.prepared.shape), dtype=made.prepared.dtype)
        if made.prepared.is_floating_point() and not pictures.is_floating_point():
            deeper = torch.empty(pictures.shape)  # the first of more than 8 bits
            deeper[: len(read)] = pictures[: len(read)]
            pictures = deeper
        pictures[len(read)] = made.prepared
        read.append(made.row)
        values.append(made.checksum)
    return PreparedResult(
        pictures=pictures[: len(read)],
        rows=np.array(read, dtype=np.int64),
        checksums=np.array(values, dtype=np.uint64),
        failures=failures,
        digests=tuple(seen) if digests else (),
    )


def prepare_kept(
    samples: Samples,
    rows: Sequence[int] | np.ndarray,
    prepare: Callable[[np.ndarray], torch.Tensor],
    *,
    how: str,
    size: str,
    keep_from: float,
    threads: int | None = None,
    observer: Observer = SILENT,
    what: str = "reading",
    frame: Frame | None = None,
) -> PreparedResult:
    """`prepare_all`, or what it made of the same pictures before, where that is kept in the cache folder.

    `how` says everything that `prepare` depends on, `size` the same for a person who lists what is kept. Kept is what
    took at least `keep_from` seconds, and much longer than it takes to read it back.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if kept.cache_budget() == 0 or not len(rows):
        with in_turn(samples, rows) as turned:
            return prepare_all(turned, rows, prepare, threads=threads, observer=observer, what=what, frame=frame)
    request = kept.Request(
        source=samples.source,
        count=len(rows),
        how=f"prepared {how}, torch {version('torch')} on {platform.machine()}",
        size=size,
    )

    def digests() -> list[bytes]:
        with in_turn(samples, rows) as turned:
            return list(read_digests(turned, rows, threads=threads, observer=observer))

    room = int(available_memory() * STORE_SHARE)
    found = kept.find(request, digests, room=room, threads=threads, observer=observer)
    if found is not None:
        return _as_prepared(rows, *found)
    began = time.monotonic()
    with in_turn(samples, rows) as turned:
        result = prepare_all(
            turned, rows, prepare, threads=threads, observer=observer, what=what, frame=frame, digests=True
        )
    seconds = time.monotonic() - began
    name = request.name(result.digests) if result.digests else None
    if name is not None and len(result.rows) and seconds >= max(keep_from, SECONDS_A_BYTE * result.pictures.nbytes):
        kept.keep(request, name, list(result.pictures.numpy()), _table_of(rows, result), observer)
    return result


def _table_of(rows: np.ndarray, result: PreparedResult) -> Table:
    place = {int(row): position for position, row in enumerate(rows)}
    count, shape = len(result.rows), tuple(result.pictures.shape[1:])
    return Table(
        shapes=np.tile(np.array(shape, dtype=np.int64), (count, 1)),
        deep=np.full(count, result.pictures.element_size() == 4),
        sizes=np.tile(np.array(shape[1:], dtype=np.int64), (count, 1)),
        positions=np.array([place[int(row)] for row in result.rows], dtype=np.int64),
        checksums=result.checksums,
        failures=tuple((place[row], reason) for row, reason in result.failures),
    )


def _as_prepared(rows: np.ndarray, flat: np.ndarray, table: Table) -> PreparedResult:
    import torch

    values = flat[: table.bytes()].view(np.float32 if table.deep[0] else np.uint8)
    return PreparedResult(
        pictures=torch.from_numpy(values.reshape(-1, *table.shapes[0].tolist())),
        rows=rows[table.positions],
        checksums=table.checksums,
        failures=[(int(rows[position]), reason) for position, reason in table.failures],
    )
