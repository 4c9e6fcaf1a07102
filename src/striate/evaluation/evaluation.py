"""Everything that is said of a classifier on one split, each figure with its 95 % interval.

Shares of pictures (accuracy, top 5, precision and recall of one class) have Wilson's interval, which is
right for few pictures, too; all else the percentile interval of 1,000 bootstrap resamples of the rows, moved for
figures that few rows bias.
For AUROC a resample weighs each picture's part in it anew (DeLong's components), which differs from ranking
anew by terms of order 1/n and is a hundred times faster.
Legend: N pictures, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from striate.errors import InputError, require
from striate.evaluation import scores
from striate.evaluation.bootstrap import RESAMPLES, mean_of_known, resampled_figures
from striate.evaluation.calibration import BINS, bin_numbers, expected_error
from striate.evaluation.figure import Figure, plain, read_figure, wilson
from striate.evaluation.ranking import components

TOP = 5


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """One class: `count` pictures are of it, `predicted` were taken for it.

    None: `precision` where nothing was predicted, `recall` and `auroc` where no picture (or each) is of the class,
    `f1` where neither.
    """

    name: str
    count: int
    predicted: int
    precision: Figure | None
    recall: Figure | None
    f1: Figure | None
    auroc: Figure | None


@dataclass(frozen=True, kw_only=True)
class Bin:
    """A bar of the reliability diagram: `count` answers with a probability in (`low`, `high`], their mean
    `confidence` and the share that is right, `accuracy` (None where there are none)."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: Figure | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Figures of N pictures; where the targets are shares of classes, those of the most probable one. Averages over
    classes (`balanced_accuracy`, `macro_...`, `auroc`) are over the classes that the split has; a class that was never
    predicted counts as precision 0 in them, as in scikit-learn.

    `log_loss` in nats, and `cross_entropy`, that against the shares; `brier` summed over classes, in [0, 2]; `ece` over
    15 bins. `confusion` holds the cells (target, prediction, pictures) that are not zero. `notes` are sentences on what
    could not be said.
    """

    n: int
    class_names: tuple[str, ...]
    accuracy: Figure
    top5_accuracy: Figure | None  # None for 5 classes or fewer
    balanced_accuracy: Figure
    macro_precision: Figure
    macro_f1: Figure
    auroc: Figure | None
    log_loss: Figure
    brier: Figure
    ece: Figure
    by_class: tuple[ClassFigures, ...]
    bins: tuple[Bin, ...]
    confusion: tuple[tuple[int, int, int], ...]
    notes: tuple[str, ...] = ()
    cross_entropy: Figure | None = None  # where the targets are shares of classes

    def figures(self) -> dict[str, Figure]:
        """The figures of the whole split that there are, by name, in the order of a table."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Figure)}

    def confusion_matrix(self) -> np.ndarray:
        """(K, K) int64, rows: targets, columns: predictions."""
        matrix = np.zeros((len(self.class_names),) * 2, dtype=np.int64)
        for target, prediction, count in self.confusion:
            matrix[target, prediction] = count
        return matrix

    def to_json(self) -> dict[str, Any]:
        """Plain values for `metrics.json`; None where there is no figure."""
        return {"task": "classification", **plain(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Evaluation:
        """What `to_json` wrote. Raises InputError where it is none."""
        try:
            known = {field.name: values[field.name] for field in fields(cls) if field.name != "cross_entropy"}
            known["cross_entropy"] = values.get("cross_entropy")  # of earlier versions without
            for name in (*_WHOLE, "top5_accuracy", "auroc", "cross_entropy"):
                known[name] = read_figure(known[name])
            known["by_class"] = tuple(
                ClassFigures(**{**row, **{name: read_figure(row[name]) for name in _BY_CLASS}})
                for row in known["by_class"]
            )
            known["bins"] = tuple(Bin(**{**row, "accuracy": read_figure(row["accuracy"])}) for row in known["bins"])
            known["confusion"] = tuple(
                (int(target), int(prediction), int(count)) for target, prediction, count in known["confusion"]
            )
            known["class_names"] = tuple(str(name) for name in known["class_names"])
            known["notes"] = tuple(str(note) for note in known["notes"])
            classes = len(known["class_names"])
            inside = all(
                0 <= target < classes and 0 <= prediction < classes for target, prediction, _ in known["confusion"]
            )
            require(inside, "the evaluation's confusion matrix has cells of unknown classes")
            require(all(known[name] is not None for name in _WHOLE), "the evaluation lacks figures")
            require(len(known["by_class"]) == classes, "the evaluation lacks classes")
            return cls(**known)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"the evaluation cannot be read: {error!r}") from error


BIASED = ("macro_f1", "f1_by_class")  # by few rows
_WHOLE = ("accuracy", "balanced_accuracy", "macro_precision", "macro_f1", "log_loss", "brier", "ece")
_BY_CLASS = ("precision", "recall", "f1", "auroc")


def evaluate_classification(
    probabilities: np.ndarray,
    targets: np.ndarray,
    class_names: Sequence[str],
    seed: int = 0,
    resample_count: int = RESAMPLES,
) -> Evaluation:
    """All figures of `probabilities` (N, K), rows that sum to 1, for `targets` (N,) in [0, K), or (N, K) shares that
    sum to 1 (then the target is the most probable class, and the cross-entropy is that against the shares).

    `seed` draws the `resample_count` resamples. About a second for N = 10,000, K = 100. Raises InputError
    where there is no picture, ValueError where the arrays are not as said.
    """
    shares = np.asarray(targets, dtype=np.float64) if np.ndim(targets) == 2 else None
    if shares is not None:
        targets = _classes_of(shares)
    probabilities, targets = _checked(probabilities, targets, len(class_names))
    n, num_classes = probabilities.shape
    predictions = probabilities.argmax(axis=1)
    right = scores.correct(probabilities, targets)
    confusion = scores.confusion_matrix(predictions, targets, num_classes)
    counts, predicted, hits = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    statistics = _Statistics(probabilities, targets, predictions, shares)
    found = resampled_figures(statistics.of, n, seed, resample_count, BIASED)

    def figure(name: str) -> Figure:
        (value,) = found[name]
        if value is None:
            raise ValueError(f"{name} is undefined")
        return value

    present = counts > 0
    by_class = tuple(
        ClassFigures(
            name=name,
            count=int(counts[k]),
            predicted=int(predicted[k]),
            precision=wilson(int(hits[k]), int(predicted[k])) if predicted[k] else None,
            recall=wilson(int(hits[k]), int(counts[k])) if counts[k] else None,
            f1=f1,
            auroc=area,
        )
        for k, (name, f1, area) in enumerate(
            zip(class_names, found["f1_by_class"], found["auroc_by_class"], strict=True)
        )
    )
    cells = np.argwhere(confusion)
    return Evaluation(
        n=n,
        class_names=tuple(class_names),
        accuracy=wilson(int(right.sum()), n),
        top5_accuracy=(
            wilson(int(scores.among_top(probabilities, targets, TOP).sum()), n) if num_classes > TOP else None
        ),
        balanced_accuracy=figure("balanced_accuracy"),
        macro_precision=figure("macro_precision"),
        macro_f1=figure("macro_f1"),
        auroc=found["auroc"][0],
        log_loss=figure("log_loss"),
        brier=figure("brier"),
        ece=figure("ece"),
        by_class=by_class,
        bins=bins_of(probabilities.max(axis=1), right),
        confusion=tuple((int(t), int(p), int(confusion[t, p])) for t, p in cells),
        notes=_notes([name for name, there in zip(class_names, present, strict=True) if not there], bool(right.all())),
        cross_entropy=None if shares is None else figure("cross_entropy"),
    )


class _Statistics:
    """Everything that is resampled, from how often each row counts: sums over rows, then ratios of sums."""

    def __init__(
        self, probabilities: np.ndarray, targets: np.ndarray, predictions: np.ndarray, shares: np.ndarray | None
    ) -> None:
        n, num_classes = probabilities.shape
        rows = np.arange(n)
        self.n, self.num_classes = n, num_classes
        self.targets = targets
        self.present = np.bincount(targets, minlength=num_classes) > 0
        losses = {"log_loss": scores.log_losses(probabilities, targets)}
        losses["brier"] = scores.brier_scores(probabilities, targets)
        if shares is not None:
            losses["cross_entropy"] = scores.cross_entropies(probabilities, shares)
        self.losses = tuple(losses)
        self.means = np.stack(list(losses.values()))  # (2 or 3, N)
        self.confidence = probabilities.max(axis=1).astype(np.float64)
        self.bins = bin_numbers(self.confidence)
        # Rows of one target, one prediction and one bin are counted together.
        kinds, self.kind = np.unique((targets * num_classes + predictions) * BINS + self.bins, return_inverse=True)
        self.kind_target, self.kind_prediction = np.divmod(kinds // BINS, num_classes)
        self.kind_bin = kinds % BINS
        self.areas, parts = components(probabilities, targets)
        parts = np.nan_to_num(parts)
        self.own_parts = parts[rows, targets].astype(float)
        parts[rows, targets] = 0
        self.other_parts = parts.T  # (K, N) float32

    def of(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """(N, R) -> by name (R, 1), or (R, K) by class."""
        lines = np.ascontiguousarray(weights.T)  # (R, N)
        kinds = _sums(lines, self.kind, len(self.kind_bin))
        right = self.kind_target == self.kind_prediction
        counts = _gathered(kinds, self.kind_target, self.num_classes)  # (K, R)
        predicted = _gathered(kinds, self.kind_prediction, self.num_classes)
        hits = _gathered(kinds[right], self.kind_target[right], self.num_classes)
        precision, recall, f1 = scores.precision_recall_f1(hits, predicted, counts)
        means = dict(zip(self.losses, self.means @ weights / self.n, strict=True))
        said = _sums(lines * self.confidence, self.bins, BINS)
        ece = expected_error(said, _gathered(kinds[right], self.kind_bin[right], BINS), self.n)
        with np.errstate(invalid="ignore", divide="ignore"):
            own = _sums(lines * self.own_parts, self.targets, self.num_classes) / counts
            others = (self.other_parts @ weights.astype(np.float32)) / (self.n - counts)
        # Each part's mean is AUROC; together they move by the sum of what each moves.
        area = np.clip(own + others - self.areas[:, None], 0, 1)
        # A class that the split has is an unknown, not a zero, in a resample without it; one that is there
        # and never predicted has precision 0.
        never = (counts > 0) & (predicted == 0)
        known_precision = np.where(never, 0.0, precision)
        whole = {
            **means,
            "ece": ece,
            "balanced_accuracy": mean_of_known(recall[self.present]),
            "macro_precision": mean_of_known(known_precision[self.present]),
            "macro_f1": mean_of_known(f1[self.present]),
            "auroc": mean_of_known(area[self.present]),
        }
        by_class = {"f1_by_class": f1.T, "auroc_by_class": area.T}
        return {name: values[:, None] for name, values in whole.items()} | by_class


def _sums(lines: np.ndarray, groups: np.ndarray, number: int) -> np.ndarray:
    """Lines (R, N), summed over the rows of each of `number` groups (N,): (number, R)."""
    return np.stack([np.bincount(groups, weights=line, minlength=number) for line in lines], axis=1)


def _gathered(sums: np.ndarray, groups: np.ndarray, number: int) -> np.ndarray:
    """Sums (n, R) of smaller groups as those of larger ones, (n,) in [0, number): (number, R)."""
    gathered = np.zeros((number, sums.shape[1]))
    np.add.at(gathered, groups, sums)
    return gathered


def bins_of(confidence: np.ndarray, right: np.ndarray) -> tuple[Bin, ...]:
    """The bars of the reliability diagram of answers with these confidences (N,), of which some are right (N,) bool."""
    numbers = bin_numbers(confidence)
    counts = np.bincount(numbers, minlength=BINS)
    sums = np.bincount(numbers, weights=confidence, minlength=BINS)
    hits = np.bincount(numbers, weights=right, minlength=BINS)
    return tuple(
        Bin(
            low=number / BINS,
            high=(number + 1) / BINS,
            count=int(counts[number]),
            confidence=float(sums[number] / counts[number]) if counts[number] else None,
            accuracy=wilson(int(hits[number]), int(counts[number])) if counts[number] else None,
        )
        for number in range(BINS)
    )


def _notes(absent: list[str], all_right: bool) -> tuple[str, ...]:
    said = []
    if all_right:
        said.append("every answer is right, so figures that are averages over classes have no interval to show")
    if absent:
        shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        verbs = ("does", "counts") if len(absent) == 1 else ("do", "count")
        said.append(f"{shown} {verbs[0]} not occur here and {verbs[1]} in no average over classes")
    return tuple(said)


def _classes_of(shares: np.ndarray) -> np.ndarray:
    """The most probable class (N,) of shares (N, K). Raises ValueError where they are none."""
    if not (shares.min(initial=0.0) >= 0 and np.abs(shares.sum(axis=1) - 1).max(initial=0.0) <= 1e-3):
        raise ValueError("shares must be in [0, 1] and each row must sum to 1")
    return np.asarray(shares.argmax(axis=1))


def _checked(probabilities: np.ndarray, targets: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    probabilities, targets = np.asarray(probabilities), np.asarray(targets)
    if probabilities.ndim != 2 or probabilities.shape[1] != num_classes or targets.shape != (len(probabilities),):
        raise ValueError(f"probabilities {probabilities.shape}, targets {targets.shape}, {num_classes} class names")
    require(len(targets) > 0, "there is nothing to evaluate")
    if targets.dtype.kind not in "iu" or targets.min() < 0 or targets.max() >= num_classes:
        raise ValueError(f"targets must be whole numbers in [0, {num_classes})")
    sums = probabilities.sum(axis=1, dtype=np.float64)
    # `not <=` instead of `>`: NaN is refused, too
    if not (probabilities.min() >= 0 and np.abs(sums - 1).max() <= 1e-3):
        raise ValueError("probabilities must be in [0, 1] and each row must sum to 1")
    return probabilities, targets.astype(np.int64)
