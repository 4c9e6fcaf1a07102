"""Multinomial logistic regression with an L2 penalty, and the one temperature of its scores.

Solved by L-BFGS; where there are fewer rows than features in the span of the rows, which loses nothing (see
`frozen.py`, which chooses the penalty). N rows, D features, R dimensions of the space that the rows span, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Problem:
    """Rows (N, R), targets (N,), weights (N,) with mean 1."""

    rows: Tensor
    targets: Tensor
    weights: Tensor
    num_classes: int


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


def fit_sharpness(scores: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
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


def softmax(scores: np.ndarray) -> np.ndarray:
    probabilities: np.ndarray = np.exp(_log_softmax(scores))
    return probabilities
