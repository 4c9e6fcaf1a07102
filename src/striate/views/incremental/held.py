"""Patches of the maps of a block of places, the clean map that they lie on, and what of them is yet to be computed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from striate.views.incremental import spans
from striate.views.incremental.convolution import Convolution
from striate.views.incremental.spans import Span
from striate.views.incremental.windows import NO_MARGINS, Margins, cut, with_margins
from striate.views.incremental.work import Work


@dataclass(frozen=True, kw_only=True, eq=False)
class Pending:
    """A convolution that is not computed yet, since a normalisation or a ReLU may come and go into it.

    padded, dense: see `Convolution.compute`. clean_inputs: the clean map, None where patches are whole maps.
    """

    convolution: Convolution
    inputs: Tensor
    clean_inputs: Tensor | None
    padded: bool
    dense: bool


@dataclass(kw_only=True, eq=False)
class Held:
    """Patches (n, channels, h, w) at `rows` x `columns` of a map, and the clean map; computed when they are asked for.

    own: nothing else refers to the memory of the patches. given: an operation was given the patches (whole maps then)
    as a plain tensor, and may have kept a view of them.
    """

    work: Work
    channels: int
    rows: Span
    columns: Span
    made: Tensor | None = None
    clean_made: Tensor | None = None
    pending: Pending | None = None
    own: bool = False
    given: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the maps that the patches stand for."""
        return len(self.rows.start) * len(self.columns.start), self.channels, self.rows.length, self.columns.length

    @property
    def whole(self) -> bool:
        """Whether the patches are whole maps; there is no clean map then."""
        return self.rows.whole and self.columns.whole

    @property
    def patch(self) -> Tensor:
        """(n, channels, h, w), channels last in memory unless they were given."""
        self._compute()
        assert self.made is not None
        return self.made

    @property
    def clean(self) -> Tensor:
        """(1, channels, H, W)."""
        self._compute()
        assert self.clean_made is not None
        return self.clean_made

    def become(self, other: Held) -> None:
        """Hold what the other does: after an operation in place."""
        self.rows, self.columns, self.made, self.clean_made = other.rows, other.columns, other.made, other.clean_made
        self.pending, self.own = other.pending, other.own

    def lent(self) -> Tensor:
        """The patches, for one who keeps them: they are not changed in place from here on."""
        self.own = False
        return self.patch

    def windows(self, asked: tuple[spans.Cells, spans.Cells], margins: Margins = NO_MARGINS) -> Tensor:
        """These cells of each place's map, (n, channels, rows, columns)."""
        clean = self.clean
        padded = self.work.clean.value((clean, margins), lambda: with_margins(clean, margins))
        return cut(padded, self.patch, (self.rows, self.columns), asked, margins)

    def held_at(self, rows: Span, columns: Span) -> Tensor:
        """Patches for these spans, which hold at least what differs; perhaps the same memory."""
        if (rows.start, rows.size) == (self.rows.start, self.rows.size) and (columns.start, columns.size) == (
            self.columns.start,
            self.columns.size,
        ):
            return self.patch
        if self.whole:  # a smaller span of whole maps is never asked for
            raise ValueError("whole maps are not cut")
        return self.windows((spans.held(rows), spans.held(columns)))

    def wholly(self) -> Tensor:
        """Whole maps (n, channels, H, W); perhaps the same memory."""
        return self.patch if self.whole else self.held_at(spans.whole(self.rows), spans.whole(self.columns))

    def _compute(self) -> None:
        todo = self.pending
        if todo is None:
            return
        self.made = todo.convolution.compute(todo.inputs, padded=todo.padded, dense=todo.dense)
        clean_inputs = todo.clean_inputs
        if clean_inputs is not None:
            self.clean_made = self.work.clean.value(
                (todo.convolution, clean_inputs), lambda: todo.convolution.compute(clean_inputs, padded=True)
            )
        self.pending, self.own = None, True
