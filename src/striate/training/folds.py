"""Which rows are held back when, and whether one way of answering is better than another on the same rows."""

from __future__ import annotations

import math

import numpy as np

from striate.data.stratified import stratified


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


def draw_label_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Which fold holds each row back, (N,): 0..F-1, of labels (N, K), 0 or 1, each spread evenly; -1 for a single row.

    F is at most the number of rows.
    """
    folds = min(folds, len(labels))
    if folds < 2:
        return np.full(len(labels), -1)
    position = np.random.default_rng(seed).random(len(labels))
    return stratified(labels, position, [1 / folds] * folds)


def paired_difference(losses: np.ndarray, other_losses: np.ndarray) -> tuple[float, float]:
    """The mean of `losses - other_losses` over the rows where both are known, and its standard error (inf below 2)."""
    differences = losses - other_losses
    differences = differences[~np.isnan(differences)]
    if len(differences) < 2:
        return (float(differences.mean()) if len(differences) else 0.0), math.inf
    return float(differences.mean()), float(differences.std(ddof=1) / math.sqrt(len(differences)))
