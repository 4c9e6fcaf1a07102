"""Held-back pictures, as the network takes them, decoded each time they are asked for: more than memory holds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from striate.data.in_order import in_order
from striate.data.reading import load_pixels
from striate.data.samples import Samples
from striate.data.streaming import in_turn
from striate.errors import InputError

if TYPE_CHECKING:
    import torch


class PreparedAnew:
    """The prepared pictures of `rows` (n,), all (C, h, w), like a tensor (n, C, h, w) of which slices can be had.

    Slices that follow one another are read forward. Where a picture cannot be read any more, InputError is raised.
    """

    def __init__(
        self,
        samples: Samples,
        rows: np.ndarray,
        prepare: Callable[[np.ndarray], torch.Tensor],
        shape: tuple[int, int, int],
        threads: int,
    ) -> None:
        self._samples, self._rows, self._prepare, self._threads = samples, rows, prepare, threads
        self.shape = (len(rows), *shape)
        self._next = 0  # the picture from which on `_turned` can be read
        self._open = ExitStack()
        self._turned: Samples | None = None

    @property
    def ndim(self) -> int:
        """4."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: slice | torch.Tensor) -> torch.Tensor:
        """Pictures `part`, a slice without steps or numbers (b,): (b, C, h, w)."""
        import torch

        if isinstance(part, torch.Tensor):
            return _stacked([self._one(int(self._rows[number])) for number in part.tolist()], self.shape)
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("only slices without steps can be had")
        rows = self._rows[start:stop]
        if self._turned is None or start != self._next:
            self._open.close()
            self._turned = self._open.enter_context(in_turn(self._samples, self._rows[start:]))
        self._next = -1  # until all of it has been read
        work = partial(self._one, samples=self._turned)
        pictures = list(in_order(work, rows, lambda picture: picture.nbytes, threads=self._threads))
        self._next = start + len(rows)
        if self._next == len(self):
            self._open.close()
            self._turned = None
        return _stacked(pictures, self.shape)

    def _one(self, row: int, samples: Samples | None = None) -> torch.Tensor:
        try:
            return self._prepare(load_pixels(self._samples if samples is None else samples, row))
        except InputError as error:
            name = self._samples.names[row]
            raise InputError(f"{name}: could be read before, and cannot now ({error})") from error


def _stacked(pictures: list[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """(b, C, h, w); `float32` where any of them is."""
    import torch

    if not pictures:
        return torch.empty((0, *shape[1:]), dtype=torch.uint8)
    kinds = {picture.dtype for picture in pictures}
    return torch.stack(pictures if len(kinds) == 1 else [picture.float() for picture in pictures])
