"""Which cells of a map a square can change, along one axis, for each of several places of the square. Plain numbers.

Rows and columns go their own ways: a rectangle is a span of rows and a span of columns, and the places of a block are
all pairs of some rows and some columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """What one output cell of a convolution or a pooling layer sees along one axis; `before`: padding on that side."""

    kernel: int
    stride: int = 1
    before: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Cells from the first that it sees to the last, both counted."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def pointwise(self) -> bool:
        """Whether every output cell sees the one input cell of the same number."""
        return (self.kernel, self.stride, self.before) == (1, 1, 0)


@dataclass(frozen=True)
class Span:
    """Cells of a map of `length` cells along one axis, for each place.

    first, end: the cells that can differ from the clean map, [first, end); nothing where first = end.
    start, size: the cells that a patch holds, [start, start + size): the ones that can differ and, since all patches
        are of one size and lie inside the map, perhaps some more.
    """

    first: tuple[int, ...]
    end: tuple[int, ...]
    start: tuple[int, ...]
    size: int
    length: int

    @property
    def whole(self) -> bool:
        """Whether patches hold all cells."""
        return self.size == self.length


@dataclass(frozen=True)
class Cells:
    """Cells that are asked of a map, for each place: first, first + step, ... `count` of them; also outside of it."""

    first: tuple[int, ...]
    count: int
    step: int = 1


def changed(first: Sequence[int], end: Sequence[int], length: int) -> Span:
    """The span of these cells, held as tightly as one size for all places allows."""
    size = max(1, *(last - begin for begin, last in zip(first, end, strict=True)))
    start = tuple(min(begin, length - size) for begin in first)
    return Span(tuple(first), tuple(end), start, size, length)


def whole(span: Span) -> Span:
    """The same changes, held as whole maps."""
    return Span(span.first, span.end, (0,) * len(span.first), span.length, span.length)


def through(span: Span, window: Window, length: int) -> Span:
    """The cells of the output, of so many cells, that see a cell that can differ."""
    first, end = [], []
    for begin, last in zip(span.first, span.end, strict=True):
        # Output cell o sees the input cells from o * stride - before to that + reach - 1.
        low = max(0, -((window.reach - 1 - window.before - begin) // window.stride))
        high = min(length, (last - 1 + window.before) // window.stride + 1)
        nothing = begin >= last or low >= high
        first.append(0 if nothing else low)
        end.append(0 if nothing else high)
    return changed(first, end, length)


def together(spans: Sequence[Span]) -> Span:
    """The cells that can differ in at least one of several maps of the same length."""
    first, end = [], []
    for parts in zip(*(zip(span.first, span.end, strict=True) for span in spans), strict=True):
        some = [(begin, last) for begin, last in parts if begin < last] or [(0, 0)]
        first.append(min(begin for begin, _ in some))
        end.append(max(last for _, last in some))
    return changed(first, end, spans[0].length)


def moved(span: Span, by: int, length: int) -> Span:
    """The same cells in a map that has `by` cells more before them, of so many cells in all."""
    return Span(
        tuple(cell + by for cell in span.first),
        tuple(cell + by for cell in span.end),
        tuple(cell + by for cell in span.start),
        span.size,
        length,
    )


def held(span: Span) -> Cells:
    """The cells of its patches."""
    return Cells(span.start, span.size)


def seen(span: Span, window: Window, *, alone: bool = False) -> Cells:
    """The input cells from the first to the last that the patches of this output need.

    alone: those cells alone that a kernel of one cell sees, without the ones that its stride leaves out.
    """
    first = tuple(cell * window.stride - window.before for cell in span.start)
    if alone:
        return Cells(first, span.size, window.stride)
    return Cells(first, (span.size - 1) * window.stride + window.reach)
