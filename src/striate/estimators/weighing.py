"""How much each row counts: sample weights and class weights as scikit-learn has them. Legend: n rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import compute_sample_weight
from sklearn.utils.validation import _check_sample_weight

from striate.estimators.layout import Stack


def weights_of(
    pictures: Stack,
    sample_weight: Any,
    class_weight: str | Mapping[Any, float] | None = None,
    labels: np.ndarray | None = None,
) -> np.ndarray | None:
    """(n,) float64, the product of both; None where all rows count alike.

    Raises ValueError: not one weight a row, one below 0, or none above 0.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights: np.ndarray = _check_sample_weight(sample_weight, pictures.array, ensure_non_negative=True)
    if class_weight is not None:
        weights = weights * compute_sample_weight(class_weight, labels)
    if bool((weights < 0).any()):
        raise ValueError(f"class_weight must hold no weight below 0, got {class_weight!r:.80}")
    if not bool((weights > 0).any()):
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return np.asarray(weights, dtype=np.float64)


def counting(
    pictures: Stack, targets: np.ndarray, weights: np.ndarray | None
) -> tuple[Stack, np.ndarray, np.ndarray | None]:
    """Without the rows of weight 0, which is to have left them out; the mean of the other weights is 1."""
    if weights is None:
        return pictures, targets, None
    rows = np.flatnonzero(weights > 0)
    chosen = weights[rows] / weights[rows].mean()
    return Stack(pictures.array[rows]), targets[rows], chosen
