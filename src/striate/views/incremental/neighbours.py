"""The operations that look at a cell and its neighbours, computed for patches: convolution and pooling.

What they take and give is said by `local.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from striate.views.incremental import spans
from striate.views.incremental.convolution import Convolution
from striate.views.incremental.held import Held, Pending
from striate.views.incremental.made import Arguments, filled, is_plain, made_at, made_whole, tight
from striate.views.incremental.spans import Span, Window
from striate.views.incremental.windows import Margins


def convolution(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held | None:
    """aten::convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    maps, weight, bias, stride, padding, dilation, transposed, _, groups = args
    if not isinstance(maps, Held) or not is_plain(weight) or weight.ndim != 4 or transposed:
        return None
    if bias is not None and not is_plain(bias):
        return None
    stride, padding, dilation = _pair(stride), _pair(padding), _pair(dilation)
    work = maps.work
    ready = work.weights.value(
        (weight, bias, stride, padding, dilation, groups),
        lambda: Convolution(
            weight=weight,
            bias=bias,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            computed_in=work.computed_in,
        ),
    )
    windows = [Window(weight.shape[2 + axis], stride[axis], padding[axis], dilation[axis]) for axis in (0, 1)]
    rows, columns = _through(maps, windows, _outputs(maps, windows, padding))
    found = Held(work=work, channels=weight.shape[0], rows=rows, columns=columns)
    if work.not_local is None:
        work.multiply_adds += ready.multiply_adds(rows.length * columns.length)
    if found.whole:
        found.pending = Pending(
            convolution=ready,
            inputs=maps.lent() if maps.whole else maps.wholly(),
            clean_inputs=None,
            padded=True,
            dense=False,
        )
    elif all(window.pointwise for window in windows) and _same_cells(maps, rows, columns):
        found.pending = Pending(
            convolution=ready, inputs=maps.lent(), clean_inputs=maps.clean, padded=False, dense=True
        )
    else:
        dense = tuple(weight.shape[2:]) == (1, 1)
        asked = spans.seen(rows, windows[0], alone=dense), spans.seen(columns, windows[1], alone=dense)
        found.pending = Pending(
            convolution=ready,
            inputs=maps.windows(asked, _margins(maps, rows, columns, windows, 0.0)),
            clean_inputs=maps.clean,
            padded=False,
            dense=dense,
        )
    if maps.given:
        found._compute()
    return found


def max_pooling(func: Any, args: Arguments, kwargs: dict[str, Any]) -> tuple[Held, Tensor] | None:
    """aten::max_pool2d_with_indices(x, kernel, stride=[], padding=0, dilation=1, ceil_mode=False)."""
    maps, kernel, stride, padding, dilation, ceil_mode = filled(args, (None, None, (), 0, 1, False))
    if not isinstance(maps, Held) or kwargs:
        return None
    kernel, padding, dilation = _pair(kernel), _pair(padding), _pair(dilation)
    stride = _pair(stride or kernel)

    def pooled(cells: Tensor, padding: tuple[int, int]) -> Tensor:
        found: Tensor = func(cells, kernel, stride, padding, dilation, ceil_mode)[0]
        return found

    found = _pooled(maps, kernel, stride, padding, dilation, -torch.inf, pooled, (func, *args[1:]))
    # Where the greatest cells were is not computed; whoever asks for it fails on a tensor without elements.
    return found, torch.empty(0, dtype=torch.int64)


def mean_pooling(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held | None:
    """aten::avg_pool2d(x, kernel, stride=[], padding=0, ceil_mode=False, count_include_pad=True, divisor=None)."""
    maps, kernel, stride, padding, ceil_mode, counts_padding, divisor = filled(
        args, (None, None, (), 0, False, True, None)
    )
    if not isinstance(maps, Held) or kwargs:
        return None
    kernel, padding = _pair(kernel), _pair(padding)
    # A window at the border is divided by fewer cells than one inside.
    if ceil_mode or (padding != (0, 0) and not counts_padding and divisor is None):
        return None
    stride = _pair(stride or kernel)

    def pooled(cells: Tensor, padding: tuple[int, int]) -> Tensor:
        found: Tensor = func(cells, kernel, stride, padding, False, counts_padding, divisor)
        return found

    return _pooled(maps, kernel, stride, padding, (1, 1), 0.0, pooled, (func, *args[1:]))


def _pooled(
    maps: Held,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    outside: float,
    pooled: Callable[[Tensor, tuple[int, int]], Tensor],
    made_of: tuple[object, ...],
) -> Held:
    if maps.whole:
        return made_whole(maps, pooled(maps.patch, padding))
    clean = maps.clean
    clean_found = maps.work.clean.value((clean, *made_of), lambda: pooled(clean, padding))
    windows = [Window(kernel[axis], stride[axis], padding[axis], dilation[axis]) for axis in (0, 1)]
    rows, columns = _through(maps, windows, (clean_found.shape[2], clean_found.shape[3]))
    if rows.whole and columns.whole:
        return made_whole(maps, pooled(maps.wholly(), padding))
    asked = spans.seen(rows, windows[0]), spans.seen(columns, windows[1])
    cells = maps.windows(asked, _margins(maps, rows, columns, windows, outside))
    found = made_at(maps, pooled(cells, (0, 0)), rows, columns)
    found.clean_made = clean_found
    return found


def _through(maps: Held, windows: Sequence[Window], lengths: tuple[int, int]) -> tuple[Span, Span]:
    rows = spans.through(maps.rows, windows[0], lengths[0])
    columns = spans.through(maps.columns, windows[1], lengths[1])
    if maps.whole:
        return spans.whole(rows), spans.whole(columns)
    return tight(rows, columns)


def _outputs(maps: Held, windows: Sequence[Window], after: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of what a convolution gives."""
    rows, columns = (
        (length + window.before + behind - window.reach) // window.stride + 1
        for length, window, behind in zip(maps.shape[2:], windows, after, strict=True)
    )
    return rows, columns


def _margins(maps: Held, rows: Span, columns: Span, windows: Sequence[Window], value: float) -> Margins:
    """As wide as the windows of the whole output need them: the same for all blocks."""

    def behind(span: Span, window: Window, length: int) -> int:
        return max(0, (span.length - 1) * window.stride - window.before + window.reach - length)

    return Margins(
        top=windows[0].before,
        bottom=behind(rows, windows[0], maps.rows.length),
        left=windows[1].before,
        right=behind(columns, windows[1], maps.columns.length),
        value=value,
    )


def _same_cells(maps: Held, rows: Span, columns: Span) -> bool:
    return (maps.rows.start, maps.rows.size, maps.columns.start, maps.columns.size) == (
        *(rows.start, rows.size),
        *(columns.start, columns.size),
    )


def _pair(numbers: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(numbers, int):
        return numbers, numbers
    return numbers[0], numbers[-1]
