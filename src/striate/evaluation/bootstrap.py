"""Resamples of the rows with replacement, as counts; percentile intervals.

Source: Efron 1979; Efron and Tibshirani 1993, sections 13.3 (percentile) and 10.2 (bias). Drawn from (seed, resample,
row), so that they are equal on every machine. Legend: N rows, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np

from striate.data.draws import uniforms
from striate.evaluation.figure import Figure

RESAMPLES = 1000
PURPOSE = 0xB007  # apart from every other draw under the same seed
CELLS_AT_ONCE = 4_000_000  # counts held at a time: 32 MB
ROUNDING = 1e-6  # ranks are weighed in `float32`


def resamples(n: int, seed: int, count: int = RESAMPLES) -> Iterator[np.ndarray]:
    """How often each row was drawn, (N, r) `float64` at a time, until `count` columns are out; each sums to N.

    A column lies in one piece in memory.
    """
    rows = np.arange(n)
    at_once = max(1, CELLS_AT_ONCE // n)
    for start in range(0, count, at_once):
        block = np.empty((min(at_once, count - start), n))
        for number, line in enumerate(block):
            drawn = (uniforms(seed, start + number, rows, 1, purpose=PURPOSE)[:, 0] * n).astype(np.int64)
            line[:] = np.bincount(drawn, minlength=n)
        yield block.T


def percentile_interval(values: np.ndarray, resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of `values` (...) from (R, ...) resampled ones; NaN where all of these are, or all are equal:
    where there is no mistake to draw, drawing again tells nothing of those to come.

    Widened to hold the value itself where the resamples are biased (an expected calibration error grows by
    resampling).
    """
    low, high = np.full(np.shape(values), np.nan), np.full(np.shape(values), np.nan)
    known = ~np.isnan(resampled).all(axis=0)
    if known.any():
        some = resampled[:, known]
        spread = np.nanmax(some, axis=0) - np.nanmin(some, axis=0) > ROUNDING
        known[known] = spread
    if known.any():
        low[known], high[known] = np.nanpercentile(resampled[:, known], [2.5, 97.5], axis=0)
        low[known], high[known] = np.fmin(low, values)[known], np.fmax(high, values)[known]
    return low, high


def moved_interval(values: np.ndarray, resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`percentile_interval` of shares, in [0, 1], that few rows bias: moved by what resampling moves them.

    Rows that are drawn twice rank together, which raises an average precision; rare classes that are drawn once or
    never lower F1. The resamples differ from the value by about as much as the value does from the truth, so their
    percentiles go back twice. In a mean over many labels this is most of the error: of 20 labels, a tenth of 200
    pictures each, the percentiles hold the truth in 28 % of all tries, these in 92 %.
    """
    low, high = percentile_interval(values, resampled)
    known = ~np.isnan(low)
    if known.any():
        ends = np.nanpercentile(resampled[:, known], [2.5, 97.5], axis=0)
        back = 2 * (np.nanmean(resampled[:, known], axis=0) - np.asarray(values)[known])
        low[known], high[known] = np.clip(ends - back, 0, 1)
        low[known], high[known] = np.fmin(low, values)[known], np.fmax(high, values)[known]
    return low, high


def resampled_figures(
    of: Callable[[np.ndarray], dict[str, np.ndarray]],
    n: int,
    seed: int,
    count: int = RESAMPLES,
    biased: Collection[str] = (),
) -> dict[str, list[Figure | None]]:
    """Statistics with their intervals: by name one figure a column, None where it is undefined.

    of: how often each of `n` rows counts (N, R) -> by name (R, columns), NaN where undefined. biased: the names of
    those that have a `moved_interval`.
    """
    values = of(np.ones((n, 1)))
    blocks = [of(block) for block in resamples(n, seed, count)]
    found: dict[str, list[Figure | None]] = {}
    for name, (own,) in values.items():
        interval = moved_interval if name in biased else percentile_interval
        low, high = interval(own, np.concatenate([block[name] for block in blocks]))
        found[name] = [
            None if np.isnan(value) else Figure(float(value), _bound(lowest), _bound(highest), n)
            for value, lowest, highest in zip(own, low, high, strict=True)
        ]
    return found


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """(K, R) -> (R,), over those that are defined; NaN where none is."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(axis=0) / np.where(count > 0, count, np.nan))


def _bound(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
