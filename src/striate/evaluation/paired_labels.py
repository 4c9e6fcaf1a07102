"""Whether two models that answered the same pictures with labels differ in mean average precision by more than chance.

Average precision is of an order of all pictures and no mean of something that a picture has, so that no sign can be
turned round. But where two models are equally good, what they answered for a picture could as well be swapped
(Yeh 2000, "More accurate tests for the statistical significance of result differences", section 4.2; Noreen 1989). All
2^M ways to swap the M pictures that they answered differently where there are no more than the draws, else so many
draws from (seed, draw, picture), the answers as they are among them (Phipson and Smyth 2010).

Both answers of a label are put into one order, once; each way of swapping takes one answer a picture from it for one
side and the other for the other. Legend: N pictures, K labels, R ways, A answers in that order, T thresholds of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from striate.errors import require
from striate.evaluation.bootstrap import RESAMPLES, mean_of_known, resampled_figures
from striate.evaluation.figure import Figure
from striate.evaluation.labels import average_precisions
from striate.evaluation.paired import DRAWS, fair_bits

PURPOSE = 0x5A9B  # apart from every other draw under the same seed
CELLS_AT_ONCE = 100_000  # of (R, N): what is made of them stays in the cache
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class PairedPrecision:
    """Mean average precision of two models for the same `n` pictures, `difference`, second less first, with its
    interval, and the two-sided `p` of the swaps. `exact`: whether all ways of swapping were counted."""

    n: int
    first: float
    second: float
    p: float
    difference: Figure
    exact: bool


def swaps(
    first: np.ndarray,
    second: np.ndarray,
    has: np.ndarray,
    seed: int = 0,
    draws: int = DRAWS,
    resample_count: int = RESAMPLES,
) -> PairedPrecision | None:
    """Whether the probabilities (N, K) of one model find the labels better than those of another, by the mean average
    precision; `has` (N, K) bool: the labels that are there.

    None where there is no label that some pictures have and others lack, since any order is right there. Raises
    InputError where there is no picture.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    has = np.asarray(has, dtype=bool)
    if first.ndim != 2 or not first.shape == second.shape == has.shape:
        raise ValueError(f"{first.shape} and {second.shape} are no pairs of answers for {has.shape}")
    require(len(has) > 0, "there is no picture to compare by")
    told = has.any(axis=0) & ~has.all(axis=0)
    if not told.any():
        return None
    first, second, has = first[:, told], second[:, told], has[:, told]
    labels = [_Label(*columns) for columns in zip(first.T, second.T, has.T, strict=True)]

    def differences(swapped: np.ndarray) -> np.ndarray:
        return np.asarray(sum(label.differences(swapped) for label in labels) / len(labels))

    (own,) = differences(np.zeros((1, len(has)), dtype=np.float32))
    moved = np.flatnonzero((first != second).any(axis=1))  # swapped, the others stay what they are
    exact = len(moved) < 63 and 2 ** len(moved) <= draws
    count = 2 ** len(moved) if exact else draws
    as_far = sum(
        int((np.abs(differences(swapped)) >= abs(own) - ROUNDING).sum())
        for swapped in _ways(moved, len(has), count, None if exact else seed)
    )
    means = [
        float(
            np.mean(
                [average_precisions(*columns, np.ones((1, len(has)))) for columns in zip(one.T, has.T, strict=True)]
            )
        )
        for one in (first, second)
    ]
    return PairedPrecision(
        n=len(has),
        first=means[0],
        second=means[1],
        p=as_far / count if exact else (as_far + 1) / (draws + 1),
        difference=_difference(first, second, has, seed, resample_count),
        exact=exact,
    )


class _Label:
    """One label: the answers of both models (N,) in one order, the most probable first, as far as the last picture that
    has it. Equal probabilities are one threshold, and only thresholds that find something add to the area."""

    def __init__(self, first: np.ndarray, second: np.ndarray, has: np.ndarray) -> None:
        both = np.concatenate([first, second])
        order = np.argsort(-both, kind="stable")
        ordered, positive = both[order], np.concatenate([has, has])[order]
        last = np.append(ordered[1:] != ordered[:-1], True)
        found = np.cumsum(positive)[last]
        ends = np.flatnonzero(last)[np.diff(found, prepend=0) > 0] + 1
        order = order[: ends[-1]]
        self.pictures = order % len(has)  # (A,)
        self.of_second = (order >= len(has)).astype(np.float32)  # (A,)
        self.positive = np.flatnonzero(positive[: ends[-1]])
        self.starts = np.append(0, ends[:-1])  # (T,) of `pictures`
        self.positive_starts = np.searchsorted(self.positive, self.starts)  # (T,) of `positive`
        self.answers = ends  # (T,) of both models, up to each threshold
        self.found = np.diff(np.append(self.positive_starts, len(self.positive)))  # (T,) at each threshold
        self.count = int(has.sum())

    def differences(self, swapped: np.ndarray) -> np.ndarray:
        """Average precision of the second side less that of the first, (R,), where `swapped` (R, N) is 1 for the
        pictures whose answers change sides, else 0."""
        on_second = np.abs(swapped.take(self.pictures, axis=1) - self.of_second)  # (R, A), 0 or 1
        answers = np.cumsum(np.add.reduceat(on_second, self.starts, axis=1), axis=1)
        found = np.add.reduceat(on_second[:, self.positive], self.positive_starts, axis=1)
        second, first = self._areas(answers, found), self._areas(self.answers - answers, self.found - found)
        return np.asarray(second - first)

    def _areas(self, answers: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Average precisions (R,) of what has so many answers up to each threshold, and finds so many at it (R, T)."""
        precision = np.cumsum(found, axis=1, dtype=np.float64) / np.maximum(answers, 1)
        return np.asarray((found * precision).sum(axis=1) / self.count)


def _ways(moved: np.ndarray, n: int, count: int, seed: int | None) -> Iterator[np.ndarray]:
    """`count` ways to swap the pictures `moved` (M,) of `n`, (R, N) of 0 and 1 at a time: drawn, or without a seed all
    2^M of them."""
    at_once = max(1, CELLS_AT_ONCE // n)
    for start in range(0, count, at_once):
        lines = np.arange(start, min(start + at_once, count))
        swapped = np.zeros((len(lines), n), dtype=np.float32)
        if seed is None:
            swapped[:, moved] = (lines[:, None] >> np.arange(len(moved))) & 1
        else:
            swapped[:, moved] = fair_bits(seed, lines, len(moved), purpose=PURPOSE)
        yield swapped


def _difference(first: np.ndarray, second: np.ndarray, has: np.ndarray, seed: int, resample_count: int) -> Figure:
    """Of the mean average precisions, with the percentile interval of resamples of the pictures."""

    def of(weights: np.ndarray) -> dict[str, np.ndarray]:
        lines = np.ascontiguousarray(weights.T)  # (R, N)
        areas = [
            average_precisions(two, own, lines) - average_precisions(one, own, lines)
            for one, two, own in zip(first.T, second.T, has.T, strict=True)
        ]
        some_lack_it = lines @ has < lines.sum(axis=1)[:, None]  # any order is right where all have it
        return {"difference": mean_of_known(np.where(some_lack_it, np.stack(areas, axis=1), np.nan).T)[:, None]}

    (figure,) = resampled_figures(of, len(has), seed, resample_count)["difference"]
    if figure is None:
        raise ValueError("the difference of mean average precisions is undefined")
    return figure
