"""Rows with several labels each, shared out so that every label is spread by the shares: iterative stratification.

Source: Sechidis, Tsoumakas, Vlahavas 2011, "On the stratification of multi-label data", algorithm 1. The rarest label
goes first, since its rows are the hardest to place. Beyond the paper: while a label's rows last, each part gets one of
them before any gets more than its share, so that a label with as many rows as there are parts is in all of them.
Legend: N rows, K labels, S parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def stratified(labels: np.ndarray, position: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """The part (N,) in 0..S-1 of each row, of labels (N, K), 0 or 1, in the order of `position` (N,).

    shares (S,): of the rows, summing to 1; the parts with a larger share are served first where two are as good.
    """
    there = np.asarray(labels) > 0
    parts = np.full(len(there), -1, dtype=np.int64)
    asked = np.array(shares, dtype=np.float64)
    wanted_rows = asked * len(there)  # (S,) still wanted
    wanted = asked[:, None] * there.sum(axis=0)  # (S, K) still wanted
    has = np.zeros(wanted.shape, dtype=np.int64)
    left = there.sum(axis=0)
    order = np.argsort(position, kind="stable")
    used = asked > 0

    def put(row: int, part: int) -> None:
        mine = there[row]
        parts[row] = part
        wanted_rows[part] -= 1
        wanted[part, mine] -= 1
        has[part, mine] += 1
        left[mine] -= 1

    while bool((left > 0).any()):
        label = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())
        for row in order[there[order, label] & (parts[order] < 0)]:
            lacking = used & (has[:, label] == 0)
            among = lacking if lacking.any() and left[label] <= lacking.sum() else used
            # By what is wanted of this label, then by what is wanted of all rows.
            put(int(row), int(max(np.flatnonzero(among), key=lambda part: (wanted[part, label], wanted_rows[part]))))
    for row in order[parts[order] < 0]:
        put(int(row), int(np.where(used, wanted_rows, -np.inf).argmax()))
    return parts
