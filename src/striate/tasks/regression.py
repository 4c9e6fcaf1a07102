"""One or several numbers for each picture: a linear output and the squared error of standardised numbers.

The network learns (number - mean) / deviation, both of the training pictures, so that rates, schedules and the weight
of each number in the loss do not depend on the units of the table; answers are in the units of the table. A number that
is said to be an angle turns with its picture, so that pictures can be turned and mirrored in training. Shares of a
whole, in [0, 1], that crowd near an end are learned as arcsin(sqrt(share)), whose spread does not depend on the share
(Bartlett 1947, section 3); their answers stay in [0, 1].
Legend: N rows of the table, B batch, K numbers. `targets` are (B, K) float32, standardised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.errors import InputError, require, unknown
from striate.tasks.checks import checked_names
from striate.tasks.losses import require_loss
from striate.tasks.task import TaskSettings

if TYPE_CHECKING:
    import torch

    from striate.data.placement import Placement

MOST_NUMBERS = 100_000
SKEWED = 0.5  # moderately (Bulmer 1979, chapter 4)
OWN_LOSS = "squared"


@dataclass(frozen=True)
class Regression:
    """How much is each of `target_names` (K, at least 1)?

    `means` and `deviations` (K): what is subtracted from the numbers of the table and what they are divided by,
    deviations above 0. `loss_name`: in `losses.LOSSES`. `angles`: those of the names whose numbers are degrees,
    counter-clockwise from upright. `shares`: those that are learned by their arcsine; theirs are the mean and the
    deviation of that.
    """

    target_names: tuple[str, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    loss_name: str = field(default=OWN_LOSS, kw_only=True)
    angles: tuple[str, ...] = field(default=(), kw_only=True)
    shares: tuple[str, ...] = field(default=(), kw_only=True)
    # The table's targets (N, K) in its own units, set by `bound_to`; not a part of what the task is.
    table: np.ndarray | None = field(default=None, kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = checked_names(self.target_names, "names of numbers", "numbers", fewest=1, most=MOST_NUMBERS)
        object.__setattr__(self, "target_names", names)
        for what in ("means", "deviations"):
            values = getattr(self, what)
            listed = isinstance(values, Sequence) and not isinstance(values, str) and len(values) == len(names)
            require(listed and all(map(_is_number, values)), f"{what} must be {len(names)} finite numbers")
            object.__setattr__(self, what, tuple(float(value) for value in values))
        require(min(self.deviations) > 0, "deviations must be above 0")
        require_loss(self.name, self.loss_name)
        for what in ("angles", "shares"):
            object.__setattr__(self, what, tuple(getattr(self, what)))
            for name in getattr(self, what):
                if name not in self.target_names:
                    raise unknown("number", str(name), self.target_names)
        require(not set(self.angles) & set(self.shares), "a number cannot be an angle and a share")

    @property
    def name(self) -> str:
        """In `TASKS`."""
        return "regression"

    @property
    def names(self) -> tuple[str, ...]:
        """Of the numbers (K)."""
        return self.target_names

    @property
    def num_outputs(self) -> int:
        """K."""
        return len(self.target_names)

    @property
    def monitor(self) -> str:
        """The mean squared error of standardised numbers chooses the best epoch: what is learned, and the same
        for all units."""
        return "squared_error"

    @property
    def larger_is_better(self) -> bool:
        """Less error is better."""
        return False

    @classmethod
    def made_for(cls, names: Sequence[str], targets: np.ndarray, settings: TaskSettings) -> Regression:
        """The task of a training with numbers (N, K), standardised by their means and deviations.

        Raises InputError where one of the numbers is the same in every row, and for settings of classes.
        """
        require(
            settings.class_weights == "none",
            f"class_weights {settings.class_weights} means nothing for numbers, which have no classes; leave it away",
        )
        require(
            settings.label_smoothing == 0,
            f"label_smoothing {settings.label_smoothing:g} means nothing for numbers, which have no classes; "
            "leave it away",
        )
        table = np.asarray(targets, dtype=np.float64)
        shares = tuple(
            name for name, one in zip(names, table.T, strict=True) if name not in settings.angles and _crowds(one)
        )
        told, table = table, _arcsines(table, [name in shares for name in names])
        means, deviations = table.mean(axis=0), table.std(axis=0)
        for position, name in enumerate(names):
            # A constant has a deviation of rounding errors.
            differ = deviations[position] > 1e-9 * abs(means[position]) and deviations[position] > 0
            require(
                bool(differ),
                f"'{name}' is {told[0, position]:g} in all of the {len(table):,} training {settings.noun}s, so there "
                "is nothing to learn of it; leave it away (--targets names those to learn)",
            )
        made = cls(
            tuple(names),
            tuple(means.tolist()),
            tuple(deviations.tolist()),
            loss_name=settings.loss or OWN_LOSS,
            angles=settings.angles,
            shares=shares,
        )
        return made.bound_to(targets)

    def bound_to(self, targets: np.ndarray) -> Regression:
        """The same task with a table of numbers (N, K), in its own units, for `targets(rows)`. Raises ValueError."""
        table = np.array(targets, dtype=np.float32)
        if table.ndim != 2 or table.shape[1] != self.num_outputs or not bool(np.isfinite(table).all()):
            raise ValueError(f"targets must be (N, {self.num_outputs}), finite")
        table.setflags(write=False)
        return replace(self, table=table)

    def targets(self, rows: np.ndarray, placement: Placement | None) -> torch.Tensor:
        """Standardised numbers (B, K) float32 of these rows (B,); angles turn with their pictures."""
        import torch

        if self.table is None:
            raise ValueError("bind the task to a table of targets first: task.bound_to(targets)")
        numbers = self.table[np.asarray(rows, dtype=np.int64)]
        if placement is not None and self.angles:
            turning = [self.target_names.index(name) for name in self.angles]
            numbers = numbers.copy()
            numbers[:, turning] = placement.move_angles(numbers[:, turning])
        return torch.from_numpy(self.standardised(numbers))

    @property
    def turns(self) -> np.ndarray | None:
        """How far each picture of the table may be turned, the least and the most degrees counter-clockwise (N, 2), so
        that its angles stay among those of the table: nothing is asked about others. None where there are no angles."""
        if self.table is None or not self.angles:
            return None
        known = self.table[:, [self.target_names.index(name) for name in self.angles]].astype(np.float64)
        return np.stack([(known.min(0) - known).max(1), (known.max(0) - known).min(1)], axis=1)

    def standardised(self, numbers: np.ndarray) -> np.ndarray:
        """(N, K) in the units of the table -> (N, K) float32 of mean 0 and deviation 1 over the training pictures."""
        return np.asarray(self._standardised(numbers).astype(np.float32))

    def _standardised(self, numbers: np.ndarray) -> np.ndarray:
        """The same in float64."""
        wide = _arcsines(np.asarray(numbers, dtype=np.float64), [name in self.shares for name in self.target_names])
        return np.asarray((wide - np.array(self.means)) / np.array(self.deviations))

    def mix(self, targets: torch.Tensor, partners: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Numbers (B, K) of pictures that are `share` (B,) themselves and the rest of `partners` (B,) in the batch."""
        own = share.to(targets)[:, None]
        return own * targets + (1 - own) * targets[partners]

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Squared error (B,), the mean over the numbers: mean_k (outputs_k - t_k)^2, computed in `float32`.

        Another loss likewise: its mean over the numbers.
        """
        if self.loss_name != OWN_LOSS:
            named = require_loss(self.name, self.loss_name)
            return named.function(outputs.float(), targets.float()) / self.num_outputs
        difference = outputs.float() - targets.float()
        return difference.square().mean(dim=1)

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs (B, K) -> numbers (B, K) in the units of the table, `float32`: outputs * deviation + mean, of
        shares the squared sine of that."""
        import torch

        given = outputs.float()
        means, deviations = (given.new_tensor(one) for one in (self.means, self.deviations))
        numbers = given * deviations + means
        if not self.shares:
            return numbers
        share = torch.tensor([name in self.shares for name in self.target_names], device=numbers.device)
        return torch.where(share, numbers.clamp(0.0, math.pi / 2).sin().square(), numbers)

    def losses(self, answers: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Squared error (N,) of standardised numbers, the mean over the numbers; both (N, K) in units of the table."""
        return np.asarray(np.square(self._standardised(answers) - self._standardised(targets)).mean(axis=1))

    def calibrated(self, answers: np.ndarray, targets: np.ndarray) -> Regression:
        """The same task: numbers have no confidence that could be put right."""
        return self

    def metrics(self, answers: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Of numbers (N, K) in units of the table: `squared_error`, the mean of standardised ones, and
        `absolute_error`, the mean over pictures and numbers in their own units. NaN where there are no rows."""
        if len(targets) == 0:
            return {"squared_error": math.nan, "absolute_error": math.nan}
        differences = np.asarray(answers, dtype=np.float64) - targets
        return {
            "squared_error": float(self.losses(answers, targets).mean()),
            "absolute_error": float(np.abs(differences).mean()),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain values for `config.json`. Names that are no valid Unicode keep their surrogates."""
        return {
            "name": self.name,
            "target_names": list(self.target_names),
            "means": list(self.means),
            "deviations": list(self.deviations),
            "loss": self.loss_name,
            "angles": list(self.angles),
            "shares": list(self.shares),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Regression:
        """What `to_json` wrote. Raises InputError where it is none."""
        require(isinstance(values, Mapping) and values.get("name") == "regression", "this is no task of numbers")
        given = {what: values.get(what) for what in ("target_names", "means", "deviations")}
        for what, listed in given.items():
            require(isinstance(listed, list), f"the task has no list of {what.replace('_', ' ')}")
        kinds = {what: values.get(what, []) for what in ("angles", "shares")}
        for what, listed in kinds.items():
            require(isinstance(listed, list), f"{what} must be a list of names")
        try:
            lists = (tuple(listed or ()) for listed in given.values())
            loss = values.get("loss", OWN_LOSS)
            return cls(*lists, loss_name=loss, angles=tuple(kinds["angles"]), shares=tuple(kinds["shares"]))
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the task cannot be read: {error}") from error


def _crowds(numbers: np.ndarray) -> bool:
    """Whether numbers (N,) are shares in [0, 1] that crowd near an end, and less so by their arcsine."""
    if numbers.min() < 0 or numbers.max() > 1 or len(np.unique(numbers)) < 3:
        return False
    before, after = (abs(_skewness(one)) for one in (numbers, _arcsines(numbers[:, None], [True])[:, 0]))
    return before > SKEWED and after < before


def _skewness(numbers: np.ndarray) -> float:
    centred = numbers - numbers.mean()
    return float((centred**3).mean() / max((centred**2).mean(), 1e-300) ** 1.5)


def _arcsines(numbers: np.ndarray, share: Sequence[bool]) -> np.ndarray:
    """Numbers (N, K) with arcsin(sqrt(.)) in the place of those that are shares (K,), cut to [0, 1]."""
    chosen = np.array(share)
    if not chosen.any():
        return numbers
    return np.where(chosen, np.arcsin(np.sqrt(np.clip(numbers, 0, 1))), numbers)


def _is_number(value: object) -> bool:
    # A whole number of hundreds of digits is none that can be computed with.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e300
