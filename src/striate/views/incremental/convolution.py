"""A convolution, ready to be computed many times: normalisation folded in, weights in the order that it is fastest in.

(n, C, H, W) -> (n, D, H', W'), channels last. oneDNN, which computes convolutions on processors, brings the weights
into an order of its own at every call; here they are brought into it once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution:
    """weight (D, C / groups, k, k) and bias (D,) as they were learned; `computed_in`: the format to compute in.

    rectified: a ReLU comes after it.
    """

    weight: Tensor
    bias: Tensor | None
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    computed_in: torch.dtype
    rectified: bool = False
    _ready: dict[object, Tensor] = field(default_factory=dict)

    def normalised(self, scale: Tensor, shift: Tensor) -> Convolution:
        """Followed by scale * y + shift, both (D,)."""
        bias = shift if self.bias is None else self.bias * scale + shift
        return replace(self, weight=self.weight * scale[:, None, None, None], bias=bias, _ready={})

    def with_relu(self) -> Convolution:
        """Followed by a ReLU; shares the weights that are ready."""
        return replace(self, rectified=True)

    def compute(self, maps: Tensor, *, padded: bool, dense: bool = False) -> Tensor:
        """Of maps (n, C, H, W): with its padding, or, where not `padded`, of what is inside alone.

        dense: a kernel of one cell whose stride was taken already, when the cells were cut out.
        """
        maps = maps.to(self.computed_in).contiguous(memory_format=torch.channels_last)
        stride, padding = (1, 1) if dense else self.stride, self.padding if padded else (0, 0)
        bias = self._bias()
        if self._packs(maps):
            weight = self._packed(maps, stride, padding)
            after = "relu" if self.rectified else "none"
            found: Tensor = torch.ops.mkldnn._convolution_pointwise(
                maps, weight, bias, padding, stride, self.dilation, self.groups, after, [], ""
            )
            return found
        found = functional.conv2d(maps, self._plain(), bias, stride, padding, self.dilation, self.groups)
        return found.relu_() if self.rectified else found

    def multiply_adds(self, cells: int) -> int:
        """Of so many cells of the output."""
        return cells * self.weight.numel()

    def _packs(self, maps: Tensor) -> bool:
        """Whether oneDNN computes it and takes weights that are ready."""
        if maps.device.type != "cpu" or not torch._C._has_mkldnn or not torch.backends.mkldnn.enabled:
            return False
        if self.computed_in == torch.bfloat16:
            return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        return self.computed_in == torch.float32

    def _packed(self, maps: Tensor, stride: Pair, padding: Pair) -> Tensor:
        key = (stride, padding)
        if key not in self._ready:
            self._ready[key] = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight.to(self.computed_in), padding, stride, self.dilation, self.groups, maps.shape
            )
        return self._ready[key]

    def _plain(self) -> Tensor:
        if "plain" not in self._ready:
            self._ready["plain"] = self.weight.to(self.computed_in).contiguous(memory_format=torch.channels_last)
        return self._ready["plain"]

    def _bias(self) -> Tensor | None:
        if self.bias is None:
            return None
        if "bias" not in self._ready:
            self._ready["bias"] = self.bias.to(self.computed_in)
        return self._ready["bias"]
