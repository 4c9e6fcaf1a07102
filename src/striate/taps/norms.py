"""Batch normalisation in evaluation mode with the backward pass that it then needs: a product for each channel.

torch's own also goes through maps and gradients for the sums that the gradients of its weights are made of, whether or
not anybody asks for these. For gradients by the input alone that is a good part of all the work. And of a single
picture whose maps become tokens above the norm, torch 2.15 has the gradient wrong: its strides mislead it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


@contextmanager
def constant_norms() -> Iterator[None]:
    """While this lasts, batch norms in forward passes are constants of the network: what they give is the same, and in
    the backward pass only what they were given gets a gradient.

    Norms in training mode, and those whose weights want gradients themselves, are left as they are.
    """
    with _ConstantNorms():
        yield


class _ConstantNorms(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is functional.batch_norm and torch.is_grad_enabled():
            return _normed(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _normed(
    input: Tensor,  # noqa: A002 - the arguments of functional.batch_norm, by the names that it has
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    wanting = any(one is not None and one.requires_grad for one in (running_mean, running_var, weight, bias))
    if training or running_var is None or wanting:
        return functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    found: Tensor = _Constant.apply(input, running_mean, running_var, weight, bias, eps)
    return found


class _Constant(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias; the gradient is that of x alone."""

    @staticmethod
    def forward(
        ctx: Any,
        tensor: Tensor,
        mean: Tensor | None,
        variance: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> Tensor:
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(scale if weight is None else scale * weight)
        return functional.batch_norm(tensor, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = ctx.saved_tensors
        return gradient * scale.reshape(-1, *[1] * (gradient.ndim - 2)), None, None, None, None, None
