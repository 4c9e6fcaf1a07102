"""A linear head on the features of a pretrained network that stays as it is: what to do with few pictures.

features (N, D), targets (N,) -> a `FittedHead`, whose module maps features (B, D) to scores (B, K).

Idea. With 5 to 100 pictures a class the 3.4 million weights of the network cannot be estimated, a linear map of its
features can. Three steps, compared by log loss on five small sets (photographs, street scenes, CIFAR, clothes):

1. `FeatureNormalizer`: a smoothed signed root of each feature, then length 1, centred, and one scale for all. The root
   (Perronnin et al. 2010, "Improving the Fisher kernel", section 3.2) keeps a few large values from ruling the answer;
   length 1 takes out contrast; one common scale lets the same strengths of the penalty serve every set.
2. Multinomial logistic regression with an L2 penalty on the weights (not the offsets), by L-BFGS. Where there are fewer
   rows than features it is solved in the span of the rows, which loses nothing: any part of a weight orthogonal to
   every row costs penalty and changes no score (the representer theorem).
3. One temperature (Guo et al. 2017, arXiv:1706.04599) on the scores, fitted on out-of-fold scores. So the penalty is
   free to be strong, where few rows want it, without answers that are too timid. One imagined row with every class
   equally likely is added, so that rows which happen to be told apart perfectly do not make the temperature infinite
   (the thought of Platt 1999, section 2.2).

The strength of the penalty has the lowest cross-validated log loss *after* its temperature: strength and temperature
are two numbers for the whole head, so the out-of-fold probabilities are only slightly too hopeful. The head is then
fitted on all rows. The seed draws the folds and nothing else.

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

# N rows, D features, R dimensions of the space that the rows span, K classes, F folds

# Penalties, strong to weak, for rows whose mean squared length is 1, in half decades. Between 3e-2 and 1e-4 were chosen
# on most sets; where classes are nearly told apart the log loss is flat towards the weak end.
STRENGTHS = (10**-1.5, 1e-2, 10**-2.5, 1e-3, 10**-3.5, 1e-4, 10**-4.5, 1e-5)
# Where nothing can be held back: the strength and temperature that 2 to 5 pictures a class came to most often.
FALLBACK_STRENGTH = 1e-3
FALLBACK_SHARPNESS = 2.0
# Between the root (0) and the plain feature (large): the lowest sum of cross-validated log losses over five small sets
# of photographs, street scenes and drawings, 2.106, against 2.113 for the root itself and 2.149 for no root.
# Multiply-adds that a fit of everything may take: about a minute of two shared processor cores.
WORK_BOUND = 2e12
STEPS = 100
USUAL_STEPS = 40  # what L-BFGS takes on average, for the estimate


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One strength of the penalty, cross-validated: log loss in nats after its temperature, accuracy in 0-1."""

    strength: float
    sharpness: float
    log_loss: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class FittedHead:
    """A head fitted on all rows, and what cross-validation says of it.

    `weight` (K, D) and `bias` (K,) apply to what `normalizer` gives; the temperature is already in them.
    `candidates` are empty where no class had two rows. `held_out_probabilities` (N, K) are out of fold, NaN in rows
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
    held_out_probabilities: np.ndarray
    log_losses: np.ndarray
    log_loss: float
    accuracy: float

    def linear(self) -> nn.Linear:
        """The linear layer that follows `normalizer`."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            layer.bias.copy_(torch.from_numpy(self.bias))
        return layer

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
            f"{len(self.held_out_probabilities):,} pictures"
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
) -> FittedHead:
    """Choose the penalty and the temperature by cross-validated log loss, then fit on all rows.

    features (N, D), finite; targets (N,), whole numbers in 0..K-1; row_weights (N,), at least 0, default 1. Rows of one
    group (N,) are held back together: give the views of one picture the same group. Some classes may have no row.
    Raises InputError where the arrays do not fit each other.
    """
    features = np.ascontiguousarray(features, dtype=np.float32)
    targets = np.asarray(targets, dtype=np.int64)
    weights = np.ones(len(targets)) if row_weights is None else np.asarray(row_weights, dtype=np.float64)
    _check(features, targets, num_classes, weights, folds, groups)

    normalizer = FeatureNormalizer(features.shape[1]).fit(torch.from_numpy(features), torch.from_numpy(weights))
    with torch.no_grad():
        rows = normalizer(torch.from_numpy(features))
    basis = _row_basis(rows)
    problem = _Problem(
        rows=rows if basis is None else rows @ basis,
        targets=torch.from_numpy(targets),
        weights=torch.from_numpy(weights / weights.mean()).float(),
        num_classes=num_classes,
    )

    held_back = draw_folds(targets, folds, seed, groups)
    folds = int(held_back.max()) + 1
    plan = _plan(problem.rows.numel() * num_classes, folds, strengths)
    candidates: tuple[Candidate, ...] = ()
    held_out = np.full((len(targets), num_classes), np.nan)
    strength, sharpness = FALLBACK_STRENGTH, FALLBACK_SHARPNESS
    start = None
    if folds > 0:
        candidates, scores, solutions = _cross_validate(problem, held_back, plan)
        chosen = min(range(len(candidates)), key=lambda index: candidates[index].log_loss)
        strength, sharpness, held_out = candidates[chosen].strength, candidates[chosen].sharpness, scores[chosen]
        for fold in range(plan.folds_searched, plan.folds):  # the other folds with the chosen strength only
            solution = _solve(problem, held_back != fold, strength, plan.steps, None)
            held_out[held_back == fold] = _scores(problem, held_back == fold, solution)
        if plan.folds > plan.folds_searched:
            sharpness = _fit_sharpness(held_out, targets, weights)[0]
        held_out = _softmax(held_out * sharpness)
        # Cut short, the last fit must start where a fold ended; otherwise it must not depend on how the folds fell.
        start = solutions[chosen] if plan.steps < STEPS else None

    weight, bias = _solve(problem, np.ones(len(targets), dtype=bool), strength, plan.steps, start)
    if basis is not None:
        weight = basis @ weight
    known = ~np.isnan(held_out[:, 0])
    losses = np.full(len(targets), np.nan)
    losses[known] = -np.log(np.maximum(held_out[known, targets[known]], 1e-12))
    right = held_out[known].argmax(axis=1) == targets[known] if known.any() else np.zeros(0)
    return FittedHead(
        weight=(weight.T * sharpness).contiguous().numpy(),
        bias=(bias * sharpness).numpy(),
        normalizer=normalizer,
        strength=strength,
        sharpness=sharpness,
        candidates=candidates,
        folds=plan.folds,
        folds_searched=plan.folds_searched,
        held_out_probabilities=held_out,
        log_losses=losses,
        log_loss=float(np.average(losses[known], weights=weights[known])) if known.any() else math.nan,
        accuracy=float(np.average(right, weights=weights[known])) if known.any() else math.nan,
    )


def draw_folds(targets: np.ndarray, folds: int, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Which fold holds each row back, (N,): 0..F-1, or -1 for a row that is always in training.

    Each class is spread evenly. F is at most the number of groups in the smallest class that has two or more, so that
    every class stays in training in every fold; a class with a single group is never held back.
    """
    targets = np.asarray(targets)
    groups = np.arange(len(targets)) if groups is None else np.unique(groups, return_inverse=True)[1]
    # A group belongs to the class of its first row.
    unique_groups, first_rows = np.unique(groups, return_index=True)
    group_classes = targets[first_rows]
    sizes = np.bincount(group_classes)
    several = sizes[sizes >= 2]
    if several.size == 0:
        return np.full(len(targets), -1)
    folds = min(folds, max(int(several.min()), 2))
    generator = np.random.default_rng(seed)
    fold_of_group = np.full(len(unique_groups), -1)
    dealt = 0  # goes on from class to class, so that the folds are of equal size although classes are small
    for label in np.flatnonzero(sizes >= 2):
        members = generator.permutation(np.flatnonzero(group_classes == label))
        fold_of_group[members] = (dealt + np.arange(len(members))) % folds
        dealt += len(members)
    return fold_of_group[np.searchsorted(unique_groups, groups)]


def paired_difference(losses: np.ndarray, other_losses: np.ndarray) -> tuple[float, float]:
    """The mean of `losses - other_losses` over the rows where both are known, and its standard error (inf below 2)."""
    differences = losses - other_losses
    differences = differences[~np.isnan(differences)]
    if len(differences) < 2:
        return (float(differences.mean()) if len(differences) else 0.0), math.inf
    return float(differences.mean()), float(differences.std(ddof=1) / math.sqrt(len(differences)))


@dataclass(frozen=True)
class _Problem:
    """Rows (N, R), targets (N,), weights (N,) with mean 1."""

    rows: Tensor
    targets: Tensor
    weights: Tensor
    num_classes: int


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
) -> None:
    require(
        features.ndim == 2 and targets.shape == (len(features),) and len(features) > 0,
        f"features must be (rows, numbers) with one target a row, got {features.shape} and {targets.shape}",
    )
    require(bool(np.isfinite(features).all()), "features must be finite numbers; the network gave NaN or infinity")
    require(
        bool(targets.min() >= 0) and bool(targets.max() < num_classes),
        f"targets must lie in 0..{num_classes - 1}, got {targets.min()}..{targets.max()}",
    )
    require(
        weights.shape == targets.shape and bool((weights >= 0).all()) and bool(weights.sum() > 0),
        "row weights must be one number a row, at least 0 and not all 0",
    )
    require(folds >= 2, f"folds must be at least 2, got {folds}")
    require(groups is None or len(groups) == len(targets), "groups must be one value a row")


def _row_basis(rows: Tensor) -> Tensor | None:
    """An orthonormal basis (D, R) of the span of the rows (N, D) where that is smaller than D, otherwise None."""
    if rows.shape[0] >= rows.shape[1]:
        return None
    _, lengths, directions = torch.linalg.svd(rows.double(), full_matrices=False)
    kept = lengths > max(float(lengths[0]) * 1e-7, 1e-12)
    basis: Tensor = directions[kept].T.float().contiguous()
    return basis


def _cross_validate(
    problem: _Problem, held_back: np.ndarray, plan: _Plan
) -> tuple[tuple[Candidate, ...], list[np.ndarray], list[tuple[Tensor, Tensor]]]:
    """For each strength its candidate, its out-of-fold scores (N, K) and the last fold's weight and bias."""
    targets, weights = problem.targets.numpy(), problem.weights.numpy().astype(np.float64)
    scores = [np.full((len(targets), problem.num_classes), np.nan) for _ in plan.strengths]
    solutions: list[tuple[Tensor, Tensor]] = []
    for fold in range(plan.folds_searched):
        solution, solutions = None, []  # strong to weak, each starting where the one before ended
        for index, strength in enumerate(plan.strengths):
            solution = _solve(problem, held_back != fold, strength, plan.steps, solution)
            scores[index][held_back == fold] = _scores(problem, held_back == fold, solution)
            solutions.append(solution)
    candidates = []
    for strength, held_out in zip(plan.strengths, scores, strict=True):
        known = ~np.isnan(held_out[:, 0])
        sharpness, log_loss = _fit_sharpness(held_out, targets, weights)
        right = held_out[known].argmax(axis=1) == targets[known]
        candidates.append(
            Candidate(
                strength=float(strength),
                sharpness=sharpness,
                log_loss=log_loss,
                accuracy=float(np.average(right, weights=weights[known])),
            )
        )
    return tuple(candidates), scores, solutions


def _scores(problem: _Problem, where: np.ndarray, solution: tuple[Tensor, Tensor]) -> np.ndarray:
    """Scores (n, K) of the rows where `where` (N,) is true."""
    weight, bias = solution
    scores: np.ndarray = (problem.rows[torch.from_numpy(where)] @ weight + bias).double().numpy()
    return scores


def _solve(
    problem: _Problem, where: np.ndarray, strength: float, steps: int, start: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Weight (R, K) and bias (K,) with the least weighted mean cross-entropy + strength / 2 * |weight|^2."""
    # SciPy's, because torch's first optimizer imports torch's compiler, which takes longer than most of these fits.
    from scipy.optimize import minimize

    chosen = torch.from_numpy(where)
    rows, targets, weights = problem.rows[chosen], problem.targets[chosen], problem.weights[chosen]
    weights = (weights / weights.sum().clamp_min(1e-12))[:, None]
    shape = (rows.shape[1] + 1, problem.num_classes)
    begin = torch.zeros(shape) if start is None else torch.cat([start[0], start[1][None]])

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        both = torch.from_numpy(flat.reshape(shape)).float()
        weight, bias = both[:-1], both[-1]
        logarithms = (rows @ weight + bias).log_softmax(dim=1)
        loss = -(weights * logarithms.gather(1, targets[:, None])).sum(dtype=torch.float64)
        slopes = logarithms.exp_()
        slopes.scatter_add_(1, targets[:, None], torch.full_like(weights, -1.0))
        slopes *= weights
        gradient = torch.cat([rows.T @ slopes + strength * weight, slopes.sum(dim=0)[None]])
        loss += strength / 2 * weight.square().sum(dtype=torch.float64)
        return float(loss), gradient.double().numpy().reshape(-1)

    with torch.no_grad():
        found = minimize(
            objective,
            begin.double().numpy().reshape(-1),
            method="L-BFGS-B",
            jac=True,
            options={"maxiter": steps, "maxfun": 2 * steps, "maxcor": 30, "gtol": 1e-5, "ftol": 1e-8},
        )
    solution = torch.from_numpy(found.x.reshape(shape)).float()
    return solution[:-1].clone(), solution[-1].clone()


def _fit_sharpness(scores: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """What to multiply the scores (N, K) by (1 / temperature), and the log loss then, with one imagined row.

    The imagined row says that every class is equally likely at each place where a row lies: with n rows each target is
    n / (n + 1) the right class and 1 / (n + 1) spread over all classes.
    """
    from scipy.optimize import minimize_scalar

    known = ~np.isnan(scores[:, 0])
    scores, targets, weights = scores[known], targets[known], weights[known]
    weights = weights / max(weights.sum(), 1e-12)
    spread = 1 / (len(targets) + 1)

    def log_loss(log_sharpness: float) -> float:
        logarithms = _log_softmax(scores * math.exp(log_sharpness))
        right = logarithms[np.arange(len(targets)), targets]
        return float(-(weights @ ((1 - spread) * right + spread * logarithms.mean(axis=1))))

    found = minimize_scalar(log_loss, bounds=(-4.0, 7.0), method="bounded", options={"xatol": 1e-3})
    return math.exp(found.x), float(found.fun)


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(axis=1, keepdims=True)
    logarithms: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logarithms


def _softmax(scores: np.ndarray) -> np.ndarray:
    probabilities: np.ndarray = np.exp(_log_softmax(scores))
    return probabilities
