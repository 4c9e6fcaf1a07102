"""What the settings of several tasks must be, in the same sentences. All raise InputError."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from striate.errors import require

MOST_SHARPNESS = 1e4


def checked_names(names: Any, what: str, noun: str, *, fewest: int, most: int) -> tuple[str, ...]:
    """Names that differ, `fewest` to `most` of them; `what` and `noun` are "class names" and "classes", or others."""
    sound = isinstance(names, Sequence) and not isinstance(names, str)
    require(sound and all(isinstance(name, str) for name in names), f"{what} must be a list of texts")
    require(fewest <= len(names) <= most, f"there must be {fewest} to {most:,} {noun}, got {len(names)}")
    require(len(set(names)) == len(names), f"{what} must differ from each other")
    return tuple(names)


def require_smoothing(value: Any) -> None:
    """`label_smoothing` is in [0, 1)."""
    require(is_number(value) and 0 <= value < 1, f"label_smoothing must be in [0, 1), got {value!r}")


def require_sharpness(value: Any) -> None:
    """`sharpness` is above 0 and at most `MOST_SHARPNESS`."""
    require(
        is_number(value) and 0 < value <= MOST_SHARPNESS,
        f"sharpness must be above 0 and at most {MOST_SHARPNESS:g}, got {value!r}",
    )


def is_number(value: object) -> bool:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
