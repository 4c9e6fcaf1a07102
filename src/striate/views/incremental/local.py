"""The operations that look at a cell and its neighbours alone, computed for patches. `LOCAL`: torch's name -> function.

Each takes the arguments that the network gave, with a `Held` for every map, and gives the `Held` of the result (the one
that it was given, where it works in place), or None where the arguments make it an operation of another kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from striate.views.incremental import spans
from striate.views.incremental.convolution import Convolution
from striate.views.incremental.held import Held, Pending
from striate.views.incremental.spans import Span, Window
from striate.views.incremental.windows import Margins

aten = torch.ops.aten
Arguments = Sequence[Any]
Operation = Callable[[Any, Arguments, dict[str, Any]], Any]

# A patch of so much of its map is about as dear as the whole map.
NEARLY_WHOLE = 0.85
# Functions of one cell, each on its own; with an underscore behind the name they work in place.
OF_A_CELL = (
    *("relu", "hardtanh", "clamp", "clamp_min", "clamp_max", "threshold", "leaky_relu", "elu", "celu", "selu", "gelu"),
    *("sigmoid", "hardsigmoid", "tanh", "silu", "hardswish", "mish", "softplus", "neg", "abs", "exp", "log", "sqrt"),
    *("rsqrt", "square", "reciprocal", "pow", "rsub", "sin", "cos", "erf"),
)
OF_TWO = ("add", "sub", "mul", "div", "maximum", "minimum")


def of_a_cell(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held | None:
    """One map and numbers."""
    maps, *others = args
    if not isinstance(maps, Held) or any(isinstance(one, Held | Tensor) for one in (*others, *kwargs.values())):
        return None
    if _in_place(func):
        return _in_place_of_a_cell(func, maps, others, kwargs)
    pending = maps.pending
    if func is aten.relu.default and pending is not None and not pending.convolution.rectified:
        return _followed(maps, pending, _rectified(maps, pending))
    return _each(maps, lambda cells: func(cells, *others, **kwargs), (func, *others, *kwargs.items()))


def _in_place_of_a_cell(func: Any, maps: Held, others: Sequence[Any], kwargs: dict[str, Any]) -> Held | None:
    if maps.given:
        return None
    pending = maps.pending
    if func is aten.relu_.default and pending is not None and not pending.convolution.rectified:
        maps.pending = _after(pending, _rectified(maps, pending))
        return maps
    plain = _functional(func)
    if plain is None:
        return None
    if not maps.whole:
        clean = maps.clean
        made_of = (func, clean, *others, *kwargs.items())
        maps.clean_made = maps.work.clean.value(made_of, lambda: plain(clean, *others, **kwargs))
    cells = maps.patch
    if maps.own:
        func(cells, *others, **kwargs)
    else:
        maps.made, maps.own = plain(cells, *others, **kwargs), True
    return maps


def of_two(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held | None:
    """Two maps of one shape, or a map and numbers that are the same for every cell and picture."""
    if len(args) != 2 or any(isinstance(one, Held | Tensor) for one in kwargs.values()):
        return None
    in_place, plain = _in_place(func), _functional(func) if _in_place(func) else func
    maps = [one for one in args if isinstance(one, Held)]
    if plain is None or (in_place and (not isinstance(args[0], Held) or args[0].given)):
        return None
    if len(maps) == 1:
        found = _with_numbers(plain, args, kwargs, maps[0])
    elif maps[0].shape != maps[1].shape:
        return None
    else:
        found = _of_two_maps(plain, maps, kwargs)
    if found is None or not in_place:
        return found
    args[0].become(found)
    return args[0]  # type: ignore[no-any-return]


def _with_numbers(func: Any, args: Arguments, kwargs: dict[str, Any], maps: Held) -> Held | None:
    number = args[1] if args[0] is maps else args[0]
    if isinstance(number, Tensor):
        shape = (1,) * (4 - number.ndim) + tuple(number.shape)
        # (1, C, 1, 1), or a single number; more channels than the map has would widen it.
        if shape[0] != 1 or shape[2:] != (1, 1) or shape[1] not in (1, maps.channels):
            return None

    def both(cells: Tensor) -> Tensor:
        found: Tensor = func(*(cells if one is maps else one for one in args), **kwargs)
        return found.to(cells.dtype)

    return _each(maps, both, (func, args[0] is maps, number, *kwargs.items()))


def _of_two_maps(func: Any, maps: Sequence[Held], kwargs: dict[str, Any]) -> Held:
    one, other = maps
    if one.whole or other.whole:
        found = func(one.wholly(), other.wholly(), **kwargs)
        return _new(one, found, spans.whole(one.rows), spans.whole(one.columns))
    rows, columns = _tight(spans.together([one.rows, other.rows]), spans.together([one.columns, other.columns]))
    made = func(one.held_at(rows, columns), other.held_at(rows, columns), **kwargs)
    found = _new(one, made, rows, columns)
    if not found.whole:
        cleans = (one.clean, other.clean)
        made_of = (func, *cleans, *kwargs.items())
        found.clean_made = one.work.clean.value(made_of, lambda: func(*cleans, **kwargs))
    return found


def convolution(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held | None:
    """aten::convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    maps, weight, bias, stride, padding, dilation, transposed, _, groups = args
    if not isinstance(maps, Held) or not _plain(weight) or weight.ndim != 4 or transposed:
        return None
    if bias is not None and not _plain(bias):
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


def normalisation(func: Any, args: Arguments, kwargs: dict[str, Any]) -> tuple[Held | Tensor, ...] | None:
    """By kept statistics: aten::native_batch_norm(x, weight, bias, mean, variance, training, momentum, epsilon)."""
    maps, weight, bias, mean, variance, training, _, epsilon = args
    if not isinstance(maps, Held) or training or not _plain(mean) or not _plain(variance):
        return None
    pending = maps.pending
    # What it would keep for a backward pass.
    others = [mean.new_empty(0)] * (len(func._schema.returns) - 1)
    if pending is None or pending.convolution.rectified:
        found = _each(maps, lambda cells: func(cells, *args[1:], **kwargs)[0], (func, *args[1:]))
        return found, *others

    def folded() -> Convolution:
        scale = (variance + epsilon).rsqrt()
        scale = scale if weight is None else scale * weight
        shift = -mean * scale
        return pending.convolution.normalised(scale, shift if bias is None else shift + bias)

    ready = maps.work.weights.value((pending.convolution, *args[1:]), folded)
    return _followed(maps, pending, ready), *others


def max_pooling(func: Any, args: Arguments, kwargs: dict[str, Any]) -> tuple[Held, Tensor] | None:
    """aten::max_pool2d_with_indices(x, kernel, stride=[], padding=0, dilation=1, ceil_mode=False)."""
    maps, kernel, stride, padding, dilation, ceil_mode = _filled(args, (None, None, (), 0, 1, False))
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
    maps, kernel, stride, padding, ceil_mode, counts_padding, divisor = _filled(
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
        return _new_whole(maps, pooled(maps.patch, padding))
    clean = maps.clean
    clean_found = maps.work.clean.value((clean, *made_of), lambda: pooled(clean, padding))
    windows = [Window(kernel[axis], stride[axis], padding[axis], dilation[axis]) for axis in (0, 1)]
    rows, columns = _through(maps, windows, (clean_found.shape[2], clean_found.shape[3]))
    if rows.whole and columns.whole:
        return _new_whole(maps, pooled(maps.wholly(), padding))
    asked = spans.seen(rows, windows[0]), spans.seen(columns, windows[1])
    cells = maps.windows(asked, _margins(maps, rows, columns, windows, outside))
    found = _new(maps, pooled(cells, (0, 0)), rows, columns)
    found.clean_made = clean_found
    return found


def padding(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held | None:
    """aten::constant_pad_nd(x, pad, value=0): the patches stay, their places move."""
    maps, sides, _ = _filled(args, (None, None, 0))
    if not isinstance(maps, Held) or kwargs or len(sides) not in (2, 4) or min(sides) < 0:
        return None
    left, right, top, bottom = (*sides, 0, 0)[:4]
    if maps.whole:
        return _new_whole(maps, func(*(maps.patch, *args[1:])))
    rows = spans.moved(maps.rows, top, maps.rows.length + top + bottom)
    columns = spans.moved(maps.columns, left, maps.columns.length + left + right)
    found = _new(maps, maps.lent(), rows, columns)
    found.own = False
    clean = maps.clean
    found.clean_made = maps.work.clean.value((func, clean, *args[1:]), lambda: func(clean, *args[1:]))
    return found


def joined(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held | None:
    """aten::cat(tensors, dim=0): along the channels."""
    parts, axis = _filled(args, (None, 0))
    if kwargs or axis not in (1, -3) or not all(isinstance(one, Held) for one in parts):
        return None
    if len({(one.shape[0], *one.shape[2:]) for one in parts}) > 1:
        return None
    first = parts[0]
    if any(one.whole for one in parts):
        return _new_whole(first, func([one.wholly() for one in parts], 1))
    rows, columns = _tight(spans.together([one.rows for one in parts]), spans.together([one.columns for one in parts]))
    found = _new(first, func([one.held_at(rows, columns) for one in parts], 1), rows, columns)
    if not found.whole:
        cleans = [one.clean for one in parts]
        found.clean_made = first.work.clean.value((func, *cleans), lambda: func(cleans, 1))
    return found


def copy(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held | None:
    """aten::clone(x, memory_format): what it shares is never changed in place."""
    maps = args[0]
    if not isinstance(maps, Held) or maps.given:
        return None
    found = _new(maps, maps.lent(), maps.rows, maps.columns)
    found.own, found.clean_made = False, None if maps.whole else maps.clean
    return found


def same(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held:
    """aten::detach, aten::alias: a view of all of it, so that what is done to one in place is done to the other."""
    found: Held = args[0]
    return found


def _each(maps: Held, compute: Callable[[Tensor], Tensor], made_of: tuple[object, ...]) -> Held:
    """The same function of every cell."""
    found = _new(maps, compute(maps.patch), maps.rows, maps.columns)
    if not maps.whole:
        clean = maps.clean
        found.clean_made = maps.work.clean.value((clean, *made_of), lambda: compute(clean))
    return found


def _rectified(maps: Held, pending: Pending) -> Convolution:
    return maps.work.weights.value((pending.convolution, "relu"), pending.convolution.with_relu)


def _followed(maps: Held, pending: Pending, ready: Convolution) -> Held:
    """The same inputs through a convolution that does more."""
    return Held(
        work=maps.work,
        channels=maps.channels,
        rows=maps.rows,
        columns=maps.columns,
        pending=_after(pending, ready),
    )


def _after(pending: Pending, ready: Convolution) -> Pending:
    return Pending(
        convolution=ready,
        inputs=pending.inputs,
        clean_inputs=pending.clean_inputs,
        padded=pending.padded,
        dense=pending.dense,
    )


def _new(maps: Held, made: Tensor, rows: Span, columns: Span) -> Held:
    return Held(work=maps.work, channels=made.shape[1], rows=rows, columns=columns, made=made, own=True)


def _new_whole(maps: Held, made: Tensor) -> Held:
    def all_of(span: Span, length: int) -> Span:
        none = (0,) * len(span.start)
        return Span(none, (length,) * len(none), none, length, length)

    return _new(maps, made, all_of(maps.rows, made.shape[2]), all_of(maps.columns, made.shape[3]))


def _tight(rows: Span, columns: Span) -> tuple[Span, Span]:
    """These spans, or whole maps where that is about as much."""
    if rows.size * columns.size >= NEARLY_WHOLE * rows.length * columns.length:
        return spans.whole(rows), spans.whole(columns)
    return rows, columns


def _through(maps: Held, windows: Sequence[Window], lengths: tuple[int, int]) -> tuple[Span, Span]:
    rows = spans.through(maps.rows, windows[0], lengths[0])
    columns = spans.through(maps.columns, windows[1], lengths[1])
    if maps.whole:
        return spans.whole(rows), spans.whole(columns)
    return _tight(rows, columns)


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


def _in_place(func: Any) -> bool:
    name: str = func._schema.name
    return name.endswith("_")


def _functional(func: Any) -> Any:
    """The operation that does the same and is not in place; None where torch has none."""
    packet = getattr(aten, func._schema.name.removeprefix("aten::").removesuffix("_"), None)
    return getattr(packet, func._overloadname, None)


def _plain(one: object) -> bool:
    return isinstance(one, Tensor)


def _pair(numbers: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(numbers, int):
        return numbers, numbers
    return numbers[0], numbers[-1]


def _filled(args: Arguments, defaults: Arguments) -> Arguments:
    """All arguments, those that were left out as torch's schema has them."""
    return (*args, *defaults[len(args) :])


LOCAL: dict[str, Operation] = {
    **{f"aten::{name}{end}": of_a_cell for name in OF_A_CELL for end in ("", "_")},
    **{f"aten::{name}{end}": of_two for name in OF_TWO for end in ("", "_")},
    "aten::convolution": convolution,
    "aten::native_batch_norm": normalisation,
    "aten::cudnn_batch_norm": normalisation,
    "aten::max_pool2d_with_indices": max_pooling,
    "aten::avg_pool2d": mean_pooling,
    "aten::constant_pad_nd": padding,
    "aten::cat": joined,
    "aten::clone": copy,
    "aten::detach": same,
    "aten::alias": same,
}
