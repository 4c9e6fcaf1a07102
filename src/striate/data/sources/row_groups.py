"""Pictures inside Parquet files: read a row group at a time, in the order in which they lie, or each by itself.

What Arrow raises for damaged files becomes InputError here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from striate.errors import InputError
from striate.words import in_short

BYTES = "bytes"  # the part of a column of {bytes, path} that is the picture
MOST_ROWS = 200_000_000
# Of the file's own description, which Arrow reads before anything else.
LONGEST_TEXT, MOST_PARTS = 64 << 20, 10_000_000


@contextmanager
def readable() -> Iterator[None]:
    """What a damaged file makes Arrow raise, as InputError; and the sentence for where Arrow is not installed."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise InputError("Parquet files need pyarrow; install it: pip install 'striate[parquet]'") from error
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        reason = in_short(error, 150) or type(error).__name__
        raise InputError(f"no Parquet file, damaged or cut short ({reason})") from None


def opened(file: Path) -> Any:
    """A `pyarrow.parquet.ParquetFile`, with limits on what its description may hold."""
    import pyarrow.parquet as pq

    found = pq.ParquetFile(
        file, memory_map=False, thrift_string_size_limit=LONGEST_TEXT, thrift_container_size_limit=MOST_PARTS
    )
    if not 0 <= found.metadata.num_rows <= MOST_ROWS:
        raise InputError(f"its description says {found.metadata.num_rows:,} rows, which cannot be")
    return found


class RowGroups:
    """`Pictures` (and `Sharded`) in columns of Parquet files. A row group is held until another is asked for."""

    def __init__(self) -> None:
        self.files: list[tuple[Path, str]] = []
        self._places = np.empty((0, 3), dtype=np.int64)
        self._starts: list[np.ndarray] = []  # of each file: the first row of each group, and the end of the last
        self._lock = threading.Lock()
        self._forward: Forward | None = None

    def add(self, file: Path, column: str) -> None:
        """One more file, whose pictures follow those of the others. Raises what Arrow raises."""
        parquet = opened(file)
        about = parquet.metadata
        groups = [about.row_group(group) for group in range(about.num_row_groups)]
        counts = [group.num_rows for group in groups]
        if any(count < 0 for count in counts) or sum(counts) != about.num_rows:
            raise InputError(f"its row groups have {sum(counts):,} rows, its description says {about.num_rows:,}")
        sizes = [group.total_byte_size // max(1, group.num_rows) for group in groups]
        rows = np.arange(about.num_rows)
        of_row = np.repeat(np.array(sizes, dtype=np.int64), counts)
        mine = np.column_stack([np.full(len(rows), len(self.files)), rows, of_row])
        self._places = np.concatenate([self._places, mine])
        self._starts.append(np.concatenate([[0], np.cumsum(counts)]))
        # of {bytes, path} the bytes alone
        inside = f"{column}.{BYTES}" in [parquet.schema.column(place).path for place in range(len(parquet.schema))]
        self.files.append((file, f"{column}.{BYTES}" if inside else column))

    @property
    def places(self) -> np.ndarray:
        """(n, 3) int64: number of the file, row in it, bytes (those of its row group, by the number of rows)."""
        return self._places

    @property
    def compressed(self) -> np.ndarray:
        """(files,) bool: none needs to be read from its beginning on."""
        return np.zeros(len(self.files), dtype=bool)

    def load(self, index: int) -> bytes:
        """The encoded bytes of picture `index`. Raises InputError (the reason alone)."""
        with self._lock:
            if self._forward is None:
                self._forward = Forward(self)
            return self._forward.load(index)

    def forward(self) -> Forward:
        """A reader for pictures that are asked for in the order in which they lie."""
        return Forward(self)

    def group_of(self, index: int) -> tuple[int, int, int]:
        """(file, row group, row in it) of a picture."""
        file, row, _ = self._places[index].tolist()
        group = int(np.searchsorted(self._starts[file], row, side="right")) - 1
        return file, group, row - int(self._starts[file][group])


class Forward:
    """Holds one row group after another. For one thread at a time."""

    def __init__(self, pictures: RowGroups) -> None:
        self._pictures = pictures
        self._open: tuple[int, Any] = (-1, None)
        self._held: tuple[int, int] = (-1, -1)
        self._column: Any = None
        self._broken: dict[tuple[int, int], str] = {}  # row groups that cannot be read, and why

    def load(self, index: int) -> bytes:
        """The encoded bytes of picture `index`. Raises InputError (the reason alone)."""
        file, group, row = self._pictures.group_of(index)
        if (file, group) in self._broken:
            raise InputError(self._broken[file, group])
        if self._held != (file, group):
            try:
                self._column = self._read(file, group)
            except InputError as error:
                self._broken[file, group] = f"its row group cannot be read: {error}"
                raise InputError(self._broken[file, group]) from None
            self._held = (file, group)
        if row >= len(self._column):
            raise InputError("its row group ends before it does")
        with readable():
            value = self._column[row].as_py()
        if isinstance(value, dict):
            value = value.get(BYTES)
        if not isinstance(value, bytes):
            raise InputError("there are no bytes of a picture in its row")
        return value

    def _read(self, file: int, group: int) -> Any:
        path, column = self._pictures.files[file]
        with readable():
            if self._open[0] != file:
                self.close()
                self._open = (file, opened(path))
            return self._open[1].read_row_group(group, columns=[column], use_threads=False).column(0)

    def close(self) -> None:
        """Let go of the row group and the file."""
        if self._open[1] is not None:
            self._open[1].close()
        self._open, self._held, self._column = (-1, None), (-1, -1), None
