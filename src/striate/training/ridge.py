"""A linear head for numbers on the features of a pretrained network that stays as it is: ridge regression.

features (N, D), standardised numbers (N, K) -> a `FittedRidge`, whose module maps features (B, D) to numbers (B, K).

Features go through the same `FeatureNormalizer` as those of classes (see `frozen.py`). The least of
mean squared error + strength * |weight|^2 is found in closed form (Hoerl and Kennard 1970, eq. 2.1): one
eigendecomposition of the covariance of the features gives the weights for every strength. Each number has the strength
with its lowest cross-validated squared error; the head is then fitted on all rows. The seed draws the folds and nothing
else.

N rows, D features, R dimensions of the space that the rows span, K numbers, S strengths, F folds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from striate.errors import require
from striate.networks.feature_normalizer import FeatureNormalizer
from striate.networks.heads import linear_layer
from striate.training.folds import draw_folds
from striate.training.logistic import row_basis

# Penalties for rows whose mean squared length is 1 and numbers of deviation 1, in half decades.
STRENGTHS = tuple(10.0**exponent for exponent in np.arange(-0.5, -5.25, -0.5))
# Where nothing can be held back.
FALLBACK_STRENGTH = 1e-2


@dataclass(frozen=True, kw_only=True)
class FittedRidge:
    """A head fitted on all rows, and what cross-validation says of it.

    `weight` (K, D) and `bias` (K,) apply to what `normalizer` gives. `strengths` (K,) are those of the numbers.
    `held_out` (N, K) is out of fold, NaN where there were no folds; `squared_error` is the mean of its squares.
    """

    weight: np.ndarray
    bias: np.ndarray
    normalizer: FeatureNormalizer
    strengths: tuple[float, ...]
    folds: int
    held_out: np.ndarray
    squared_error: float

    def linear(self) -> nn.Linear:
        """The linear layer that follows `normalizer`."""
        return linear_layer(self.weight, self.bias)

    def describe(self) -> str:
        """One line for the log."""
        if not self.folds:
            return "head: ridge regression; there is one picture, so nothing could be held back to check it"
        return (
            f"head: ridge regression, the best of {len(STRENGTHS)} settings for each number on {self.folds} parts of "
            f"the pictures, each held back in turn (squared error {self.squared_error:.3f} of what guessing the mean "
            f"has), then fitted on all {len(self.held_out):,} pictures"
        )


def fit_ridge(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    seed: int,
    folds: int = 5,
    row_weights: np.ndarray | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> FittedRidge:
    """Choose the penalty of each number by cross-validated squared error, then fit on all rows.

    features (N, D), finite; targets (N, K), finite, of about mean 0 and deviation 1; row_weights (N,), at least 0,
    default 1. Raises InputError where the arrays do not fit each other.
    """
    features = np.ascontiguousarray(features, dtype=np.float32)
    numbers = np.asarray(targets, dtype=np.float64)
    weights = np.ones(len(numbers)) if row_weights is None else np.asarray(row_weights, dtype=np.float64)
    _check(features, numbers, weights)

    normalizer = FeatureNormalizer(features.shape[1]).fit(torch.from_numpy(features), torch.from_numpy(weights))
    with torch.no_grad():
        rows = normalizer(torch.from_numpy(features))
    basis = row_basis(rows)
    spanned = (rows if basis is None else rows @ basis).double().numpy()
    grid = np.array(sorted(strengths, reverse=True))
    chosen = np.full(numbers.shape[1], FALLBACK_STRENGTH)
    held_out = np.full(numbers.shape, np.nan)
    held_back = draw_folds(np.zeros(len(numbers), dtype=np.int64), folds, seed)
    count = int(held_back.max()) + 1
    if count:
        solved = [_decomposed(spanned, numbers, weights * (held_back != fold)) for fold in range(count)]
        errors = np.zeros((len(grid), numbers.shape[1]))
        for fold, one in enumerate(solved):
            out = held_back == fold
            for place, strength in enumerate(grid):
                errors[place] += weights[out] @ np.square(one.answers(spanned[out], strength) - numbers[out])
        chosen = grid[errors.argmin(axis=0)]
        for fold, one in enumerate(solved):
            held_out[held_back == fold] = one.answers(spanned[held_back == fold], chosen)
    weight, bias = _decomposed(spanned, numbers, weights).solution(chosen)
    if basis is not None:
        weight = basis.double().numpy() @ weight
    squares = np.square(held_out - numbers).mean(axis=1)
    return FittedRidge(
        weight=np.ascontiguousarray(weight.T, dtype=np.float32),
        bias=bias.astype(np.float32),
        normalizer=normalizer,
        strengths=tuple(float(one) for one in chosen),
        folds=count,
        held_out=held_out,
        squared_error=float(np.average(squares, weights=weights)) if count else math.nan,
    )


@dataclass(frozen=True)
class _Decomposed:
    """Ridge regression for every strength: centres (R,) and (K,), eigenvectors (R, R), eigenvalues (R,), and
    `projected` (R, K), the covariance of features with numbers in their directions."""

    centre: np.ndarray
    middle: np.ndarray
    directions: np.ndarray
    values: np.ndarray
    projected: np.ndarray

    def solution(self, strengths: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weight (R, K) and bias (K,) for one strength, or one a number (K,)."""
        weight = self.directions @ (self.projected / (self.values[:, None] + strengths))
        return weight, self.middle - self.centre @ weight

    def answers(self, rows: np.ndarray, strengths: float | np.ndarray) -> np.ndarray:
        """Numbers (n, K) of rows (n, R)."""
        weight, bias = self.solution(strengths)
        return np.asarray(rows @ weight + bias)


def _decomposed(rows: np.ndarray, numbers: np.ndarray, weights: np.ndarray) -> _Decomposed:
    share = weights / max(weights.sum(), 1e-12)
    centre, middle = share @ rows, share @ numbers
    centred = rows - centre
    values, directions = np.linalg.eigh((centred * share[:, None]).T @ centred)
    projected = directions.T @ ((centred * share[:, None]).T @ (numbers - middle))
    return _Decomposed(centre, middle, directions, np.maximum(values, 0), projected)


def _check(features: np.ndarray, numbers: np.ndarray, weights: np.ndarray) -> None:
    require(
        features.ndim == 2 and numbers.ndim == 2 and len(features) == len(numbers) > 0,
        f"features must be (rows, features) with (rows, numbers), got {features.shape} and {numbers.shape}",
    )
    require(bool(np.isfinite(features).all()), "features must be finite numbers; the network gave NaN or infinity")
    require(bool(np.isfinite(numbers).all()), "numbers to be learned must be finite")
    require(
        weights.shape == (len(features),) and bool((weights >= 0).all()) and bool(weights.sum() > 0),
        "row weights must be one number a row, at least 0 and not all 0",
    )
