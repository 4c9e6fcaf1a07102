"""Whether answers given with 80 % are right in 80 %: reliability bins and their expected error.

Source: Guo, Pleiss, Sun, Weinberger 2017 (arXiv:1706.04599, eq. 2-5); 15 bins of equal width, (low, high].
"""

from __future__ import annotations

import numpy as np

BINS = 15


def bin_numbers(confidence: np.ndarray) -> np.ndarray:
    """Bins (N,) in [0, 15) of confidences (N,) in [0, 1]; bin b is (b/15, (b+1)/15], the first holds 0, too."""
    edges = np.linspace(0, 1, BINS + 1)
    return np.asarray(np.clip(np.searchsorted(edges, confidence, "left") - 1, 0, BINS - 1))


def expected_error(confidence_sums: np.ndarray, correct_sums: np.ndarray, n: float) -> np.ndarray:
    """ECE, in [0, 1]: |sum of confidences - number right| of each bin (15, ...), summed over bins, over `n`."""
    return np.asarray(np.abs(confidence_sums - correct_sums).sum(axis=0) / n)
