"""What the operations on patches share: how their results are put together, and how their arguments are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from striate.views.incremental import spans
from striate.views.incremental.held import Held
from striate.views.incremental.spans import Span

Arguments = Sequence[Any]

# A patch of so much of its map is about as dear as the whole map.
NEARLY_WHOLE = 0.85


def made_at(maps: Held, made: Tensor, rows: Span, columns: Span) -> Held:
    """Patches (n, channels, h, w) of a new map at these cells, made of those of `maps`."""
    return Held(work=maps.work, channels=made.shape[1], rows=rows, columns=columns, made=made, own=True)


def made_whole(maps: Held, made: Tensor) -> Held:
    """Whole maps (n, channels, H, W), any cell of which may differ."""

    def all_of(span: Span, length: int) -> Span:
        none = (0,) * len(span.start)
        return Span(none, (length,) * len(none), none, length, length)

    return made_at(maps, made, all_of(maps.rows, made.shape[2]), all_of(maps.columns, made.shape[3]))


def tight(rows: Span, columns: Span) -> tuple[Span, Span]:
    """These spans, or whole maps where that is about as much."""
    if rows.size * columns.size >= NEARLY_WHOLE * rows.length * columns.length:
        return spans.whole(rows), spans.whole(columns)
    return rows, columns


def is_plain(one: object) -> bool:
    """Whether it is a tensor that holds no patches."""
    return isinstance(one, Tensor)


def filled(args: Arguments, defaults: Arguments) -> Arguments:
    """All arguments, those that were left out as torch's schema has them."""
    return (*args, *defaults[len(args) :])
