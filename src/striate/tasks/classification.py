"""One class for each picture, or how probable each class is: softmax and cross-entropy.

Source: Bridle 1990 (softmax); Szegedy et al. 2016 (label smoothing, section 7); Zhang et al. 2018 (mixed targets).
Legend: N rows of the table, B batch, K classes. `targets` are (B,) int64 classes, or (B, K) shares of classes: soft
labels, and what mixing gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.errors import InputError, require
from striate.evaluation import scores
from striate.evaluation.calibration import best_sharpness, sharpened
from striate.tasks.checks import checked_names, is_number, require_sharpness, require_smoothing
from striate.tasks.losses import require_loss
from striate.tasks.task import TaskSettings

if TYPE_CHECKING:
    import torch

    from striate.data.placement import Placement

MOST_CLASSES = 100_000
TOP = 5
OWN_LOSS = "cross-entropy"


@dataclass(frozen=True)
class Classification:
    """Which of `class_names` (K, at least 2)?

    `label_smoothing` in [0, 1): this share of each target is spread evenly over all classes.
    `class_weights` (K,): how much the pictures of a class count in the loss; None: all alike.
    `sharpness`, above 0: what scores are multiplied by before the softmax (one over the temperature), so that
    an answer given with 80 % is right in 80 %; see `calibrated`.
    `loss_name`: in `losses.LOSSES`.
    """

    class_names: tuple[str, ...]
    label_smoothing: float = field(default=0.0, kw_only=True)
    class_weights: tuple[float, ...] | None = field(default=None, kw_only=True)
    sharpness: float = field(default=1.0, kw_only=True)
    loss_name: str = field(default=OWN_LOSS, kw_only=True)
    # The table's targets, (N,) int64 or (N, K) float32, set by `bound_to`; not a part of what the task is.
    table: np.ndarray | None = field(default=None, kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = checked_names(self.class_names, "class names", "classes", fewest=2, most=MOST_CLASSES)
        object.__setattr__(self, "class_names", names)
        require_smoothing(self.label_smoothing)
        require_sharpness(self.sharpness)
        weights: Any = self.class_weights
        if weights is not None:
            require(
                isinstance(weights, Sequence) and not isinstance(weights, str) and len(weights) == len(names),
                f"class_weights must be {len(names)} numbers, one a class",
            )
            require(
                all(is_number(weight) and weight >= 0 for weight in weights) and max(weights) > 0,
                "class_weights must be finite, none negative and not all zero",
            )
            object.__setattr__(self, "class_weights", tuple(float(weight) for weight in weights))
        require_loss(self.name, self.loss_name, label_smoothing=self.label_smoothing)

    @property
    def name(self) -> str:
        """In `TASKS`."""
        return "classification"

    @property
    def num_outputs(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def monitor(self) -> str:
        """The log loss chooses the best epoch.

        Not the accuracy: on the small validation splits of everyday sets (20 pictures: steps of 5 points) it ties
        between most epochs and moves with the luck of a single picture, while the log loss is a smooth, proper score
        that also asks for honest probabilities, which the report shows.
        """
        return "log_loss"

    @property
    def larger_is_better(self) -> bool:
        """Less log loss is better."""
        return False

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes (K)."""
        return self.class_names

    @classmethod
    def made_for(cls, names: Sequence[str], targets: np.ndarray, settings: TaskSettings) -> Classification:
        """The task of a training with classes (N,) or shares (N, K). Balanced weights are N / (K * pictures a class),
        as in scikit-learn."""
        require(not settings.angles, "angles are numbers, these are classes; leave --angles away")
        weights = None
        if settings.class_weights == "balanced":
            counts = np.bincount(targets, minlength=len(names)) if targets.ndim == 1 else targets.sum(axis=0)
            weights = tuple(float(len(targets) / (len(counts) * count)) for count in counts)
        return cls(
            tuple(names),
            label_smoothing=settings.label_smoothing,
            class_weights=weights,
            loss_name=settings.loss or OWN_LOSS,
        ).bound_to(targets)

    def bound_to(self, targets: np.ndarray) -> Classification:
        """The same task with a table of targets, (N,) in [0, K) or shares (N, K), for `targets(rows)`.

        Shares are made to sum to 1. Raises ValueError for what is neither.
        """
        given = np.asarray(targets)
        if given.ndim == 2 and given.dtype.kind == "f":
            table = given.astype(np.float64)
            sums = table.sum(axis=1, keepdims=True)
            if table.shape[1] != self.num_outputs or not bool((table >= 0).all() and (sums > 0).all()):
                raise ValueError(f"shares must be (N, {self.num_outputs}), none negative, no row without any")
            table = (table / sums).astype(np.float32)
        else:
            table = np.array(targets, dtype=np.int64)
            if table.ndim != 1 or (table.size and (table.min() < 0 or table.max() >= self.num_outputs)):
                raise ValueError(f"targets must be (N,) in [0, {self.num_outputs})")
        table.setflags(write=False)
        return replace(self, table=table)

    def targets(self, rows: np.ndarray, placement: Placement | None) -> torch.Tensor:
        """Classes (B,) int64 or shares (B, K) float32 of these rows (B,); they do not move with their picture."""
        import torch

        if self.table is None:
            raise ValueError("bind the task to a table of targets first: task.bound_to(targets)")
        return torch.from_numpy(self.table[np.asarray(rows, dtype=np.int64)])

    def mix(self, targets: torch.Tensor, partners: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Shares (B, K) of pictures that are `share` (B,) themselves and the rest of `partners` (B,) in the batch."""
        soft = self._soft(targets)
        own = share.to(soft)[:, None]
        return own * soft + (1 - own) * soft[partners]

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy (B,) in nats, computed in `float32`: -sum_k w_k t_k log softmax(outputs)_k.

        t are the targets, smoothed; equal to torch's `cross_entropy` of each row. Of another loss: what it says,
        times sum_k w_k t_k.
        """
        import torch
        from torch.nn import functional

        scores = outputs.float()
        weights = None
        if self.class_weights is not None:
            weights = torch.tensor(self.class_weights, dtype=torch.float32, device=scores.device)
        if self.loss_name != OWN_LOSS:
            return self._other_loss(scores, self._soft(targets).float(), weights)
        return functional.cross_entropy(
            scores,
            targets if targets.dim() == 1 else targets.float(),
            weight=weights,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )

    def _other_loss(self, scores: torch.Tensor, shares: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        smoothed = shares * (1 - self.label_smoothing) + self.label_smoothing / self.num_outputs
        losses = require_loss(self.name, self.loss_name).function(scores, smoothed)
        return losses if weights is None else losses * (shares @ weights)

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores (B, K) -> probabilities (B, K), `float32`, rows that sum to 1."""
        return (self.sharpness * outputs.float()).softmax(dim=1)

    def losses(self, answers: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """-sum_k t_k log(answers_k) in nats, (N,), of probabilities (N, K) and classes (N,) or shares (N, K)."""
        if targets.ndim == 1:
            return scores.log_losses(answers, targets)
        logarithms = np.log(np.maximum(answers.astype(np.float64), scores.SMALLEST_PROBABILITY))
        return np.asarray(-(targets * logarithms).sum(axis=1))

    def calibrated(self, answers: np.ndarray, targets: np.ndarray) -> Classification:
        """The same task whose answers for held-back pictures, probabilities (N, K) of classes (N,), have the least
        log loss. Label smoothing makes a network too modest, long training too bold; accuracy stays as it is."""
        return replace(self, sharpness=self.sharpness * best_sharpness(answers, targets))

    def metrics(self, answers: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Of probabilities (N, K) and classes (N,): `log_loss`, `accuracy`, and `top5_accuracy` for more than 5
        classes; of shares (N, K) the last two are against the most probable class. NaN where there are no rows. The
        log loss is that after calibration on these very answers, since that is done in the end: else a smoothed loss
        would make the first sure epoch look the best."""
        if len(targets) == 0:
            return dict.fromkeys(
                ["log_loss", "accuracy", *(["top5_accuracy"] if self.num_outputs > TOP else [])], math.nan
            )
        classes = targets if targets.ndim == 1 else targets.argmax(axis=1)
        figures = {
            "log_loss": float(self.losses(sharpened(answers, best_sharpness(answers, targets)), targets).mean()),
            "accuracy": float(scores.correct(answers, classes).mean()),
        }
        if self.num_outputs > TOP:
            figures["top5_accuracy"] = float(scores.among_top(answers, classes, TOP).mean())
        return figures

    def to_json(self) -> dict[str, Any]:
        """Plain values for `config.json`. Names that are no valid Unicode keep their surrogates."""
        return {
            "name": self.name,
            "class_names": list(self.class_names),
            "label_smoothing": self.label_smoothing,
            "class_weights": None if self.class_weights is None else list(self.class_weights),
            "sharpness": self.sharpness,
            "loss": self.loss_name,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Classification:
        """What `to_json` wrote. Raises InputError where it is none."""
        require(isinstance(values, Mapping) and values.get("name") == "classification", "this is no classification")
        names, weights = values.get("class_names"), values.get("class_weights")
        require(isinstance(names, list), "the task has no list of class names")
        try:
            return cls(
                tuple(names or ()),
                label_smoothing=values.get("label_smoothing", 0.0),
                class_weights=tuple(weights) if weights is not None else None,
                sharpness=values.get("sharpness", 1.0),
                loss_name=values.get("loss", OWN_LOSS),
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the task cannot be read: {error}") from error

    def _soft(self, targets: torch.Tensor) -> torch.Tensor:
        """Classes (B,) as shares (B, K) `float32`; shares stay as they are."""
        from torch.nn import functional

        if targets.dim() == 2:
            return targets
        return functional.one_hot(targets, self.num_outputs).float()
