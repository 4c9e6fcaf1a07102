"""How numbers are spread: smallest, quartiles, largest, mean, deviation, and a histogram. Values (N,) in, plain out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from striate.errors import InputError

MOST_BARS = 24


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Of `count` values of the number `name` in a split ("" where the source has none, "all" for all of them).

    quartiles: (smallest, a quarter, median, three quarters, largest). bars: how many lie in each of equal steps from
    the smallest to the largest, the last holding the largest; () where it was not asked for.
    """

    name: str
    split: str
    count: int
    quartiles: tuple[float, float, float, float, float]
    mean: float
    deviation: float
    bars: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "quartiles": list(self.quartiles), "bars": list(self.bars)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Distribution:
        """What `to_json` gave. Raises InputError where it is none."""
        try:
            smallest, quarter, median, three, largest = (float(one) for one in values["quartiles"])
            found = cls(
                name=str(values["name"]),
                split=str(values["split"]),
                count=int(values["count"]),
                quartiles=(smallest, quarter, median, three, largest),
                mean=float(values["mean"]),
                deviation=float(values["deviation"]),
                bars=tuple(int(one) for one in values["bars"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise InputError(f"how a number is spread cannot be read ({error!r})") from error
        numbers = (*found.quartiles, found.mean, found.deviation)
        if not all(map(math.isfinite, numbers)) or min(found.bars, default=0) < 0:
            raise InputError("how a number is spread cannot be read (it is not finite)")
        return found


def distribution(name: str, split: str, values: np.ndarray, *, bars: bool = False) -> Distribution:
    """Of finite values (N,), N at least 1; the number of bars grows with the root of N, up to `MOST_BARS`."""
    values = np.asarray(values, dtype=np.float64)
    smallest, quarter, median, three, largest = (float(one) for one in np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    drawn: tuple[int, ...] = ()
    if bars:
        number = 1 if smallest == largest else min(MOST_BARS, max(4, math.ceil(math.sqrt(len(values)))))
        place = np.zeros(len(values), dtype=np.int64)
        if number > 1:
            place = np.minimum((number * ((values - smallest) / (largest - smallest))).astype(np.int64), number - 1)
        drawn = tuple(int(one) for one in np.bincount(place, minlength=number))
    return Distribution(
        name=name,
        split=split,
        count=len(values),
        quartiles=(smallest, quarter, median, three, largest),
        mean=float(values.mean()),
        deviation=float(values.std()),
        bars=drawn,
    )


def distributions(
    class_names: tuple[str, ...], targets: np.ndarray, splits: np.ndarray, known: np.ndarray
) -> tuple[Distribution, ...]:
    """Of each of K numbers in targets (N, K): in all, with a histogram, then in each of the splits (N,) where there are
    several. known: (N,) bool, the rows that have numbers."""
    made = []
    there = [str(split) for split in dict.fromkeys(splits[known].tolist())]
    order = [split for split in ("train", "validation", "test", "") if split in there]
    for k, name in enumerate(class_names):
        if known.any():
            made.append(distribution(name, "all", targets[known, k], bars=True))
        for split in order if len(order) > 1 else ():
            made.append(distribution(name, split, targets[known & (splits == split), k]))
    return tuple(made)
