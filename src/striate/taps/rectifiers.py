"""Other rules for the backward pass of rectifiers, however these are written: modules, functions, methods.

Guided back-propagation: Springenberg et al. 2015 (arXiv:1412.6806), section 3.4. Deconvolution: Zeiler and Fergus 2014
(arXiv:1311.2901), section 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.errors import InputError
from striate.taps.outputs import uncompiled
from striate.taps.unchanged import unchanged

Rule = Literal["guided", "deconvolution"]

_RELU: frozenset[Any] = frozenset({F.relu, torch.relu, Tensor.relu, torch.relu_, Tensor.relu_})
_CLAMP: frozenset[Any] = frozenset({torch.clamp, Tensor.clamp, torch.clip, Tensor.clip})
_CLAMP_IN_PLACE: frozenset[Any] = frozenset({torch.clamp_, Tensor.clamp_, torch.clip_, Tensor.clip_})
_CLAMP_MIN: frozenset[Any] = frozenset({torch.clamp_min, Tensor.clamp_min})
_CLAMP_MIN_IN_PLACE: frozenset[Any] = frozenset({torch.clamp_min_, Tensor.clamp_min_})
_HARDTANH: frozenset[Any] = frozenset({F.hardtanh, F.hardtanh_})
_MAXIMUM: frozenset[Any] = frozenset({torch.maximum, Tensor.maximum, torch.max, Tensor.max, torch.fmax, Tensor.fmax})
_THRESHOLD: frozenset[Any] = frozenset({F.threshold, torch.threshold, torch.threshold_})

# Activations for which neither rule is defined: they let gradients through where they give nothing, or bend them.
_OTHERS: dict[Any, str] = {
    function: name
    for name, functions in {
        "GELU": (F.gelu,),
        "SiLU": (F.silu,),
        "Mish": (F.mish,),
        "ELU": (F.elu, F.elu_),
        "SELU": (F.selu, F.selu_, torch.selu, torch.selu_),
        "CELU": (F.celu, F.celu_, torch.celu, torch.celu_),
        "LeakyReLU": (F.leaky_relu, F.leaky_relu_),
        "RReLU": (F.rrelu, F.rrelu_, torch.rrelu, torch.rrelu_),
        "PReLU": (F.prelu, torch.prelu, Tensor.prelu),
        "Hardswish": (F.hardswish,),
        "Hardsigmoid": (F.hardsigmoid,),
        "GLU": (F.glu,),
        "Hardshrink": (F.hardshrink, torch.hardshrink, Tensor.hardshrink),
        "Softshrink": (F.softshrink,),
        "Tanhshrink": (F.tanhshrink,),
        "Sigmoid": (*(F.sigmoid, torch.sigmoid, Tensor.sigmoid, torch.sigmoid_, Tensor.sigmoid_, torch.special.expit),),
        "LogSigmoid": (F.logsigmoid,),
        "Tanh": (F.tanh, torch.tanh, Tensor.tanh, torch.tanh_, Tensor.tanh_),
        "Softplus": (F.softplus,),
        "Softsign": (F.softsign,),
        "Softmax": (F.softmax, torch.softmax, Tensor.softmax, F.log_softmax, torch.log_softmax, Tensor.log_softmax),
        "attention": (F.scaled_dot_product_attention, F.multi_head_attention_forward),
    }.items()
    for function in functions
}
# Of which others are made by hand. They count where they are of maps: of vectors they norm features, too.
_OF_MAPS: dict[Any, str] = {
    function: name
    for name, functions in {
        "abs": (torch.abs, Tensor.abs, Tensor.__abs__, torch.abs_, Tensor.abs_),
        "exp": (torch.exp, Tensor.exp, torch.exp_, Tensor.exp_),
        "erf": (torch.erf, Tensor.erf, torch.special.erf),
        "sin": (torch.sin, Tensor.sin, torch.cos, Tensor.cos),
        "sign": (torch.sign, Tensor.sign, torch.heaviside, Tensor.heaviside),
        "a comparison of its values": (
            *(torch.gt, torch.ge, torch.lt, torch.le),
            *(torch.greater, torch.greater_equal, torch.less, torch.less_equal),
            *(Tensor.gt, Tensor.ge, Tensor.lt, Tensor.le),
            *(Tensor.greater, Tensor.greater_equal, Tensor.less, Tensor.less_equal),
            *(Tensor.__gt__, Tensor.__ge__, Tensor.__lt__, Tensor.__le__),
        ),
    }.items()
    for function in functions
}


@contextmanager
def rectifying(rule: Rule) -> Iterator[None]:
    """While this lasts, rectifiers in forward passes have `rule` in their backward pass; what they give is the same.

    "guided": a gradient passes where both the input and the gradient are positive. "deconvolution": where the gradient
    is positive, whatever the input was. Rectifiers are relu, relu6, and hardtanh, clamp and threshold from 0, also in
    place, and the maximum of a tensor and 0. A network with other activations must be refused before
    (`require_rectifiers`).
    """
    with _Rectifying(rule):
        yield


class _Rectifying(TorchFunctionMode):
    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        rectifier = _rectifier(func, args, kwargs)
        if rectifier is None or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        tensor = _given_to(func, args, kwargs)
        if not isinstance(tensor, Tensor):
            return func(*args, **kwargs)
        most, in_place = rectifier
        given: Tensor = _Rectified.apply(tensor, most, self.rule)
        # Others may hold the same tensor, as in the network itself.
        return tensor.copy_(given) if in_place else given


class _Rectified(torch.autograd.Function):
    """min(max(x, 0), most), with the rule as its gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, most: float, rule: Rule) -> Tensor:
        ctx.rule = rule
        if rule == "guided":
            ctx.save_for_backward((tensor > 0) & (tensor < most))
        return tensor.relu() if math.isinf(most) else tensor.clamp(0, most)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        rectified = gradient.relu()
        if ctx.rule == "guided":
            (passes,) = ctx.saved_tensors
            rectified = rectified * passes
        return rectified, None, None


def _rectifier(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[float, bool] | None:
    """(the most that it gives, whether in place) where this call is a rectifier, else None."""

    def argument(position: int, name: str, default: Any = None) -> Any:
        return args[position] if len(args) > position else kwargs.get(name, default)

    if func in _RELU:
        in_place = func in (torch.relu_, Tensor.relu_) or bool(argument(1, "inplace", False))
        return math.inf, in_place
    if func == F.relu6:
        return 6.0, bool(argument(1, "inplace", False))
    if func in _HARDTANH and _is_zero(argument(1, "min_val", -1.0)):
        return float(argument(2, "max_val", 1.0)), func == F.hardtanh_ or bool(argument(3, "inplace", False))
    if func in _THRESHOLD and _is_zero(argument(1, "threshold")) and _is_zero(argument(2, "value")):
        return math.inf, func == torch.threshold_ or bool(argument(3, "inplace", False))
    if func in _CLAMP | _CLAMP_IN_PLACE and _is_zero(argument(1, "min")):
        most = argument(2, "max")
        if most is None or isinstance(most, int | float):
            return math.inf if most is None else float(most), func in _CLAMP_IN_PLACE
    if func in _CLAMP_MIN | _CLAMP_MIN_IN_PLACE and _is_zero(argument(1, "min")):
        return math.inf, func in _CLAMP_MIN_IN_PLACE
    if func in _MAXIMUM and _other_is_zero(argument(0, "input"), argument(1, "other")):
        return math.inf, False
    return None


def _given_to(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a rectifier is given: of a maximum with zeros, that which is not the zeros."""
    given = args[0] if args else kwargs.get("input")
    if func in _MAXIMUM and _is_zero(given):
        return args[1] if len(args) > 1 else kwargs.get("other")
    return given


def _other_is_zero(one: Any, other: Any) -> bool:
    """Whether one of two tensors is a constant of zeros, that leaves the other its shape."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return False
    zeros, values = (one, other) if _is_zero(one) else (other, one)
    # Aligned from the last axis, each side of the zeros is 1 or that of the values.
    fits = all(side in (1, whole) for side, whole in zip(zeros.shape[::-1], values.shape[::-1], strict=False))
    return fits and zeros.ndim <= values.ndim and _is_zero(zeros)


def _is_zero(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.requires_grad and value.device.type != "meta" and not bool(value.any())
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def require_rectifiers(network: nn.Module, pictures: Tensor, view: str) -> None:
    """Raise InputError where an activation of `network` is no rectifier, so that `view` would say something else.

    Found by a forward pass of the first of `pictures` (B, C, H, W), however the activations are written. A softmax
    over the scores themselves is none of them. `view` begins the sentence: "guided back-propagation".
    """
    with unchanged(network) as bare, torch.no_grad(), ExitStack() as stack:
        stack.enter_context(uncompiled(bare))
        inside: list[str] = []

        def enter(name: str) -> Callable[[nn.Module, Any], None]:
            return lambda module, inputs: inside.append(name)

        def leave(module: nn.Module, inputs: Any, given: Any) -> None:
            inside.pop()

        for name, module in bare.named_modules():
            stack.callback(module.register_forward_pre_hook(enter(name)).remove)
            stack.callback(module.register_forward_hook(leave).remove)
        found = stack.enter_context(_Listening(inside))
        bare(pictures[:1])
        others = found.others
    if others:
        named = "; ".join(f"{kind} in {_listed(names)}" for kind, names in others.items())
        raise InputError(f"{view} needs a network whose activations are all rectifiers (ReLU); this one has {named}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


class _Listening(TorchFunctionMode):
    """Which activations are no rectifiers, and in which modules."""

    def __init__(self, inside: Sequence[str]) -> None:
        super().__init__()
        self.inside = inside
        self.others: dict[str, list[str]] = {}

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = func(*args, **(kwargs or {}))
        kind = _OTHERS.get(func)
        if func in _HARDTANH and _rectifier(func, args, kwargs or {}) is None:
            kind = "Hardtanh"
        if func in _CLAMP | _CLAMP_IN_PLACE and _below_zero(args, kwargs or {}):
            kind = "clamp"
        of_maps = bool(args) and isinstance(args[0], Tensor) and args[0].is_floating_point() and args[0].ndim > 2
        kind = _OF_MAPS.get(func, kind) if of_maps else kind
        of_scores = kind == "Softmax" and isinstance(given, Tensor) and given.ndim == 2
        if kind is not None and not of_scores:
            names = self.others.setdefault(kind, [])
            name = (self.inside[-1] if self.inside else "") or "the network itself"
            if name not in names:
                names.append(name)
        return given


def _below_zero(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a clamp lets some of what is negative pass."""
    least = args[1] if len(args) > 1 else kwargs.get("min")
    return isinstance(least, int | float) and least < 0
