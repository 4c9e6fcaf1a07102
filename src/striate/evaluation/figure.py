"""A figure with its 95 % interval, and the interval of a share.

Source of the interval of a share: Wilson 1927; Brown, Cai, DasGupta 2001 recommend it for every n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from striate.errors import InputError

# The 97.5th percentile of the normal distribution: two-sided 95 %.
Z = 1.959963984540054


@dataclass(frozen=True)
class Figure:
    """`value`, the 95 % interval from `low` to `high` that holds it, and `n`, the pictures it is made from.

    Without an interval (both None) where there was no mistake to estimate it from.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Figure:
        """What `to_json` wrote. Raises InputError where it is none."""
        try:
            low, high = (None if values[name] is None else float(values[name]) for name in ("low", "high"))
            return cls(float(values["value"]), low, high, int(values["n"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"a figure cannot be read: {error!r}") from error


def wilson(successes: int, n: int) -> Figure:
    """The share `successes` / `n` (n at least 1) with its score interval.

    (p + z^2/2n ± z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} of {n} is no share")
    share = successes / n
    middle = share + Z**2 / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    # At 0 and n the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else (middle - half) / scale
    high = 1.0 if successes == n else (middle + half) / scale
    return Figure(share, low, high, n)


def read_figure(values: Mapping[str, Any] | None) -> Figure | None:
    """What `plain` made of a figure, None of none. Raises InputError for anything else."""
    return None if values is None else Figure.from_json(values)


def plain(value: object) -> Any:
    """An evaluation as plain values: its dataclasses as tables, tuples as lists; None where there is no figure."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return [plain(item) for item in value] if isinstance(value, tuple) else value
