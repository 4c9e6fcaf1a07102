"""A training as TensorBoard shows it: one event file of scalars.

The format is TensorFlow's: records (length, masked CRC-32C of it, data, masked CRC-32C of that), each a protocol buffer
`Event`: wall_time = 1 (double), step = 2 (int64), file_version = 3 (string) or summary = 5, which holds values of
tag = 1 (string) and simple_value = 2 (float). Source: tensorflow/core/util/event.proto, framework/summary.proto and
lib/io/record_writer.h. It is written here because the libraries that do so bring servers and compilers along; that
TensorBoard reads it is tested with TensorBoard's own reader.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from striate.errors import require
from striate.machine.files import refused
from striate.observer import Observer

VERSION = b"brain.Event:2"
CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, reversed
MASK = 0xA282EAD8
# Of a step; of an epoch everything but its place.
BY_STEP = ("loss", "learning_rate", "pictures_per_second")
PLACE = ("epoch", "step")


class TensorBoard(Observer):
    """Writes what happens into a new event file in `folder`; both are made when the first step is there.

    Scalars: `loss`, `learning_rate` and `pictures_per_second` by steps, and every column of `history.csv` as
    `epoch/<column>`, at the step at which the epoch ended. Used as a context manager, or closed by `close`. Raises
    InputError where the disk refuses.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._file: BinaryIO | None = None
        require(not self.folder.is_file(), f"{self.folder}: is a file; name a folder for TensorBoard's files")

    def on_step(self, record: Mapping[str, float]) -> None:
        """The scalars of a step."""
        self._scalars(record["step"], {name: record[name] for name in BY_STEP if name in record})

    def on_epoch(self, record: Mapping[str, float]) -> None:
        """The row of an epoch; from here on it can be seen, also while the training goes on."""
        self._scalars(record["step"], {f"epoch/{name}": one for name, one in record.items() if name not in PLACE})
        with self._asking() as file:
            file.flush()

    def close(self) -> None:
        """Nothing more comes."""
        if self._file is not None:
            with self._asking() as file:
                file.close()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _scalars(self, step: float, values: Mapping[str, float]) -> None:
        summary = b"".join(
            _field(1, _field(1, name.encode("utf-8", "backslashreplace")) + b"\x15" + struct.pack("<f", _single(value)))
            for name, value in values.items()
        )
        self._write(b"\x10" + _varint(int(step)) + _field(5, summary))

    def _write(self, event: bytes) -> None:
        with self._asking() as file:
            file.write(_record(event))

    @contextmanager
    def _asking(self) -> Iterator[BinaryIO]:
        """The file; what the disk refuses is an InputError."""
        try:
            if self._file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                # A name that TensorBoard takes for one of events, and that nobody else has.
                name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}.striate"
                self._file = (self.folder / name).open("xb")
                self._file.write(_record(_field(3, VERSION)))
            yield self._file
        except OSError as error:
            raise refused(self.folder, error) from error


def _record(event: bytes) -> bytes:
    """An event, which happens now, as a record of the file."""
    data = b"\x09" + struct.pack("<d", time.time()) + event
    length = struct.pack("<Q", len(data))
    return length + _checked(length) + data + _checked(data)


def _field(number: int, content: bytes) -> bytes:
    """A field of protocol buffers that holds bytes, a text or another message (wire type 2)."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have their highest bit set."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _single(value: float) -> float:
    """The value as `float32` can hold it: infinite beyond its range."""
    try:
        struct.pack("<f", value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    return value


def _checked(data: bytes) -> bytes:
    """The masked CRC-32C of `data`, four bytes."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF)


@cache
def _table() -> tuple[int, ...]:
    found = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (CASTAGNOLI if number & 1 else 0)
        found.append(number)
    return tuple(found)
