"""Multinomial logistic regression with an L2 penalty, or one for each label, and the one temperature of its scores.

Solved by L-BFGS; where there are fewer rows than features in the span of the rows, which loses nothing (see
`frozen.py`, which chooses the penalty). N rows, D features, R dimensions of the space that the rows span, K classes or
labels. Targets are classes (N,), shares of classes (N, K), or labels (N, K).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Problem:
    """Rows (N, R), targets (N,) int64 or (N, K) float32, weights (N,) with mean 1. `labels`: each output is a logistic
    regression of its own, otherwise all of them are one softmax."""

    rows: Tensor
    targets: Tensor
    weights: Tensor
    num_classes: int
    labels: bool = False


def row_basis(rows: Tensor) -> Tensor | None:
    """An orthonormal basis (D, R) of the span of the rows (N, D) where that is smaller than D, otherwise None."""
    if rows.shape[0] >= rows.shape[1]:
        return None
    _, lengths, directions = torch.linalg.svd(rows.double(), full_matrices=False)
    kept = lengths > max(float(lengths[0]) * 1e-7, 1e-12)
    basis: Tensor = directions[kept].T.float().contiguous()
    return basis


def scores_of(problem: Problem, where: np.ndarray, solution: tuple[Tensor, Tensor]) -> np.ndarray:
    """Scores (n, K) of the rows where `where` (N,) is true."""
    weight, bias = solution
    scores: np.ndarray = (problem.rows[torch.from_numpy(where)] @ weight + bias).double().numpy()
    return scores


def solve(
    problem: Problem, where: np.ndarray, strength: float, steps: int, start: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Weight (R, K) and bias (K,) with the least weighted mean cross-entropy + strength / 2 * |weight|^2.

    Of labels the cross-entropies are added up, so that each has the weights that it would have alone.
    """
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
        scores = rows @ weight + bias
        if problem.labels:
            loss = (weights * (functional.softplus(scores) - targets * scores)).sum(dtype=torch.float64)
            slopes = scores.sigmoid() - targets
        elif targets.dim() == 2:
            logarithms = scores.log_softmax(dim=1)
            loss = -(weights * targets * logarithms).sum(dtype=torch.float64)
            slopes = logarithms.exp_() - targets
        else:
            logarithms = scores.log_softmax(dim=1)
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


def fit_sharpness(
    scores: np.ndarray, targets: np.ndarray, weights: np.ndarray, *, labels: bool = False
) -> tuple[float, float]:
    """What to multiply the scores (N, K) by (1 / temperature), and the log loss then, with one imagined row.

    The imagined row says that every class is equally likely at each place where a row lies: with n rows each target is
    n / (n + 1) the right class and 1 / (n + 1) spread over all classes; of labels, over yes and no. The log loss of
    labels is the mean over them.
    """
    from scipy.optimize import minimize_scalar

    known = ~np.isnan(scores[:, 0])
    scores, targets, weights = scores[known], targets[known], weights[known]
    weights = weights / max(weights.sum(), 1e-12)
    spread = 1 / (len(targets) + 1)

    def log_loss(log_sharpness: float) -> float:
        sharp = scores * math.exp(log_sharpness)
        if labels:
            wanted = (1 - spread) * targets + spread / 2
            return float(weights @ (np.logaddexp(0, sharp) - wanted * sharp).mean(axis=1))
        logarithms = _log_softmax(sharp)
        right = (
            logarithms[np.arange(len(targets)), targets] if targets.ndim == 1 else (targets * logarithms).sum(axis=1)
        )
        return float(-(weights @ ((1 - spread) * right + spread * logarithms.mean(axis=1))))

    found = minimize_scalar(log_loss, bounds=(-4.0, 7.0), method="bounded", options={"xatol": 1e-3})
    return math.exp(found.x), float(found.fun)


def answers_of_scores(scores: np.ndarray, *, labels: bool = False) -> np.ndarray:
    """Scores (N, K) -> probabilities (N, K): of labels each for itself, of classes rows that sum to 1."""
    return np.asarray(np.exp(-np.logaddexp(0, -scores) if labels else _log_softmax(scores)))


def log_losses_of(probabilities: np.ndarray, targets: np.ndarray, *, labels: bool = False) -> np.ndarray:
    """(N,) of probabilities (N, K), in nats; of labels the mean over them."""
    logarithms = np.log(np.maximum(probabilities, 1e-12))
    if targets.ndim == 1:
        return np.asarray(-logarithms[np.arange(len(targets)), targets])
    if labels:
        others = np.log(np.maximum(1 - probabilities, 1e-12))
        return np.asarray(-(targets * logarithms + (1 - targets) * others).mean(axis=1))
    return np.asarray(-(targets * logarithms).sum(axis=1))


def shares_right(scores: np.ndarray, targets: np.ndarray, *, labels: bool = False) -> np.ndarray:
    """(N,) how much of each row's answer is right, in 0-1, by scores or probabilities of classes, scores of labels."""
    if labels:
        return np.asarray(((scores > 0) == (targets > 0.5)).mean(axis=1))
    classes = targets if targets.ndim == 1 else targets.argmax(axis=1)
    return np.asarray(scores.argmax(axis=1) == classes)


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(axis=1, keepdims=True)
    logarithms: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logarithms
