"""Held-back pictures, as the network takes them, decoded each time they are asked for: more than memory holds."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from itertools import islice
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
        self._next = 0  # the picture that `_coming` gives next
        self._coming: Generator[torch.Tensor, None, None] | None = None

    @property
    def ndim(self) -> int:
        """4."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: slice) -> torch.Tensor:
        """Pictures `part` (a slice without steps), (b, C, h, w)."""
        import torch

        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("only slices without steps can be had")
        if self._coming is None or start != self._next:
            if self._coming is not None:
                self._coming.close()
            self._coming = self._from(start)
        pictures = list(islice(self._coming, max(0, stop - start)))
        self._next = start + len(pictures)
        if self._next == len(self):
            self._coming.close()
            self._coming = None
        if not pictures:
            return torch.empty((0, *self.shape[1:]), dtype=torch.uint8)
        kinds = {picture.dtype for picture in pictures}
        return torch.stack(pictures if len(kinds) == 1 else [picture.float() for picture in pictures])

    def _from(self, start: int) -> Generator[torch.Tensor, None, None]:
        rows = self._rows[start:]
        with in_turn(self._samples, rows) as samples:

            def work(row: int) -> torch.Tensor:
                try:
                    return self._prepare(load_pixels(samples, row))
                except InputError as error:
                    raise InputError(f"{samples.names[row]}: could be read before, and cannot now ({error})") from error

            made = in_order(work, rows, lambda picture: picture.nbytes, threads=self._threads)
            assert isinstance(made, Generator)
            with closing(made):
                yield from made
