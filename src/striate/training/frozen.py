"""A linear head on the features of a pretrained network that stays as it is: what to do with few pictures.

features (N, D), targets (N,) or (N, K) -> a `FittedHead`, whose module maps features (B, D) to scores (B, K).

Idea. With 5 to 100 pictures a class the 3.4 million weights of the network cannot be estimated, a linear map of its
features can. Three steps, compared by log loss on five small sets (photographs, street scenes, CIFAR, clothes):

1. `FeatureNormalizer`: a smoothed signed root of each feature, then length 1, centred, and one scale for all. The root
   (Perronnin et al. 2010, "Improving the Fisher kernel", section 3.2) keeps a few large values from ruling the answer;
   length 1 takes out contrast; one common scale lets the same strengths of the penalty serve every set.
2. Multinomial logistic regression (of labels one for each) with an L2 penalty on the weights (not the offsets), by
   L-BFGS. Where there are fewer rows than features it is solved in the span of the rows, which loses nothing: any part
   of a weight orthogonal to every row costs penalty and changes no score (the representer theorem).
3. One temperature (Guo et al. 2017, arXiv:1706.04599) on the scores, fitted on out-of-fold scores. So the penalty is
   free to be strong, where few rows want it, without answers that are too timid. One imagined row with every class
   equally likely is added, so that rows which happen to be told apart perfectly do not make the temperature infinite
   (the thought of Platt 1999, section 2.2).

The strength of the penalty has the lowest cross-validated log loss *after* its temperature (of labels the mean over
them: one strength for all, since a rare label cannot choose its own): strength and temperature are two numbers for the
whole head, so the out-of-fold probabilities are only slightly too hopeful. The head is then fitted on all rows. The
seed draws the folds and nothing else.

Limits. A class with one picture cannot be held back: its row stays in training and has no out-of-fold probability
(NaN), and if no class has two, strength and temperature take fixed values. The work is rows x features x classes for
each step; where it is large, fewer folds and strengths are tried, in three levels (`_plan`), and `FittedHead` says how
many. The temperature is that of heads fitted on (folds - 1) / folds of the rows; the final head sees more, so it is on
the timid side, mostly with fewer than 5 pictures a class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import require
from striate.networks.feature_normalizer import FeatureNormalizer
from striate.networks.heads import linear_layer
from striate.training.folds import draw_folds, draw_label_folds
from striate.training.logistic import (
    Problem,
    answers_of_scores,
    fit_sharpness,
    log_losses_of,
    row_basis,
    scores_of,
    shares_right,
    solve,
)

# N rows, D features, R dimensions of the space that the rows span, K classes, F folds

# Penalties, strong to weak, for rows whose mean squared length is 1, in half decades. Between 3e-2 and 1e-4 were chosen
# on most sets; where classes are nearly told apart the log loss is flat towards the weak end.
STRENGTHS = (10**-1.5, 1e-2, 10**-2.5, 1e-3, 10**-3.5, 1e-4, 10**-4.5, 1e-5)
# Where nothing can be held back: the strength and temperature that 2 to 5 pictures a class came to most often.
FALLBACK_STRENGTH = 1e-3
FALLBACK_SHARPNESS = 2.0
# Multiply-adds that a fit of everything may take: about a minute of two shared processor cores.
WORK_BOUND = 2e12
STEPS = 100
USUAL_STEPS = 40  # what L-BFGS takes on average, for the estimate


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One strength of the penalty, cross-validated: log loss in nats after its temperature, accuracy in 0-1 (of labels
    the mean over all of them)."""

    strength: float
    sharpness: float
    log_loss: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class FittedHead:
    """A head fitted on all rows, and what cross-validation says of it.

    `weight` (K, D) and `bias` (K,) apply to what `normalizer` gives; the temperature is already in them.
    `candidates` are empty where no class had two rows. `held_out` (N, K) are out of fold, NaN in rows
    that no fold held back. `log_loss` and `accuracy` (and `log_losses` (N,), for paired comparisons) are of those.
    """

    weight: np.ndarray
    bias: np.ndarray
    normalizer: FeatureNormalizer
    strength: float
    sharpness: float
    candidates: tuple[Candidate, ...]
    folds: int
    folds_searched: int
    held_out: np.ndarray
    log_losses: np.ndarray
    log_loss: float
    accuracy: float

    def linear(self) -> nn.Linear:
        """The linear layer that follows `normalizer`."""
        return linear_layer(self.weight, self.bias)

    def describe(self) -> str:
        """One line for the log."""
        if not self.candidates:
            return "head: logistic regression; every class has one picture, so nothing could be held back to check it"
        parts = "a part of the pictures that was held back"
        if self.folds > 1:
            parts = f"{self.folds} parts of the pictures, each held back in turn"
        return (
            f"head: logistic regression, the best of {len(self.candidates)} settings on {parts} "
            f"({self.accuracy:.1%} right, log loss {self.log_loss:.3f}), then fitted on all "
            f"{len(self.held_out):,} pictures"
        )


def fit_head(
    features: np.ndarray,
    targets: np.ndarray,
    num_classes: int,
    *,
    seed: int,
    folds: int = 5,
    row_weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    strengths: Sequence[float] = STRENGTHS,
    labels: bool = False,
) -> FittedHead:
    """Choose the penalty and the temperature by cross-validated log loss, then fit on all rows.

    features (N, D), finite; targets (N,), whole numbers in 0..K-1, or (N, K), shares of classes that sum to 1 or, with
    `labels`, 0 and 1; row_weights (N,), at least 0, default 1. Rows of one group (N,) are held back together: give the
    views of one picture the same group (not with `labels`). Some classes may have no row. Raises InputError where the
    arrays do not fit each other.
    """
    features = np.ascontiguousarray(features, dtype=np.float32)
    targets = np.asarray(targets, dtype=np.int64 if np.ndim(targets) == 1 else np.float32)
    weights = np.ones(len(targets)) if row_weights is None else np.asarray(row_weights, dtype=np.float64)
    _check(features, targets, num_classes, weights, folds, groups, labels)

    normalizer = FeatureNormalizer(features.shape[1]).fit(torch.from_numpy(features), torch.from_numpy(weights))
    with torch.no_grad():
        rows = normalizer(torch.from_numpy(features))
    basis = row_basis(rows)
    problem = Problem(
        rows=rows if basis is None else rows @ basis,
        targets=torch.from_numpy(targets),
        weights=torch.from_numpy(weights / weights.mean()).float(),
        num_classes=num_classes,
        labels=labels,
    )

    if labels:
        held_back = draw_label_folds(targets, folds, seed)
    else:
        held_back = draw_folds(targets if targets.ndim == 1 else targets.argmax(axis=1), folds, seed, groups)
    folds = int(held_back.max()) + 1
    plan = _plan(problem.rows.numel() * num_classes, folds, strengths)
    candidates: tuple[Candidate, ...] = ()
    held_out = np.full((len(targets), num_classes), np.nan)
    strength, sharpness = FALLBACK_STRENGTH, FALLBACK_SHARPNESS
    right = np.zeros(len(targets))
    start = None
    if folds > 0:
        candidates, scores, solutions = _cross_validate(problem, held_back, plan)
        chosen = min(range(len(candidates)), key=lambda index: candidates[index].log_loss)
        strength, sharpness, held_out = candidates[chosen].strength, candidates[chosen].sharpness, scores[chosen]
        for fold in range(plan.folds_searched, plan.folds):  # the other folds with the chosen strength only
            solution = solve(problem, held_back != fold, strength, plan.steps, None)
            held_out[held_back == fold] = scores_of(problem, held_back == fold, solution)
        if plan.folds > plan.folds_searched:
            sharpness = fit_sharpness(held_out, targets, weights, labels=labels)[0]
        right = shares_right(held_out, targets, labels=labels)
        held_out = answers_of_scores(held_out * sharpness, labels=labels)
        # Cut short, the last fit must start where a fold ended; otherwise it must not depend on how the folds fell.
        start = solutions[chosen] if plan.steps < STEPS else None

    weight, bias = solve(problem, np.ones(len(targets), dtype=bool), strength, plan.steps, start)
    if basis is not None:
        weight = basis @ weight
    known = ~np.isnan(held_out[:, 0])
    losses = np.full(len(targets), np.nan)
    losses[known] = log_losses_of(held_out[known], targets[known], labels=labels)
    return FittedHead(
        weight=(weight.T * sharpness).contiguous().numpy(),
        bias=(bias * sharpness).numpy(),
        normalizer=normalizer,
        strength=strength,
        sharpness=sharpness,
        candidates=candidates,
        folds=plan.folds,
        folds_searched=plan.folds_searched,
        held_out=held_out,
        log_losses=losses,
        log_loss=float(np.average(losses[known], weights=weights[known])) if known.any() else math.nan,
        accuracy=float(np.average(right[known], weights=weights[known])) if known.any() else math.nan,
    )


@dataclass(frozen=True)
class _Plan:
    """How many folds are held back, how many of them choose the strength, among which, in how many steps a fit."""

    folds: int
    folds_searched: int
    strengths: tuple[float, ...]
    steps: int


def _plan(work: int, folds: int, strengths: Sequence[float]) -> _Plan:
    """What is affordable where one pass over the rows takes `work` multiply-adds."""
    ordered = tuple(sorted(strengths, reverse=True))
    affordable = WORK_BOUND / max(2 * work * USUAL_STEPS, 1)  # fits: a step is one pass forward, one back
    if affordable >= folds * len(ordered) + 1:
        return _Plan(folds, folds, ordered, STEPS)
    if affordable >= len(ordered) + folds:
        return _Plan(folds, min(folds, 1), ordered, STEPS)
    # Many rows want a weak penalty, and many rows held back once say enough.
    few = ordered[-5::2] if affordable >= 4 else ordered[-3::2]
    steps = int(min(max(affordable * USUAL_STEPS / (len(few) + 1), 15), USUAL_STEPS))
    return _Plan(min(folds, 1), min(folds, 1), few, steps)


def _check(
    features: np.ndarray,
    targets: np.ndarray,
    num_classes: int,
    weights: np.ndarray,
    folds: int,
    groups: np.ndarray | None,
    labels: bool,
) -> None:
    fitting = targets.shape == (len(features),) or targets.shape == (len(features), num_classes)
    require(
        features.ndim == 2 and fitting and len(features) > 0,
        f"features must be (rows, numbers) with one target a row, got {features.shape} and {targets.shape}",
    )
    require(bool(np.isfinite(features).all()), "features must be finite numbers; the network gave NaN or infinity")
    highest = num_classes - 1 if targets.ndim == 1 else 1
    require(
        bool(targets.min() >= 0) and bool(targets.max() <= highest),
        f"targets must lie in 0..{highest}, got {targets.min()}..{targets.max()}",
    )
    require(not labels or (targets.ndim == 2 and groups is None), "labels must be (rows, labels), without groups")
    require(
        weights.shape == targets.shape[:1] and bool((weights >= 0).all()) and bool(weights.sum() > 0),
        "row weights must be one number a row, at least 0 and not all 0",
    )
    require(folds >= 2, f"folds must be at least 2, got {folds}")
    require(groups is None or len(groups) == len(targets), "groups must be one value a row")


def _cross_validate(
    problem: Problem, held_back: np.ndarray, plan: _Plan
) -> tuple[tuple[Candidate, ...], list[np.ndarray], list[tuple[Tensor, Tensor]]]:
    """For each strength its candidate, its out-of-fold scores (N, K) and the last fold's weight and bias."""
    targets, weights = problem.targets.numpy(), problem.weights.numpy().astype(np.float64)
    scores = [np.full((len(targets), problem.num_classes), np.nan) for _ in plan.strengths]
    solutions: list[tuple[Tensor, Tensor]] = []
    for fold in range(plan.folds_searched):
        solution, solutions = None, []  # strong to weak, each starting where the one before ended
        for index, strength in enumerate(plan.strengths):
            solution = solve(problem, held_back != fold, strength, plan.steps, solution)
            scores[index][held_back == fold] = scores_of(problem, held_back == fold, solution)
            solutions.append(solution)
    candidates = []
    for strength, held_out in zip(plan.strengths, scores, strict=True):
        known = ~np.isnan(held_out[:, 0])
        sharpness, log_loss = fit_sharpness(held_out, targets, weights, labels=problem.labels)
        right = shares_right(held_out[known], targets[known], labels=problem.labels)
        candidates.append(
            Candidate(
                strength=float(strength),
                sharpness=sharpness,
                log_loss=log_loss,
                accuracy=float(np.average(right, weights=weights[known])),
            )
        )
    return tuple(candidates), scores, solutions
