"""The head of numbers: scikit-learn as oracle, its cross-validation, and that of labels beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch.nn import functional

from striate.errors import InputError
from striate.training.folds import draw_label_folds
from striate.training.frozen import fit_head
from striate.training.ridge import STRENGTHS, fit_ridge


def rows(count: int, features: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features that are never negative, and two numbers of about deviation 1: one that they tell, one with noise."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(count, 3))
    mixed = np.maximum(hidden @ np.random.default_rng(9).normal(size=(3, features)) + 2, 0)
    numbers = np.stack([hidden[:, 0], hidden[:, 1] + noise * rng.normal(size=count)], axis=1)
    return mixed.astype(np.float32), numbers


def answers(head, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return head.linear()(head.normalizer(torch.from_numpy(features))).numpy()


@pytest.mark.parametrize(("count", "features"), [(40, 90), (120, 10)])
@pytest.mark.parametrize("strength", [1e-1, 1e-3])
def test_equals_scikit_learn_at_one_strength(count: int, features: int, strength: float) -> None:
    """With fewer rows than features (solved in their span) and with more; also with weights."""
    given, numbers = rows(count, features, noise=0.5)
    weights = np.random.default_rng(1).uniform(0.2, 2, count)
    for row_weights in (None, weights):
        head = fit_ridge(given, numbers, seed=0, strengths=[strength], row_weights=row_weights)
        with torch.no_grad():
            normal = head.normalizer(torch.from_numpy(given)).double().numpy()
        own = np.ones(count) if row_weights is None else row_weights
        oracle = Ridge(alpha=strength * own.sum()).fit(normal, numbers, sample_weight=own)
        assert head.weight == pytest.approx(oracle.coef_, abs=2e-4)
        assert answers(head, given) == pytest.approx(oracle.predict(normal), abs=1e-3)
        assert head.strengths == (strength, strength)


def test_each_number_has_the_strength_that_foretells_best() -> None:
    given, numbers = rows(60, 200, noise=3.0)
    numbers = numbers / numbers.std(0)
    head = fit_ridge(given, numbers, seed=0)
    assert head.strengths[1] > head.strengths[0]  # noise wants the stronger penalty
    fresh, truth = rows(500, 200, noise=3.0, seed=1)
    truth = truth / truth.std(0)
    error = np.square(answers(head, fresh) - truth).mean()
    assert head.squared_error == pytest.approx(error, rel=0.3)
    assert head.held_out.shape == numbers.shape
    assert np.isfinite(head.held_out).all()
    assert head.squared_error == pytest.approx(np.square(head.held_out - numbers).mean())
    # What was chosen is the best of the strengths, by the same folds.
    each = [np.square(fit_ridge(given, numbers, seed=0, strengths=[s]).held_out - numbers).mean(0) for s in STRENGTHS]
    assert np.square(head.held_out - numbers).mean(0) == pytest.approx(np.min(each, axis=0))
    assert "ridge regression" in head.describe()


def test_held_out_rows_were_not_seen() -> None:
    """Numbers without any relation to the features are foretold no better than by their mean."""
    rng = np.random.default_rng(0)
    head = fit_ridge(rng.random((50, 300)).astype(np.float32), rng.normal(size=(50, 1)), seed=0)
    assert head.squared_error > 0.9


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_fewest_rows(count: int) -> None:
    given, numbers = rows(count, 20, noise=0.1)
    head = fit_ridge(given, numbers, seed=0)
    assert np.isfinite(answers(head, given)).all()
    assert (head.folds == 0) is (count == 1)
    assert np.isnan(head.held_out).all() == (count == 1)
    assert head.describe()


def test_what_does_not_fit_is_refused() -> None:
    given, numbers = rows(10, 20, noise=0.1)
    for wrong in (
        lambda: fit_ridge(given[:5], numbers, seed=0),
        lambda: fit_ridge(given, numbers * np.nan, seed=0),
        lambda: fit_ridge(given + np.inf, numbers, seed=0),
        lambda: fit_ridge(given, numbers, seed=0, row_weights=np.zeros(10)),
    ):
        with pytest.raises(InputError):
            wrong()


# -- labels -------------------------------------------------------------------------------------


def labelled(count: int, features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    given, numbers = rows(count, features, noise=0.3, seed=seed)
    return given, (np.column_stack([numbers, numbers.sum(1)]) > [0.0, 0.8, -0.5]).astype(np.float32)


@pytest.mark.parametrize("features", [15, 120])
def test_labels_are_one_logistic_regression_each(features: int) -> None:
    given, labels = labelled(60, features)
    head = fit_head(given, labels, 3, seed=0, strengths=[1e-2], labels=True)
    with torch.no_grad():
        normal = head.normalizer(torch.from_numpy(given)).numpy()
    for label in range(3):
        oracle = LogisticRegression(C=1 / (1e-2 * len(given)), tol=1e-8, max_iter=5000).fit(normal, labels[:, label])
        assert head.weight[label] / head.sharpness == pytest.approx(oracle.coef_[0], abs=5e-3)
        assert head.bias[label] / head.sharpness == pytest.approx(oracle.intercept_[0], abs=5e-3)


def test_labels_are_foretold_and_calibrated() -> None:
    given, labels = labelled(80, 120)
    head = fit_head(given, labels, 3, seed=0, labels=True)
    fresh, truth = labelled(600, 120, seed=1)
    scores = torch.from_numpy(answers(head, fresh))
    loss = float(functional.binary_cross_entropy_with_logits(scores, torch.from_numpy(truth)))
    assert head.log_loss == pytest.approx(loss, rel=0.35)
    assert head.accuracy == pytest.approx(float(((scores > 0).numpy() == truth).mean()), abs=0.08)
    assert head.accuracy > 0.8
    assert np.isfinite(head.held_out).all()
    assert head.held_out.min() >= 0
    assert head.held_out.max() <= 1


def test_soft_labels_are_whole_ones_where_they_are_sure() -> None:
    given, labels = labelled(40, 30)
    classes = labels[:, 0].astype(np.int64)
    hard = fit_head(given, classes, 2, seed=0, strengths=[1e-2])
    soft = fit_head(given, np.eye(2, dtype=np.float32)[classes], 2, seed=0, strengths=[1e-2])
    assert soft.weight == pytest.approx(hard.weight, abs=2e-3)
    assert soft.log_loss == pytest.approx(hard.log_loss, abs=1e-3)
    assert soft.accuracy == hard.accuracy
    # Between them lies what two pictures, one of each class, would teach.
    half = np.full((40, 2), 0.5, dtype=np.float32)
    assert answers(fit_head(given, half, 2, seed=0, strengths=[1e-2]), given) == pytest.approx(0, abs=1e-2)


def test_folds_spread_every_label() -> None:
    labels = (np.random.default_rng(0).random((100, 4)) < [0.5, 0.2, 0.1, 0.05]).astype(np.float32)
    folds = draw_label_folds(labels, 5, seed=0)
    assert np.bincount(folds).tolist() == pytest.approx([20] * 5, abs=1)
    for label in range(4):
        own = np.bincount(folds[labels[:, label] > 0], minlength=5)
        assert own.max() - own.min() <= 2
    assert draw_label_folds(labels[:1], 5, seed=0).tolist() == [-1]
    assert sorted(draw_label_folds(labels[:3], 5, seed=0).tolist()) == [0, 1, 2]
