"""The direction that Muon takes: a matrix made nearly orthogonal, all of whose singular values are about 1.

(A, B) -> (A, B), or filters (A, C, h, w), which count as (A, C h w). Source: Jordan et al. 2024,
kellerjordan.github.io/posts/muon (five steps of a Newton-Schulz iteration with his coefficients, which leave singular
values between 0.7 and 1.2); the scale of Liu et al. 2025, arXiv:2502.16982, eq. 4, with which a learning rate and a
weight decay of AdamW do here too. Limits: what a row of the matrix is has to mean something, as in the weights of a
layer.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
LEAST = 1e-7  # of a norm
RATIO = 0.2  # the usual root mean square of AdamW's steps


def orthogonalized(direction: Tensor) -> Tensor:
    """`direction` (A, ...) with singular values near 1, times 0.2 sqrt(max(A, B)); same shape, a new tensor.

    On an accelerator the products are in bfloat16, as Muon's makers do; a processor seldom has it.
    """
    matrix = direction.reshape(len(direction), -1)
    kind = torch.bfloat16 if direction.device.type == "cuda" else direction.dtype
    wide = matrix.to(kind) if matrix.shape[0] <= matrix.shape[1] else matrix.T.to(kind)
    wide = wide / wide.norm().clamp_min(LEAST)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    found = wide if matrix.shape[0] <= matrix.shape[1] else wide.T
    return (RATIO * math.sqrt(max(matrix.shape)) * found).to(direction.dtype).reshape(direction.shape)
