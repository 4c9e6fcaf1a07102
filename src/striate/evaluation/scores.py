"""What of the answers is right: from accuracy to the Brier score.

Legend: probabilities (N, K), targets (N,) in [0, K), N at least 1. In ties the lower class number goes first.
"""

from __future__ import annotations

import numpy as np

# Probabilities are cut here before the logarithm, so that one sure mistake is not an infinite loss; the answers
# are fp32 and know no better. scikit-learn cuts at the same place.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)


def correct(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N,) bool: the largest probability is the target's."""
    return np.asarray(probabilities.argmax(axis=1) == targets)


def among_top(probabilities: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """(N,) bool: the target's probability is among the `k` largest."""
    own = probabilities[np.arange(len(targets)), targets][:, None]
    earlier = np.arange(probabilities.shape[1]) < targets[:, None]
    ahead = (probabilities > own) | ((probabilities == own) & earlier)
    return np.asarray(ahead.sum(axis=1) < k)


def log_losses(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N,) -log of the target's probability, in nats, at most 15.9. NaN stays NaN."""
    own = probabilities[np.arange(len(targets)), targets].astype(np.float64)
    return np.asarray(-np.log(np.maximum(own, SMALLEST_PROBABILITY)))


def cross_entropies(probabilities: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(N,) -sum_k t_k log p_k in nats, of probabilities and shares t (N, K), each logarithm cut as in `log_losses`."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))
    return np.asarray(-(shares * logs).sum(axis=1))


def brier_scores(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N,) sum over the classes of (probability - 1 where it is the target)^2, in [0, 2]. Brier 1950."""
    wide = probabilities.astype(np.float64)
    own = wide[np.arange(len(targets)), targets]
    return np.asarray((wide**2).sum(axis=1) - 2 * own + 1)


def confusion_matrix(predictions: np.ndarray, targets: np.ndarray, num_classes: int) -> np.ndarray:
    """(K, K) int64: pictures of the class of the row that were taken for the class of the column."""
    cells = np.bincount(targets * num_classes + predictions, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def precision_recall_f1(
    hits: np.ndarray, predicted: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By class, from how many were right, were predicted, and are there (any shape, the same).

    NaN: precision where nothing was predicted, recall where nothing is there, F1 = 2 hits / (predicted + counts)
    where neither.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(predicted > 0, hits / predicted, np.nan)
        recall = np.where(counts > 0, hits / counts, np.nan)
        total = predicted + counts
        f1 = np.where(total > 0, 2 * hits / total, np.nan)
    return precision, recall, f1
