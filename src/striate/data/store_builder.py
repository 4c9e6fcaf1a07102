"""Puts pictures after one another into pages of memory and, from where there is no room for more, all into one file."""

from __future__ import annotations

import errno
import os
import weakref
from pathlib import Path

import numpy as np

from striate.data.in_order import TASK_PICTURES
from striate.data.pixel_store import PixelStore
from striate.data.store_files import PixelFile, sweep
from striate.errors import InputError
from striate.machine.folders import VARIABLE, cache_folder

PAGE_BYTES = 64 << 20


class Builder:
    """`add` pictures, `finish` for the store, or `give_up`. Raises InputError where the disk takes no more."""

    def __init__(self, count: int, room: int) -> None:
        self.count, self.room = count, room
        self.head: list[np.ndarray] | None = []  # the first few, from which the layout is chosen
        self.head_bytes = 0
        self.pages: list[np.ndarray] = []
        self.used = 0  # of the last page
        self.shape: tuple[int, ...] | None = None  # of all pictures so far, while they share one
        self.file: PixelFile | None = None
        self.places: list[tuple[int, int]] = []
        self.shapes: list[tuple[int, ...]] = []
        self.deep: list[bool] = []

    def add(self, pixels: np.ndarray) -> None:
        """One more picture (H, W, C)."""
        if self.head is None:
            self._put(pixels)
            return
        self.head.append(pixels)
        self.head_bytes += pixels.nbytes
        if len(self.head) >= TASK_PICTURES or self.head_bytes >= PAGE_BYTES:
            self._lay_out()

    def finish(self) -> PixelStore:
        """The store of all that was added. A file stays open, for whoever keeps it, until `let_go`."""
        if self.head is not None:
            self.count = len(self.head)
            self._lay_out()
        segments = self.pages if self.file is None else [self._mapped(self.file)]
        store = PixelStore(
            segments,
            np.array(self.places, dtype=np.int64).reshape(-1, 2),
            np.array(self.shapes, dtype=np.int64).reshape(-1, 3),
            np.array(self.deep, dtype=bool),
        )
        if self.file is not None and os.name != "posix":  # a mapped file cannot be removed there
            weakref.finalize(store, self.file.remove)
        return store

    def let_go(self) -> None:
        """Leave the file, if there is one, to the mapping of it; one that nobody has kept has no name from here on."""
        if self.file is not None and os.name == "posix":
            self.file.remove()

    def give_up(self) -> None:
        """Remove what was written."""
        if self.file is not None:
            self.file.remove()

    def _lay_out(self) -> None:
        head, self.head = self.head or [], None
        if head and len({(picture.shape[:2], picture.dtype) for picture in head}) == 1:
            self.shape = (*head[0].shape[:2], max(picture.shape[2] for picture in head))
            size = int(np.prod(self.shape)) * head[0].itemsize * self.count
            if size <= self.room:
                # Memory that is never written never becomes resident.
                self.pages.append(np.empty(size, dtype=np.uint8))
            else:
                self._move_to_file()
        for picture in head:
            self._put(picture)

    def _put(self, pixels: np.ndarray) -> None:
        if self.shape is not None and pixels.shape != self.shape:
            pixels = self._fitted(pixels)
        deep = pixels.dtype == np.float32
        flat = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
        start = -(-self.used // 4) * 4 if deep else self.used
        if self.file is None and not (self.pages and start + len(flat) <= len(self.pages[-1])):
            page = max(PAGE_BYTES, len(flat))
            if sum(len(page) for page in self.pages) + page <= self.room:
                start = 0
                self.pages.append(np.empty(page, dtype=np.uint8))
            else:
                self._move_to_file()
        if self.file is not None:
            self.places.append((0, self._write(self.file, flat, deep)))
        else:
            self.pages[-1][start : start + len(flat)] = flat
            self.used = start + len(flat)
            self.places.append((len(self.pages) - 1, start))
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

    def _move_to_file(self) -> None:
        """All pictures so far, so that the file is a whole store; each page is let go when it has been written."""
        folder = cache_folder("stores")
        sweep(folder)
        try:
            self.file = PixelFile(folder)
        except OSError as error:
            raise _refused(folder, error) from error
        for index, (page, start) in enumerate(self.places):
            if page and self.pages[page - 1].size:
                self.pages[page - 1] = np.empty(0, dtype=np.uint8)
            deep = self.deep[index]
            size = int(np.prod(self.shapes[index])) * (4 if deep else 1)
            self.places[index] = (0, self._write(self.file, self.pages[page][start : start + size], deep))
        self.pages = []

    def _write(self, file: PixelFile, flat: np.ndarray, deep: bool) -> int:
        try:
            return file.write(flat, align=4 if deep else 1)
        except OSError as error:
            raise _refused(file.folder, error) from error

    def _mapped(self, file: PixelFile) -> np.ndarray:
        try:
            return file.mapped()
        except OSError as error:
            raise _refused(file.folder, error) from error


def _refused(folder: Path, error: OSError) -> InputError:
    reason = "its disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
    return InputError(
        f"the decoded pictures do not fit into memory, and cannot be written to {folder} ({reason}); "
        f"free some space, or name another folder in {VARIABLE}"
    )
