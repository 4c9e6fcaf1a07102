"""Where a network would give NaN, and nothing else of what it computes. B pictures, C D channels, H W h w of maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class OnlyWhereNaN(TorchFunctionMode):
    """Convolutions and linear layers give NaN where they would, and elsewhere some numbers: quick, and exact.

    Quick algorithms for convolutions compute neighbours together and would let NaN spread between them.
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func == F.conv2d:
            return _convolved(*args, **kwargs)
        if func == F.linear:
            return _spread(*args, **kwargs)
        if func in (F.conv_transpose2d, F.conv1d, F.conv3d, F.conv_transpose1d, F.conv_transpose3d):
            # Rare: computed as they are, in the format that has no quick algorithms.
            wide = [one.double() if isinstance(one, Tensor) else one for one in args]
            named = {name: one.double() if isinstance(one, Tensor) else one for name, one in kwargs.items()}
            return func(*wide, **named).to(args[0].dtype)
        return func(*args, **kwargs)


def _numbers(count: int, like: Tensor) -> Tensor:
    """Any numbers that differ, so that norms over channels have something to norm."""
    return torch.linspace(-1, 1, count, dtype=like.dtype, device=like.device) if count > 1 else like.new_ones(1)


def _spread(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002
    """NaN in all outputs where one input is: (..., D) -> (..., E)."""
    sums = input.sum(-1, keepdim=True)
    return _numbers(weight.shape[0], input) + torch.where(sums.isnan(), torch.nan, torch.zeros_like(sums))


def _convolved(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """NaN where the window of a unit has one, in the channels of its group: (B, C, H, W) -> (B, D, h, w)."""
    kernel = (weight.shape[2], weight.shape[3])
    apart = _two(dilation)
    if isinstance(padding, str):
        total = [0 if padding == "valid" else gap * (side - 1) for gap, side in zip(apart, kernel, strict=True)]
        around = [total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2]
    else:
        high, wide = _two(padding)
        around = [wide, wide, high, high]
    # One map of what is missing for each group; mostly they are the same.
    if groups > 1:
        missing = input.isnan().view(len(input), groups, -1, *input.shape[2:]).any(2)
        anywhere = missing.any(1, keepdim=True)
        if torch.equal(anywhere, missing.all(1, keepdim=True)):
            missing = anywhere
    else:
        missing = input.sum(1, keepdim=True).isnan()
    missing = F.pad(missing.to(input.dtype), around)
    # The window's rows, then its columns.
    (down, right), (gap_down, gap_right) = _two(stride), apart
    missing = F.max_pool2d(missing, (kernel[0], 1), (down, 1), 0, (gap_down, 1))
    missing = F.max_pool2d(missing, (1, kernel[1]), (1, right), 0, (1, gap_right))
    if missing.shape[1] > 1:
        missing = missing.repeat_interleave(weight.shape[0] // groups, dim=1)
    numbers = _numbers(weight.shape[0], input)[:, None, None]
    return numbers + torch.where(missing > 0, torch.nan, torch.zeros_like(missing))


def _two(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[-1])
