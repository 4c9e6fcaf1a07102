"""The operations that look at a cell and its neighbours alone, computed for patches. `LOCAL`: torch's name -> function.

Each takes the arguments that the network gave, with a `Held` for every map, and gives the `Held` of the result (the one
that it was given, where it works in place), or None where the arguments make it an operation of another kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from striate.views.incremental import cells, neighbours
from striate.views.incremental.made import Arguments

Operation = Callable[[Any, Arguments, dict[str, Any]], Any]

# Functions of one cell, each on its own; with an underscore behind the name they work in place.
OF_A_CELL = (
    *("relu", "hardtanh", "clamp", "clamp_min", "clamp_max", "threshold", "leaky_relu", "elu", "celu", "selu", "gelu"),
    *("sigmoid", "hardsigmoid", "tanh", "silu", "hardswish", "mish", "softplus", "neg", "abs", "exp", "log", "sqrt"),
    *("rsqrt", "square", "reciprocal", "pow", "rsub", "sin", "cos", "erf"),
)
OF_TWO = ("add", "sub", "mul", "div", "maximum", "minimum")

LOCAL: dict[str, Operation] = {
    **{f"aten::{name}{end}": cells.of_a_cell for name in OF_A_CELL for end in ("", "_")},
    **{f"aten::{name}{end}": cells.of_two for name in OF_TWO for end in ("", "_")},
    "aten::convolution": neighbours.convolution,
    "aten::native_batch_norm": cells.normalisation,
    "aten::cudnn_batch_norm": cells.normalisation,
    "aten::max_pool2d_with_indices": neighbours.max_pooling,
    "aten::avg_pool2d": neighbours.mean_pooling,
    "aten::constant_pad_nd": cells.padding,
    "aten::cat": cells.joined,
    "aten::clone": cells.copy,
    "aten::detach": cells.same,
    "aten::alias": cells.same,
}
