"""Whether two models that answered the same pictures differ, picture by picture, by more than chance explains.

Right or wrong: McNemar's test (McNemar 1947), exact: of the pictures that only one of them answers rightly, each is
as likely to be either's where they are equally good, so that their number is binomial with one half.
Anything that is a number a picture (an error, a share): sign flips (Fisher 1935, section 21): where they are equally
good, each picture's difference could as well be turned round. All 2^N ways where there are no more than the draws, else
so many draws from (seed, draw, picture), the pictures themselves among them (Phipson and Smyth 2010).
Several tests at once: Holm 1979. Legend: N pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.draws import uniforms
from striate.errors import require
from striate.evaluation.bootstrap import RESAMPLES, resampled_figures
from striate.evaluation.figure import Figure

DRAWS = 10_000
PURPOSE = 0x51F1  # apart from every other draw under the same seed
CELLS_AT_ONCE = 4_000_000
WORD = 52  # fair bits that one drawn number holds


@dataclass(frozen=True, kw_only=True)
class RightOrWrong:
    """How two models answered the same `n` pictures: `only_first` and `only_second` were right alone there; the
    two-sided `p` of McNemar's exact test; `difference`, the second's share of right answers less the first's."""

    n: int
    only_first: int
    only_second: int
    p: float
    difference: Figure


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The mean `difference`, second less first, of a number a picture, with its interval, and the two-sided `p` of the
    sign-flip test. `exact`: whether all ways of turning differences round were counted."""

    n: int
    p: float
    difference: Figure
    exact: bool


def mcnemar(first: np.ndarray, second: np.ndarray, seed: int = 0, resample_count: int = RESAMPLES) -> RightOrWrong:
    """Which of two models is more often right: (N,) bool of each, for the same pictures in the same order.

    Raises InputError where there is no picture.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    _require_pairs(first, second)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return RightOrWrong(
        n=len(first),
        only_first=only_first,
        only_second=only_second,
        p=binomial_half(only_first, only_first + only_second),
        difference=_mean(second.astype(np.float64) - first, seed, resample_count),
    )


def binomial_half(successes: int, n: int) -> float:
    """Two-sided p of `successes` of `n` where each is as likely as not; 1 where `n` is 0. Exact, in whole numbers."""
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no share")
    fewer = min(successes, n - successes)
    ways = term = 1
    for number in range(1, fewer + 1):
        term = term * (n - number + 1) // number
        ways += term
    return min(1.0, float(2 * ways / (1 << n)))


def sign_flips(
    first: np.ndarray, second: np.ndarray, seed: int = 0, draws: int = DRAWS, resample_count: int = RESAMPLES
) -> Paired:
    """Whether a number a picture, (N,) of either model, is larger for one of them.

    Raises InputError where there is no picture, ValueError where a number is not finite.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    _require_pairs(first, second)
    differences = second - first
    if not np.isfinite(differences).all():
        raise ValueError("differences must be finite")
    # Turned round, a difference of nothing stays the same: only the others count.
    moved = differences[differences != 0]
    exact = len(moved) < 63 and 2 ** len(moved) <= draws
    return Paired(
        n=len(differences),
        p=_of_all(moved) if exact else _of_draws(moved, seed, draws),
        difference=_mean(differences, seed, resample_count),
        exact=exact,
    )


def holm(values: Sequence[float]) -> list[float]:
    """p values of tests that are made together, raised so that one of them is below 5 % by chance in 5 % at most."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    raised, largest = [1.0] * len(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        raised[place] = largest
    return raised


def _of_all(differences: np.ndarray) -> float:
    """The share of all ways to turn differences (n,) round whose sum is at least as far from 0 as theirs."""
    n = len(differences)
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)  # (2^n, n)
    return float(np.mean(np.abs(signs @ differences) >= _far(differences)))


def _of_draws(differences: np.ndarray, seed: int, draws: int) -> float:
    """The same of `draws` ways that are drawn, and of the way that it is."""
    n = len(differences)
    at_once = max(1, CELLS_AT_ONCE // n)
    least, as_far = _far(differences), 0
    for start in range(0, draws, at_once):
        lines = np.arange(start, min(start + at_once, draws))
        signs = 1.0 - 2.0 * fair_bits(seed, lines, n, purpose=PURPOSE)
        as_far += int((np.abs(signs @ differences) >= least).sum())
    return (as_far + 1) / (draws + 1)


def fair_bits(seed: int, lines: np.ndarray, count: int, *, purpose: int) -> np.ndarray:
    """0 or 1, each as likely, (len(lines), count), drawn from (seed, purpose, line, number)."""
    words = -(-count // WORD)
    drawn = (uniforms(seed, 0, lines, words, purpose=purpose) * 2.0**WORD).astype(np.int64)
    return ((drawn[:, :, None] >> np.arange(WORD)) & 1).reshape(len(lines), words * WORD)[:, :count]


def _far(differences: np.ndarray) -> float:
    """How far from 0 a sum has to be; a bit less than theirs, since sums in another order differ in the last bits."""
    return abs(float(differences.sum())) * (1 - 1e-9) - 1e-12 * float(np.abs(differences).sum())


def _mean(differences: np.ndarray, seed: int, resample_count: int) -> Figure:
    """Their mean with the percentile interval of resamples of the pictures."""
    n = len(differences)
    scale = float(np.abs(differences).max()) or 1.0
    found = resampled_figures(
        lambda weights: {"mean": (differences / scale @ weights / n)[:, None]}, n, seed, resample_count
    )
    (figure,) = found["mean"]
    if figure is None:
        raise ValueError("the mean of the differences is undefined")
    low, high = (None if bound is None else bound * scale for bound in (figure.low, figure.high))
    return Figure(figure.value * scale, low, high, n)


def _require_pairs(first: np.ndarray, second: np.ndarray) -> None:
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape} are no pairs")
    require(len(first) > 0, "there is no picture to compare by")
