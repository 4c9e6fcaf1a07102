"""Whether answers given with 80 % are right in 80 %: reliability bins, their expected error, and its remedy.

Source: Guo, Pleiss, Sun, Weinberger 2017 (arXiv:1706.04599, eq. 2-5; temperature: section 4.2); 15 bins of equal
width, (low, high]. Legend: N pictures, K classes.
"""

from __future__ import annotations

import numpy as np

BINS = 15
MOST_ROWS = 5000


def bin_numbers(confidence: np.ndarray) -> np.ndarray:
    """Bins (N,) in [0, 15) of confidences (N,) in [0, 1]; bin b is (b/15, (b+1)/15], the first holds 0, too."""
    edges = np.linspace(0, 1, BINS + 1)
    return np.asarray(np.clip(np.searchsorted(edges, confidence, "left") - 1, 0, BINS - 1))


def expected_error(confidence_sums: np.ndarray, correct_sums: np.ndarray, n: float) -> np.ndarray:
    """ECE, in [0, 1]: |sum of confidences - number right| of each bin (15, ...), summed over bins, over `n`."""
    return np.asarray(np.abs(confidence_sums - correct_sums).sum(axis=0) / n)


def sharpened(probabilities: np.ndarray, sharpness: float) -> np.ndarray:
    """Probabilities (N, K) raised to `sharpness` (one over the temperature) and made to sum to 1 again, float64."""
    scores = sharpness * _logs(probabilities)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def best_sharpness(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """The sharpness in [0.05, 20] with the least log loss of probabilities (N, K) against classes (N,).

    One imagined picture that could be of any class is added, answered with the average confidence (the thought
    of Platt 1999, section 2.2): pictures that all happen to be right do not make the sharpness infinite. The loss is
    convex in the sharpness, so a golden-section search on its logarithm finds the least; at most 5,000
    evenly spaced rows are used.
    """
    step = max(1, -(-len(targets) // MOST_ROWS))
    logs, right = _logs(probabilities[::step]), np.asarray(targets)[::step]

    def loss(exponent: float) -> float:
        sharpness = float(np.exp(exponent))
        scores = sharpness * logs
        top = scores.max(axis=1)
        seen = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top - scores[np.arange(len(right)), right]
        # The imagined picture: its answers in order of rank are the average ones, each class equally likely.
        spread = sharpness * np.sort(logs, axis=1).mean(axis=0)
        peak = spread.max()
        unseen = np.log(np.exp(spread - peak).sum()) + peak - spread.mean()
        return float(seen.sum() + unseen)

    low, high = np.log(0.05), np.log(20.0)
    golden = (np.sqrt(5) - 1) / 2
    left, right_end = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = loss(left), loss(right_end)
    while high - low > 1e-3:
        if at_left <= at_right:
            high, right_end, at_right = right_end, left, at_left
            left = high - golden * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right_end, at_right
            right_end = low + golden * (high - low)
            at_right = loss(right_end)
    return float(np.exp((low + high) / 2))


def _logs(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), 1e-30))
