"""Any number of labels for each picture: a sigmoid and a binary cross-entropy for each label.

Source: Bishop 2006, section 4.3.2 (logistic regression), one for each label ("binary relevance", Tsoumakas and Katakis
2007, section 2); label smoothing as in Szegedy et al. 2016, section 7, with two classes a label.
Legend: N rows of the table, B batch, K labels. `targets` are (B, K) float32: 0 or 1, or shares after mixing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.errors import InputError, require
from striate.evaluation.calibration import best_label_sharpness, label_sharpened, log_odds
from striate.tasks.checks import MOST_SHARPNESS, checked_names, is_number, require_sharpness, require_smoothing
from striate.tasks.losses import require_loss
from striate.tasks.task import TaskSettings

if TYPE_CHECKING:
    import torch

    from striate.data.placement import Placement

MOST_LABELS = 100_000
OWN_LOSS = "binary-cross-entropy"
HALF = 0.5  # a label is answered above it


@dataclass(frozen=True)
class MultiLabel:
    """Which of `class_names` (K, at least 1)? All, some or none of them.

    `label_smoothing` in [0, 1): this share of each target is spread evenly over yes and no.
    `label_weights` (K): how much a picture without and with the label counts in its part of the loss; None: all alike.
    `sharpness`, above 0: what scores are multiplied by before the sigmoid; see `calibrated`.
    `loss_name`: in `losses.LOSSES`.
    """

    class_names: tuple[str, ...]
    label_smoothing: float = field(default=0.0, kw_only=True)
    label_weights: tuple[tuple[float, float], ...] | None = field(default=None, kw_only=True)
    sharpness: float = field(default=1.0, kw_only=True)
    loss_name: str = field(default=OWN_LOSS, kw_only=True)
    # The table's targets (N, K), set by `bound_to`; not a part of what the task is.
    table: np.ndarray | None = field(default=None, kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = checked_names(self.class_names, "label names", "labels", fewest=1, most=MOST_LABELS)
        object.__setattr__(self, "class_names", names)
        require_smoothing(self.label_smoothing)
        require_sharpness(self.sharpness)
        weights: Any = self.label_weights
        if weights is not None:
            pairs = isinstance(weights, Sequence) and len(weights) == len(names) and all(map(_is_pair, weights))
            require(pairs, f"label_weights must be {len(names)} pairs of numbers, none negative and not both zero")
            object.__setattr__(self, "label_weights", tuple((float(one), float(two)) for one, two in weights))
        require_loss(
            self.name, self.loss_name, label_smoothing=self.label_smoothing, weighted=self.label_weights is not None
        )

    @property
    def name(self) -> str:
        """In `TASKS`."""
        return "multilabel"

    @property
    def names(self) -> tuple[str, ...]:
        """Of the labels (K)."""
        return self.class_names

    @property
    def num_outputs(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def monitor(self) -> str:
        """The log loss, mean over the labels, chooses the best epoch: a smooth and proper score, unlike the average
        precision, which a few rare pictures of a small validation split decide."""
        return "log_loss"

    @property
    def larger_is_better(self) -> bool:
        """Less log loss is better."""
        return False

    @classmethod
    def made_for(cls, names: Sequence[str], targets: np.ndarray, settings: TaskSettings) -> MultiLabel:
        """The task of a training with labels (N, K). Balanced weights are N / (2 * pictures without the label) and
        N / (2 * pictures with it)."""
        require(not settings.angles, "angles are numbers, these are labels; leave --angles away")
        weights = None
        if settings.class_weights == "balanced":
            there = np.asarray(targets, dtype=np.float64).sum(axis=0)
            weights = tuple(
                (_balanced(len(targets), len(targets) - count), _balanced(len(targets), count)) for count in there
            )
        return cls(
            tuple(names),
            label_smoothing=settings.label_smoothing,
            label_weights=weights,
            loss_name=settings.loss or OWN_LOSS,
        ).bound_to(targets)

    def bound_to(self, targets: np.ndarray) -> MultiLabel:
        """The same task with a table of labels (N, K) in [0, 1], for `targets(rows)`. Raises ValueError."""
        table = np.array(targets, dtype=np.float32)
        if table.ndim != 2 or table.shape[1] != self.num_outputs or not bool(((table >= 0) & (table <= 1)).all()):
            raise ValueError(f"targets must be (N, {self.num_outputs}) in [0, 1]")
        table.setflags(write=False)
        return replace(self, table=table)

    def targets(self, rows: np.ndarray, placement: Placement | None) -> torch.Tensor:
        """Labels (B, K) float32 of these rows (B,); a label does not move with its picture."""
        import torch

        if self.table is None:
            raise ValueError("bind the task to a table of targets first: task.bound_to(targets)")
        return torch.from_numpy(self.table[np.asarray(rows, dtype=np.int64)])

    def mix(self, targets: torch.Tensor, partners: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Labels (B, K) of pictures that are `share` (B,) themselves and the rest of `partners` (B,) in the batch."""
        own = share.to(targets)[:, None]
        return own * targets + (1 - own) * targets[partners]

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy (B,) in nats, the mean over the labels, computed in `float32`.

        mean_k -(w1_k t_k log p_k + w0_k (1 - t_k) log(1 - p_k)), p = sigmoid(outputs); t are the targets, smoothed.
        Another loss likewise: its mean over the labels.
        """
        import torch
        from torch.nn import functional

        scores = outputs.float()
        wanted = targets.to(scores)
        wanted = wanted * (1 - self.label_smoothing) + self.label_smoothing / 2
        if self.loss_name != OWN_LOSS:
            other: torch.Tensor = require_loss(self.name, self.loss_name).function(scores, wanted) / self.num_outputs
            return other
        if self.label_weights is None:
            return functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none").mean(dim=1)
        without, there = torch.tensor(self.label_weights, dtype=scores.dtype, device=scores.device).T
        yes, no = functional.logsigmoid(scores), functional.logsigmoid(-scores)
        losses: torch.Tensor = -(there * wanted * yes + without * (1 - wanted) * no).mean(dim=1)
        return losses

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores (B, K) -> the probability of each label (B, K), `float32`, in [0, 1]."""
        return (self.sharpness * outputs.float()).sigmoid()

    def losses(self, answers: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Binary cross-entropy (N,) in nats, the mean over the labels, of probabilities (N, K) and labels (N, K)."""
        odds = log_odds(answers)
        return np.asarray((np.logaddexp(0, odds) - targets * odds).mean(axis=1))

    def calibrated(self, answers: np.ndarray, targets: np.ndarray) -> MultiLabel:
        """The same task whose answers for held-back pictures, probabilities (N, K) of labels (N, K), have the least
        log loss. Which labels are above one half stays as it is."""
        sharpness = self.sharpness * best_label_sharpness(answers, targets)
        return replace(self, sharpness=min(sharpness, MOST_SHARPNESS))

    def metrics(self, answers: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Of probabilities (N, K) and labels (N, K): `log_loss`, mean over the labels, after calibration on these
        very answers (see `Classification.metrics`), and `accuracy`, the share of all labels that are answered right.
        NaN where there are no rows."""
        if len(targets) == 0:
            return {"log_loss": math.nan, "accuracy": math.nan}
        calibrated = label_sharpened(answers, best_label_sharpness(answers, targets))
        return {
            "log_loss": float(self.losses(calibrated, targets).mean()),
            "accuracy": float(((answers > HALF) == (targets > HALF)).mean()),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain values for `config.json`. Names that are no valid Unicode keep their surrogates."""
        return {
            "name": self.name,
            "class_names": list(self.class_names),
            "label_smoothing": self.label_smoothing,
            "label_weights": None if self.label_weights is None else [list(pair) for pair in self.label_weights],
            "sharpness": self.sharpness,
            "loss": self.loss_name,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MultiLabel:
        """What `to_json` wrote. Raises InputError where it is none."""
        require(isinstance(values, Mapping) and values.get("name") == "multilabel", "this is no task of several labels")
        names, weights = values.get("class_names"), values.get("label_weights")
        require(isinstance(names, list), "the task has no list of label names")
        require(weights is None or isinstance(weights, list), "label_weights must be a list of pairs")
        try:
            return cls(
                tuple(names or ()),
                label_smoothing=values.get("label_smoothing", 0.0),
                label_weights=None if weights is None else tuple(weights),
                sharpness=values.get("sharpness", 1.0),
                loss_name=values.get("loss", OWN_LOSS),
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the task cannot be read: {error}") from error


def _balanced(pictures: int, count: float) -> float:
    """0 where there are none to be weighed."""
    return float(pictures / (2 * count)) if count > 0 else 0.0


def _is_pair(value: object) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    return all(is_number(one) and one >= 0 for one in value) and max(value) > 0
