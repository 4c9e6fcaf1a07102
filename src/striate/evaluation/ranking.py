"""AUROC, one class against the rest: how often a picture of the class scores above one that is not of it.

Source: Hanley and McNeil 1982; DeLong, DeLong, Clarke-Pearson 1988 for the components.
Legend: probabilities (N, K), targets (N,).
"""

from __future__ import annotations

import numpy as np


def components(probabilities: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC by class (K,), and each picture's part in it (N, K) `float32`.

    The part of a picture of class k is the share of the others whose k-th probability is lower (ties count
    half), that of another picture the share of class k's whose is higher. Both average to AUROC. NaN for a
    class that is absent, or has all the pictures.
    """
    num_classes = probabilities.shape[1]
    areas = np.full(num_classes, np.nan)
    parts = np.full(probabilities.shape, np.nan, dtype=np.float32)
    for number in range(num_classes):
        own = targets == number
        if not 0 < np.count_nonzero(own) < len(own):
            continue
        scores = probabilities[:, number]
        of_class, others = np.sort(scores[own]), np.sort(scores[~own])
        above = _share_below(others, scores[own])
        parts[own, number] = above
        parts[~own, number] = 1 - _share_below(of_class, scores[~own])
        areas[number] = above.mean()
    return areas, parts


def _share_below(ordered: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The share of `ordered` below each of `scores`, ties counted half."""
    twice = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return np.asarray(twice / (2 * len(ordered)))
