"""A tensor that a network takes for the maps of n pictures, and that holds what differs from a clean picture alone.

Every operation of the network on it comes to `PatchTensor.__torch_dispatch__`, so that no network has to be known
beforehand, nor how it is written. Operations on a cell and its neighbours (`local`) are computed for patches, cut out
of the clean map with a rim as wide as the operation looks; patches that have grown to nearly a whole map become whole.
Any other operation gets whole maps, plain tensors, and what comes of them is plain. Either way the result is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from striate.views.incremental import spans
from striate.views.incremental.held import Held
from striate.views.incremental.local import LOCAL
from striate.views.incremental.spans import Span
from striate.views.incremental.work import Work


class PatchTensor(Tensor):
    """Looks like (n, C, H, W), contiguous; its values are behind `held`."""

    held: Held
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Held, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> PatchTensor:
        """`held` as a tensor that says to be of this shape and type."""
        made = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=dtype, device=device)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """What the operation gives: more patches, or plain tensors. One in place changes what its tensor holds."""
        kwargs = kwargs or {}
        tensors: list[PatchTensor] = []

        def held(tensor: PatchTensor) -> Held:
            tensors.append(tensor)
            return tensor.held

        held_args, held_kwargs = _with(PatchTensor, held, args), _with(PatchTensor, held, kwargs)
        local = LOCAL.get(func._schema.name)
        found = local(func, held_args, held_kwargs) if local is not None else None
        if found is None:
            return func(*_with(PatchTensor, _whole_maps, args), **_with(PatchTensor, _whole_maps, kwargs))

        def wrapped(result: Held) -> PatchTensor:
            return PatchTensor(result, result.shape, tensors[0].dtype, tensors[0].device)

        return wrapped(found) if isinstance(found, Held) else tuple(_with(Held, wrapped, found))


def _with(kind: type, changed: Callable[[Any], Any], given: Any) -> Any:
    """What was given with every `kind` in it changed; arguments of operations are no deeper than lists."""
    if isinstance(given, kind):
        return changed(given)
    if isinstance(given, list | tuple):
        return [_with(kind, changed, one) for one in given]
    return {name: _with(kind, changed, one) for name, one in given.items()} if isinstance(given, dict) else given


def _whole_maps(tensor: PatchTensor) -> Tensor:
    """The maps as a plain tensor. From here on its memory is the tensor's own, for others may see it through a view."""
    held = tensor.held
    if not held.whole:
        held.work.needs_whole_maps()
    if not held.given:
        maps = held.wholly().to(tensor.dtype).contiguous()
        held.made = maps.clone() if maps is held.made and not held.own else maps
        held.rows, held.columns = spans.whole(held.rows), spans.whole(held.columns)
        held.clean_made, held.own, held.given = None, False, True
    return held.patch


def patches_of(
    work: Work, clean: Tensor, patches: Tensor, rows: Span, columns: Span, dtype: torch.dtype
) -> PatchTensor:
    """The pictures that come of a clean one (1, C, H, W) when patches (n, C, h, w) are laid over it.

    clean: the same tensor for every block, of the type that is computed in; dtype: what the network is told.
    """
    laid = patches.to(work.computed_in).contiguous(memory_format=torch.channels_last)
    held = Held(work=work, channels=clean.shape[1], rows=rows, columns=columns, made=laid, clean_made=clean)
    return PatchTensor(held, held.shape, dtype, clean.device)


def unit_maps(maps: Tensor, unit: int) -> Tensor:
    """The maps (n, H, W) of one channel, of patches or of plain maps (n, C, H, W)."""
    if not isinstance(maps, PatchTensor):
        return maps[:, unit]
    held = maps.held
    one = Held(
        work=held.work,
        channels=1,
        rows=held.rows,
        columns=held.columns,
        made=held.patch[:, unit : unit + 1],
        clean_made=None if held.whole else held.clean[:, unit : unit + 1],
    )
    return one.wholly()[:, 0]
