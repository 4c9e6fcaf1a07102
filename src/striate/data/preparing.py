"""Pictures decoded, prepared for a network and let go, so that memory holds what the network takes and no more.

Law 3: what is prepared is the fully decoded picture. Legend: n pictures, H W pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from striate.data.decode import Limits
from striate.data.in_order import in_order
from striate.data.reading import grey_block, load_picture
from striate.data.resample import Frame, as_it_is
from striate.data.samples import Samples
from striate.errors import InputError
from striate.observer import SILENT, Observer

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedResult:
    """`pictures[i]` is the prepared picture of `rows[i]`."""

    pictures: torch.Tensor  # (n, C, h, w); (0,) where none could be read
    rows: np.ndarray  # (n,) int64
    checksums: np.ndarray  # (n,) uint64
    failures: list[tuple[int, str]]


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
) -> PreparedResult:
    """Decode and `prepare` ((H, W, C) -> (C, h, w), one shape for all) `rows` without keeping their pixels.

    `prepare` runs in the threads that decode. Where it raises InputError, the picture counts as unreadable.
    `frame`: what `prepare` brings pictures to, so that arrays of that very size are taken as they are, all at once.
    """
    import torch

    rows = np.asarray(rows, dtype=np.int64)
    if frame is not None:
        whole = grey_block(samples, rows)
        if whole is not None and as_it_is(whole[0].shape[1:], frame):
            block, values = whole
            return PreparedResult(
                pictures=torch.from_numpy(block).permute(0, 3, 1, 2).contiguous(),
                rows=rows,
                checksums=values,
                failures=[],
            )

    def work(row: int) -> tuple[int, torch.Tensor | InputError, int, int]:
        try:
            pixels, value = load_picture(samples, row, limits)
            return row, prepare(pixels), value, pixels.nbytes
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
