"""Whether answers given with 80 % are right in 80 %: reliability bins, their expected error, and its remedy.

Source: Guo, Pleiss, Sun, Weinberger 2017 (arXiv:1706.04599, eq. 2-5; temperature: section 4.2); 15 bins of equal
width, (low, high]. Legend: N pictures, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

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
    """The sharpness in [0.05, 20] with the least log loss of probabilities (N, K) against classes (N,) or shares.

    One imagined picture that could be of any class is added, answered with the average confidence (the thought
    of Platt 1999, section 2.2): pictures that all happen to be right do not make the sharpness infinite. The loss is
    convex in the sharpness, so a golden-section search on its logarithm finds the least; at most 5,000
    evenly spaced rows are used.
    """
    step = max(1, -(-len(targets) // MOST_ROWS))
    logs, right = _logs(probabilities[::step]), np.asarray(targets)[::step]

    def loss(sharpness: float) -> float:
        scores = sharpness * logs
        top = scores.max(axis=1)
        own = scores[np.arange(len(right)), right] if right.ndim == 1 else (right * scores).sum(axis=1)
        seen = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top - own
        # The imagined picture: its answers in order of rank are the average ones, each class equally likely.
        spread = sharpness * np.sort(logs, axis=1).mean(axis=0)
        peak = spread.max()
        unseen = np.log(np.exp(spread - peak).sum()) + peak - spread.mean()
        return float(seen.sum() + unseen)

    return _least(loss)


def best_label_sharpness(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The sharpness in [0.05, 20] with the least log loss of probabilities (N, K) against labels (N, K), 0 or 1.

    It multiplies log(p / (1 - p)). One imagined picture that has each label as likely as not is added, answered with
    the average confidence, as in `best_sharpness`.
    """
    step = max(1, -(-len(labels) // MOST_ROWS))
    odds, right = log_odds(probabilities[::step]), np.asarray(labels)[::step]
    usual = np.abs(odds).mean(axis=0)

    def loss(sharpness: float) -> float:
        scores, imagined = sharpness * odds, sharpness * usual
        seen = np.logaddexp(0, scores) - right * scores
        unseen = np.logaddexp(0, imagined) - imagined / 2
        return float(seen.sum() + unseen.sum())

    return _least(loss)


def label_sharpened(probabilities: np.ndarray, sharpness: float) -> np.ndarray:
    """Probabilities (N, K) of labels, whose log(p / (1 - p)) is multiplied by `sharpness`, float64."""
    return np.asarray(np.exp(-np.logaddexp(0, -sharpness * log_odds(probabilities))))


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), of the shape of p in [0, 1], finite: p is cut at the precision of float32."""
    edge = float(np.finfo(np.float32).eps)
    cut = np.clip(np.asarray(probabilities, dtype=np.float64), edge, 1 - edge)
    return np.asarray(np.log(cut) - np.log1p(-cut))


def _least(loss: Callable[[float], float]) -> float:
    """The sharpness in [0.05, 20] with the least `loss`, which is convex: by golden section on its logarithm."""
    low, high = np.log(0.05), np.log(20.0)
    golden = (np.sqrt(5) - 1) / 2
    left, right_end = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = loss(float(np.exp(left))), loss(float(np.exp(right_end)))
    while high - low > 1e-3:
        if at_left <= at_right:
            high, right_end, at_right = right_end, left, at_left
            left = high - golden * (high - low)
            at_left = loss(float(np.exp(left)))
        else:
            low, left, at_left = left, right_end, at_right
            right_end = low + golden * (high - low)
            at_right = loss(float(np.exp(right_end)))
    return float(np.exp((low + high) / 2))


def _logs(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), 1e-30))
