"""The operations that look at a cell alone, computed for patches: functions of a cell, of two maps, moves and copies.

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

aten = torch.ops.aten


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
        return made_at(one, found, spans.whole(one.rows), spans.whole(one.columns))
    rows, columns = tight(spans.together([one.rows, other.rows]), spans.together([one.columns, other.columns]))
    made = func(one.held_at(rows, columns), other.held_at(rows, columns), **kwargs)
    found = made_at(one, made, rows, columns)
    if not found.whole:
        cleans = (one.clean, other.clean)
        made_of = (func, *cleans, *kwargs.items())
        found.clean_made = one.work.clean.value(made_of, lambda: func(*cleans, **kwargs))
    return found


def normalisation(func: Any, args: Arguments, kwargs: dict[str, Any]) -> tuple[Held | Tensor, ...] | None:
    """By kept statistics: aten::native_batch_norm(x, weight, bias, mean, variance, training, momentum, epsilon)."""
    maps, weight, bias, mean, variance, training, _, epsilon = args
    if not isinstance(maps, Held) or training or not is_plain(mean) or not is_plain(variance):
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


def padding(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held | None:
    """aten::constant_pad_nd(x, pad, value=0): the patches stay, their places move."""
    maps, sides, _ = filled(args, (None, None, 0))
    if not isinstance(maps, Held) or kwargs or len(sides) not in (2, 4) or min(sides) < 0:
        return None
    left, right, top, bottom = (*sides, 0, 0)[:4]
    if maps.whole:
        return made_whole(maps, func(*(maps.patch, *args[1:])))
    rows = spans.moved(maps.rows, top, maps.rows.length + top + bottom)
    columns = spans.moved(maps.columns, left, maps.columns.length + left + right)
    found = made_at(maps, maps.lent(), rows, columns)
    found.own = False
    clean = maps.clean
    found.clean_made = maps.work.clean.value((func, clean, *args[1:]), lambda: func(clean, *args[1:]))
    return found


def joined(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held | None:
    """aten::cat(tensors, dim=0): along the channels."""
    parts, axis = filled(args, (None, 0))
    if kwargs or axis not in (1, -3) or not all(isinstance(one, Held) for one in parts):
        return None
    if len({(one.shape[0], *one.shape[2:]) for one in parts}) > 1:
        return None
    first = parts[0]
    if any(one.whole for one in parts):
        return made_whole(first, func([one.wholly() for one in parts], 1))
    rows, columns = tight(spans.together([one.rows for one in parts]), spans.together([one.columns for one in parts]))
    found = made_at(first, func([one.held_at(rows, columns) for one in parts], 1), rows, columns)
    if not found.whole:
        cleans = [one.clean for one in parts]
        found.clean_made = first.work.clean.value((func, *cleans), lambda: func(cleans, 1))
    return found


def copy(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held | None:
    """aten::clone(x, memory_format): what it shares is never changed in place."""
    maps = args[0]
    if not isinstance(maps, Held) or maps.given:
        return None
    found = made_at(maps, maps.lent(), maps.rows, maps.columns)
    found.own, found.clean_made = False, None if maps.whole else maps.clean
    return found


def same(func: Any, args: Arguments, kwargs: dict[str, Any]) -> Held:
    """aten::detach, aten::alias: a view of all of it, so that what is done to one in place is done to the other."""
    found: Held = args[0]
    return found


def _each(maps: Held, compute: Callable[[Tensor], Tensor], made_of: tuple[object, ...]) -> Held:
    """The same function of every cell."""
    found = made_at(maps, compute(maps.patch), maps.rows, maps.columns)
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


def _in_place(func: Any) -> bool:
    name: str = func._schema.name
    return name.endswith("_")


def _functional(func: Any) -> Any:
    """The operation that does the same and is not in place; None where torch has none."""
    packet = getattr(aten, func._schema.name.removeprefix("aten::").removesuffix("_"), None)
    return getattr(packet, func._overloadname, None)
