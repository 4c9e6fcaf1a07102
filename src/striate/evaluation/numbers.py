"""Everything that is said of answers that are numbers, each figure with its 95 % interval.

MAE, the mean of |answer - target|, and RMSE, the root of the mean of its square, in the units of the number; R2 =
1 - (sum of squared errors) / (sum of squared distances of the targets from their mean), 1 for answers that are all
exact, 0 for always answering the mean of these targets. Beside them what always answering that mean would give.
Intervals: the percentiles of 1,000 bootstrap resamples of the pictures. Legend: N pictures, K numbers, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from striate.errors import InputError, require
from striate.evaluation.bootstrap import RESAMPLES, mean_of_known, resampled_figures
from striate.evaluation.figure import Figure, plain, read_figure

UNLIKE = 20  # times as widely spread as another number: their errors are no longer of one kind


@dataclass(frozen=True, kw_only=True)
class NumberFigures:
    """One number. `usual_mae`: the MAE of always answering the mean of these targets. `bias`: the mean of answer -
    target. `half_within`, `most_within`: half of the answers, and nine of ten, lie so near to their target.

    `mean`, `deviation`, `smallest`, `largest` are of the targets. `r2` is None where all of these are equal.
    """

    name: str
    mae: Figure
    rmse: Figure
    r2: Figure | None
    usual_mae: Figure
    bias: Figure
    half_within: float
    most_within: float
    mean: float
    deviation: float
    smallest: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class NumbersEvaluation:
    """Figures of N pictures: means over the K numbers (`r2` over those whose targets differ), each counted alike
    whatever its units; and those of each. `notes` are sentences on what could not be said."""

    n: int
    class_names: tuple[str, ...]
    mae: Figure
    rmse: Figure
    r2: Figure | None
    usual_mae: Figure
    by_number: tuple[NumberFigures, ...]
    notes: tuple[str, ...] = ()

    def figures(self) -> dict[str, Figure]:
        """The figures of the whole split that there are, by name, in the order of a table."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Figure)}

    def to_json(self) -> dict[str, Any]:
        """Plain values for `metrics.json`; None where there is no figure."""
        return {"task": "regression", **plain(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NumbersEvaluation:
        """What `to_json` wrote. Raises InputError where it is none."""
        try:
            known = {field.name: values[field.name] for field in fields(cls)}
            for name in (*_WHOLE, "r2"):
                known[name] = read_figure(known[name])
            known["by_number"] = tuple(_number(row) for row in known["by_number"])
            known["class_names"] = tuple(str(name) for name in known["class_names"])
            known["notes"] = tuple(str(note) for note in known["notes"])
            require(all(known[name] is not None for name in _WHOLE), "the evaluation lacks figures")
            require(len(known["by_number"]) == len(known["class_names"]), "the evaluation lacks numbers")
            return cls(**known)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"the evaluation cannot be read: {error!r}") from error


_WHOLE = ("mae", "rmse", "usual_mae")
_FIGURES = ("mae", "rmse", "usual_mae", "bias")
_PLAIN = ("half_within", "most_within", "mean", "deviation", "smallest", "largest")


def _number(row: Mapping[str, Any]) -> NumberFigures:
    figures = {name: read_figure(row[name]) for name in (*_FIGURES, "r2")}
    require(all(figures[name] is not None for name in _FIGURES), "the evaluation lacks figures of a number")
    given: dict[str, Any] = {**row, **figures, **{name: float(row[name]) for name in _PLAIN}}
    return NumberFigures(**given)


def evaluate_numbers(
    answers: np.ndarray,
    targets: np.ndarray,
    class_names: Sequence[str],
    seed: int = 0,
    resample_count: int = RESAMPLES,
) -> NumbersEvaluation:
    """All figures of `answers` (N, K) for `targets` (N, K), in the units of the targets; `class_names` are the K
    numbers'.

    `seed` draws the `resample_count` resamples. Raises InputError where there is no picture, ValueError where the
    arrays are not as said.
    """
    answers, targets = _checked(answers, targets, len(class_names))
    n = len(targets)
    errors = answers - targets
    centred = targets - targets.mean(axis=0)
    # In units of its own spread, so that no number is too small for its interval; given back in its own below.
    units = np.maximum(targets.std(axis=0), np.abs(errors).max(axis=0))
    units = np.where(units > 0, units, 1.0)
    found = resampled_figures(_Statistics(errors / units, centred / units, units).of, n, seed, resample_count)

    def figure(name: str, k: int = 0, unit: float = 1.0) -> Figure:
        value = found[name][k]
        if value is None:
            raise ValueError(f"{name} is undefined")
        low, high = (None if bound is None else bound * unit for bound in (value.low, value.high))
        return Figure(value.value * unit, low, high, n)

    unit = float(units.mean())
    by_number = tuple(
        NumberFigures(
            name=name,
            mae=figure("mae_each", k, float(units[k])),
            rmse=figure("rmse_each", k, float(units[k])),
            r2=found["r2_each"][k],
            usual_mae=figure("usual_each", k, float(units[k])),
            bias=figure("bias_each", k, float(units[k])),
            half_within=float(np.quantile(np.abs(errors[:, k]), 0.5)),
            most_within=float(np.quantile(np.abs(errors[:, k]), 0.9)),
            mean=float(targets[:, k].mean()),
            deviation=float(targets[:, k].std()),
            smallest=float(targets[:, k].min()),
            largest=float(targets[:, k].max()),
        )
        for k, name in enumerate(class_names)
    )
    return NumbersEvaluation(
        n=n,
        class_names=tuple(class_names),
        mae=figure("mae", unit=unit),
        rmse=figure("rmse", unit=unit),
        r2=found["r2"][0],
        usual_mae=figure("usual", unit=unit),
        by_number=by_number,
        notes=_notes(class_names, targets),
    )


class _Statistics:
    """Everything that is resampled, from how often each picture counts; errors and centred targets (N, K) are in units
    (K,), means over the numbers in the mean of these."""

    def __init__(self, errors: np.ndarray, centred: np.ndarray, units: np.ndarray) -> None:
        self.errors, self.centred = errors, centred
        self.shares = units / units.mean() / len(units)
        self.differ = np.ptp(centred, axis=0) > 0

    def of(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """(N, R) -> by name (R, 1), or (R, K) by number."""
        lines = np.ascontiguousarray(weights.T)  # (R, N)
        total = lines.sum(axis=1)[:, None]
        mae, bias, squares = (lines @ one / total for one in (np.abs(self.errors), self.errors, self.errors**2))
        usual = lines @ np.abs(self.centred) / total
        spread = lines @ self.centred**2 / total - (lines @ self.centred / total) ** 2  # about the resample's own mean
        rmse = np.sqrt(squares)
        with np.errstate(invalid="ignore", divide="ignore"):
            r2 = np.where(self.differ & (spread > 1e-12), 1 - squares / spread, np.nan)
        whole = {
            "mae": mae @ self.shares,
            "rmse": rmse @ self.shares,
            "usual": usual @ self.shares,
            "r2": mean_of_known(r2.T),
        }
        each = {"mae_each": mae, "rmse_each": rmse, "usual_each": usual, "bias_each": bias, "r2_each": r2}
        return {name: values[:, None] for name, values in whole.items()} | each


def _notes(names: Sequence[str], targets: np.ndarray) -> tuple[str, ...]:
    said = []
    spread = targets.std(axis=0)
    same = [name for name, one in zip(names, spread, strict=True) if one == 0]
    if same:
        shown = ", ".join(same[:5]) + (f" and {len(same) - 5} more" if len(same) > 5 else "")
        said.append(f"{shown}: the same value everywhere here, so that there is no R2")
    known = [(float(one), name) for name, one in zip(names, spread, strict=True) if one > 0]
    if len(known) > 1:
        (least, narrow), (most, wide) = min(known), max(known)
        if most > UNLIKE * least:
            said.append(f"errors of {wide} weigh most in the mean over all numbers: {narrow} is spread far less")
    return tuple(said)


def _checked(answers: np.ndarray, targets: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    answers, targets = np.asarray(answers, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if answers.ndim != 2 or answers.shape[1] != number or targets.shape != answers.shape:
        raise ValueError(f"answers {answers.shape}, targets {targets.shape}, {number} names of numbers")
    require(len(targets) > 0, "there is nothing to evaluate")
    if not (np.isfinite(answers).all() and np.isfinite(targets).all()):
        raise ValueError("answers and targets must be finite")
    return answers, targets
