"""Everything that is said of answers to "which of these labels has the picture?", each figure with its 95 % interval.

Average precision is the area under precision over recall, in steps (Salton and McGill 1983; scikit-learn's
`average_precision_score`): AP = sum over thresholds n of (R_n - R_(n-1)) P_n, equal probabilities being one threshold.
Shares of pictures have Wilson's interval, all else the percentile interval of 1,000 bootstrap resamples of pictures
(whose labels stay together), moved for figures that few pictures bias. Legend: N pictures, K labels, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from striate.errors import InputError, require
from striate.evaluation import scores
from striate.evaluation.bootstrap import RESAMPLES, mean_of_known, resampled_figures
from striate.evaluation.evaluation import Bin, bins_of
from striate.evaluation.figure import Figure, plain, read_figure, wilson

THRESHOLD = 0.5  # a label is answered where its probability is above


@dataclass(frozen=True, kw_only=True)
class LabelFigures:
    """One label: `count` pictures have it, `predicted` were answered to have it.

    None: `average_precision` where no picture has it or every one (any order is right there), `recall` where none has
    it, `precision` where it was never answered, `f1` where neither.
    """

    name: str
    count: int
    predicted: int
    average_precision: Figure | None
    precision: Figure | None
    recall: Figure | None
    f1: Figure | None
    accuracy: Figure


@dataclass(frozen=True, kw_only=True)
class LabelsEvaluation:
    """Figures of N pictures. `macro_f1` is a mean over the labels that some picture has, `mean_average_precision` over
    those that some has and some lacks.

    `micro_f1` counts all answers alike; `label_accuracy` is the share of the N times K answers that are right,
    `usual_accuracy` what always answering the more frequent of yes and no would reach here; `all_right` the share of
    pictures without a wrong label; `log_loss` the mean binary cross-entropy in nats. `bins` are of the N times K
    answers, by the probability of what was answered. `notes` are sentences on what could not be said.
    """

    n: int
    class_names: tuple[str, ...]
    mean_average_precision: Figure | None
    micro_f1: Figure | None
    macro_f1: Figure | None
    label_accuracy: Figure
    all_right: Figure
    log_loss: Figure
    usual_accuracy: float
    by_label: tuple[LabelFigures, ...]
    bins: tuple[Bin, ...]
    notes: tuple[str, ...] = ()

    def figures(self) -> dict[str, Figure]:
        """The figures of the whole split that there are, by name, in the order of a table."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Figure)}

    def to_json(self) -> dict[str, Any]:
        """Plain values for `metrics.json`; None where there is no figure."""
        return {"task": "multilabel", **plain(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LabelsEvaluation:
        """What `to_json` wrote. Raises InputError where it is none."""
        try:
            known = {field.name: values[field.name] for field in fields(cls)}
            for name in (*_WHOLE, *_PERHAPS):
                known[name] = read_figure(known[name])
            known["usual_accuracy"] = float(known["usual_accuracy"])
            known["by_label"] = tuple(
                LabelFigures(**{**row, **{name: read_figure(row[name]) for name in _BY_LABEL}})
                for row in known["by_label"]
            )
            known["bins"] = tuple(Bin(**{**row, "accuracy": read_figure(row["accuracy"])}) for row in known["bins"])
            known["class_names"] = tuple(str(name) for name in known["class_names"])
            known["notes"] = tuple(str(note) for note in known["notes"])
            require(all(known[name] is not None for name in _WHOLE), "the evaluation lacks figures")
            require(len(known["by_label"]) == len(known["class_names"]), "the evaluation lacks labels")
            return cls(**known)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"the evaluation cannot be read: {error!r}") from error


BIASED = ("mean_average_precision", "macro_f1", "average_precision", "f1")  # by few pictures
_WHOLE = ("label_accuracy", "all_right", "log_loss")
_PERHAPS = ("mean_average_precision", "micro_f1", "macro_f1")
_BY_LABEL = ("average_precision", "precision", "recall", "f1", "accuracy")


def evaluate_labels(
    probabilities: np.ndarray,
    targets: np.ndarray,
    class_names: Sequence[str],
    seed: int = 0,
    resample_count: int = RESAMPLES,
) -> LabelsEvaluation:
    """All figures of `probabilities` (N, K) in [0, 1] for `targets` (N, K) of 0 and 1.

    `seed` draws the `resample_count` resamples. Raises InputError where there is no picture, ValueError where the
    arrays are not as said.
    """
    probabilities, has = _checked(probabilities, targets, len(class_names))
    n, number = has.shape
    said = probabilities > THRESHOLD
    right = said == has
    counts, predicted, hits = has.sum(axis=0), said.sum(axis=0), (said & has).sum(axis=0)
    found = resampled_figures(_Statistics(probabilities, has, said).of, n, seed, resample_count, BIASED)

    def figure(name: str) -> Figure:
        (value,) = found[name]
        if value is None:
            raise ValueError(f"{name} is undefined")
        return value

    by_label = tuple(
        LabelFigures(
            name=name,
            count=int(counts[k]),
            predicted=int(predicted[k]),
            average_precision=found["average_precision"][k],
            precision=wilson(int(hits[k]), int(predicted[k])) if predicted[k] else None,
            recall=wilson(int(hits[k]), int(counts[k])) if counts[k] else None,
            f1=found["f1"][k],
            accuracy=wilson(int(right[:, k].sum()), n),
        )
        for k, name in enumerate(class_names)
    )
    return LabelsEvaluation(
        n=n,
        class_names=tuple(class_names),
        mean_average_precision=found["mean_average_precision"][0],
        micro_f1=found["micro_f1"][0],
        macro_f1=found["macro_f1"][0],
        label_accuracy=figure("label_accuracy"),
        all_right=wilson(int(right.all(axis=1).sum()), n),
        log_loss=figure("log_loss"),
        usual_accuracy=float(np.maximum(counts, n - counts).sum() / (n * number)),
        by_label=by_label,
        bins=bins_of(np.where(said, probabilities, 1 - probabilities).ravel(), right.ravel()),
        notes=_notes(class_names, counts, n, bool(right.all())),
    )


def average_precisions(probabilities: np.ndarray, has: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision (R,) of one label: probabilities (N,), has (N,) bool, how often each row counts (R, N).

    NaN where no row that counts has it.
    """
    order = np.argsort(-probabilities, kind="stable")
    ordered, positive = probabilities[order], has[order]
    # Rows of equal probability are one threshold; only thresholds that find something add to the area. A segment
    # reaches from behind the last such threshold to the end of the next.
    last = np.concatenate([ordered[1:] != ordered[:-1], [True]])
    found = np.cumsum(positive)[last]  # positives up to each threshold
    ends = np.flatnonzero(last)[np.diff(found, prepend=0) > 0] + 1
    if not len(ends):
        return np.full(len(weights), np.nan)
    starts = np.concatenate([[0], ends[:-1]])
    used = weights[:, order[: ends[-1]]]
    all_rows = np.cumsum(np.add.reduceat(used, starts, axis=1), axis=1)
    own_rows = np.add.reduceat(used * positive[: ends[-1]], starts, axis=1)
    hits = np.cumsum(own_rows, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(all_rows > 0, hits / all_rows, 0.0)
        return np.asarray((own_rows * precision).sum(axis=1) / hits[:, -1])


class _Statistics:
    """Everything that is resampled, from how often each picture counts."""

    def __init__(self, probabilities: np.ndarray, has: np.ndarray, said: np.ndarray) -> None:
        self.probabilities, self.has = probabilities, has
        self.present = has.any(axis=0)
        self.hits, self.said, self.counts = ((said & has), said, has)
        self.right = (said == has).mean(axis=1)
        own = np.where(has, probabilities, 1 - probabilities).astype(np.float64)
        self.losses = -np.log(np.maximum(own, scores.SMALLEST_PROBABILITY)).mean(axis=1)

    def of(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """(N, R) -> by name (R, 1), or (R, K) by label."""
        lines = np.ascontiguousarray(weights.T)  # (R, N)
        total = lines.sum(axis=1)
        hits, said, counts = (lines @ one for one in (self.hits, self.said, self.counts))  # (R, K)
        _, _, f1 = scores.precision_recall_f1(hits, said, counts)
        _, _, micro = scores.precision_recall_f1(hits.sum(axis=1), said.sum(axis=1), counts.sum(axis=1))
        areas = np.stack(
            [average_precisions(one, has, lines) for one, has in zip(self.probabilities.T, self.has.T, strict=True)],
            axis=1,
        )
        areas = np.where(counts < total[:, None], areas, np.nan)  # any order is right where all have it
        whole = {
            "mean_average_precision": mean_of_known(areas.T[self.present]),
            "micro_f1": micro,
            "macro_f1": mean_of_known(f1.T[self.present]),
            "label_accuracy": lines @ self.right / total,
            "log_loss": lines @ self.losses / total,
        }
        return {name: values[:, None] for name, values in whole.items()} | {"f1": f1, "average_precision": areas}


def _notes(names: Sequence[str], counts: np.ndarray, n: int, all_right: bool) -> tuple[str, ...]:
    said = []
    if all_right:
        said.append("every answer is right, so figures that are averages have no interval to show")
    for number, whose, what in (
        (0, "nothing here has", "means over labels leave {it} out"),
        (n, "everything here has", "any order is right for {it}, and the mean average precision leaves {it} out"),
    ):
        those = [name for name, count in zip(names, counts, strict=True) if count == number]
        if those:
            shown = ", ".join(those[:5]) + (f" and {len(those) - 5} more" if len(those) > 5 else "")
            said.append(f"{whose} {shown}: {what.format(it='it' if len(those) == 1 else 'them')}")
    return tuple(said)


def _checked(probabilities: np.ndarray, targets: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    probabilities, targets = np.asarray(probabilities), np.asarray(targets)
    if probabilities.ndim != 2 or probabilities.shape[1] != number or targets.shape != probabilities.shape:
        raise ValueError(f"probabilities {probabilities.shape}, targets {targets.shape}, {number} names of labels")
    require(len(targets) > 0, "there is nothing to evaluate")
    if not np.isin(targets, (0, 1)).all():
        raise ValueError("targets must be 0 or 1")
    if not (probabilities.min() >= 0 and probabilities.max() <= 1):  # NaN is refused, too
        raise ValueError("probabilities must be in [0, 1]")
    return probabilities, targets.astype(bool)
