"""Numbers of which 32 bits keep too little, such as seconds since 1970. Legend: N rows, K columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.data.sources.listing import shown

KEPT = 1e-3  # of the deviation: by so much a number may change where it is kept in 32 bits


def lost_digits(values: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    """A doubt for each column of `values`, (N, K) float64, whose differences 32 bits do not keep; NaN is none."""
    found = []
    for name, column in zip(names, values.T, strict=True):
        known = column[np.isfinite(column)]
        if not len(known) or float(np.abs(known).max()) > float(np.finfo(np.float32).max):
            continue
        lost = float(np.abs(known - known.astype(np.float32).astype(np.float64)).max())
        if lost > KEPT * float(known.std()) > 0:
            found.append(
                f"'{shown(name)}' has more digits than the 7 that are kept, and differs by little: subtract its least "
                "value"
            )
    return tuple(found)
