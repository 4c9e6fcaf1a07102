"""A figure over the folds of a cross-validation: its mean, and how far that can be trusted. Legend: F folds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from striate.evaluation.figure import Figure

CONFIDENCE = 0.95


def mean_over_folds(
    values: Sequence[float], *, held_back: float, lowest: float = 0.0, highest: float = math.inf
) -> Figure:
    """The mean of a figure over F folds with its 95 % interval, by the corrected resampled t-test.

    held_back: share of the pictures that each fold held back, in (0, 1). The folds' trainings have most pictures in
    common, so their spread alone says too little: the variance of the mean is s^2 (1/F + held_back / (1 - held_back)),
    with F - 1 degrees of freedom (Nadeau and Bengio 2003, "Inference for the generalization error", section 3). No
    interval for a single fold, nor for equal ones, whose spread tells nothing of those to come. lowest, highest: where
    the figure can lie, and its interval with it; as given, an error.
    """
    from scipy.special import stdtrit

    known = np.asarray(values, dtype=np.float64)
    mean, folds = float(known.mean()), len(known)
    if folds < 2 or known.min() == known.max():
        return Figure(value=mean, low=None, high=None, n=folds)
    variance = float(known.var(ddof=1)) * (1 / folds + held_back / (1 - held_back))
    reach = float(stdtrit(folds - 1, (1 + CONFIDENCE) / 2)) * math.sqrt(variance)
    low, high = mean - reach, mean + reach
    return Figure(mean, max(lowest, low), min(highest, high), folds)
