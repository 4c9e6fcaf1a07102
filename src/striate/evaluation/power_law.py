"""How the error falls with the number of pictures: a power law, and what twice as many would bring.

error(n) = a + b n^-c with a, b >= 0 and 0 < c <= 1 (Cortes et al. 1994, "Learning curves: asymptotic values and rate of
convergence"; Hestness et al. 2017, arXiv:1712.00409). Legend: P points, n pictures, R curves that could as well be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST_POINTS = 4
EXPONENTS = np.linspace(0.02, 1.0, 50)
CURVES = 2000  # R
ENDS = (2.5, 97.5)  # per cent


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """error(n) = floor + scale n^-exponent, of least squares of the errors over their deviations."""

    floor: float
    scale: float
    exponent: float

    def at(self, pictures: float | np.ndarray) -> np.ndarray:
        """The error for so many pictures."""
        return np.asarray(self.floor + self.scale * np.asarray(pictures, dtype=np.float64) ** -self.exponent)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The error for `pictures`, and the band that a training on so many falls into in 95 of 100 cases."""

    pictures: int
    value: float
    low: float
    high: float


def fit_power_law(pictures: Sequence[float], errors: Sequence[float], deviations: Sequence[float]) -> PowerLaw:
    """The law through P points (at least 2): n pictures, their errors (at least 0), and how far chance moves each."""
    wide, wanted, weight = (np.asarray(one, dtype=np.float64) for one in (pictures, errors, deviations))
    floor, scale, exponent = _fitted(np.log(wide), wanted[None], 1 / np.maximum(weight, 1e-12))
    return PowerLaw(floor=float(floor[0]), scale=float(scale[0]), exponent=float(exponent[0]))


def forecast(
    pictures: Sequence[int], errors: Sequence[float], deviations: Sequence[float], *, at: int, seed: int
) -> Forecast:
    """What a training on `at` pictures is likely to give, from trainings on fewer.

    pictures, errors, deviations (P,): as for `fit_power_law`, P at least 4. The band: the law is fitted anew to R sets
    of errors drawn about the first fit, by the larger of their deviations and the spread about that fit, and what
    chance does to a single training is added. A law that is no power law may leave the band.
    """
    if len(pictures) < FEWEST_POINTS:
        raise ValueError(f"a forecast needs {FEWEST_POINTS} points, got {len(pictures)}")
    wide, wanted = np.asarray(pictures, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    chance = np.asarray(deviations, dtype=np.float64)
    law = fit_power_law(pictures, errors, deviations)
    about = wanted - law.at(wide)
    # Three numbers were fitted.
    stretch = np.sqrt(max(1.0, float(np.square(about / np.maximum(chance, 1e-12)).sum() / max(1, len(wide) - 3))))
    chance = chance * stretch
    generator = np.random.default_rng(seed)
    drawn = np.maximum(law.at(wide) + chance * generator.normal(size=(CURVES, len(wide))), 0.0)
    floor, scale, exponent = _fitted(np.log(wide), drawn, 1 / np.maximum(chance, 1e-12))
    there = floor + scale * float(at) ** -exponent + chance[int(wide.argmax())] * generator.normal(size=CURVES)
    low, high = np.percentile(np.maximum(there, 0.0), ENDS)
    return Forecast(pictures=at, value=float(law.at(at)), low=float(low), high=float(high))


def _fitted(logs: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """floor, scale, exponent (R,) of errors (R, P) at log n (P,): for each exponent a line through the points, at least
    0 at both ends, and of those the best."""
    best = np.full(len(errors), np.inf)
    found = np.zeros((3, len(errors)))
    squared = weights**2
    for exponent in EXPONENTS:
        falling = np.exp(-exponent * logs)
        mean_x = float(np.average(falling, weights=squared))
        mean_y = np.average(errors, axis=1, weights=squared)
        spread = float((squared * (falling - mean_x) ** 2).sum())
        slope = (squared * (falling - mean_x) * (errors - mean_y[:, None])).sum(axis=1) / max(spread, 1e-300)
        level = mean_y - slope * mean_x
        # A line below 0 in the end is one through 0; one that rises with n is level.
        through = (squared * falling * errors).sum(axis=1) / (squared * falling**2).sum()
        slope, level = np.where(level < 0, through, slope), np.where(level < 0, 0.0, level)
        slope, level = np.where(slope < 0, 0.0, slope), np.where(slope < 0, mean_y, level)
        cost = (squared * (level[:, None] + slope[:, None] * falling - errors) ** 2).sum(axis=1)
        better = cost < best
        best[better] = cost[better]
        found[:, better] = np.stack([level, slope, np.full(len(errors), exponent)])[:, better]
    return found[0], found[1], found[2]
