"""The frozen-features head: scikit-learn as oracle, exact folding and loading, calibration, and the small cases."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from torch import nn

from striate.errors import InputError
from striate.networks.efficientnet_lite import EfficientNetLite0Features
from striate.networks.feature_normalizer import FeatureNormalizer, unit_root
from striate.training import frozen
from striate.training.folds import draw_folds, paired_difference
from striate.training.frozen import fit_head


def clouds(
    rows_a_class: int, num_classes: int, num_features: int, spread: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clouds around centres that are always the same; non-negative like pooled ReLU features."""
    centres = np.random.default_rng(1234).normal(size=(num_classes, num_features)) + 2
    targets = np.repeat(np.arange(num_classes), rows_a_class)
    noise = np.random.default_rng(seed).normal(size=(len(targets), num_features))
    return np.maximum(centres[targets] + spread * noise, 0).astype(np.float32), targets


def scores_of(head: frozen.FittedHead, features: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        scores: torch.Tensor = head.linear()(head.normalizer(torch.from_numpy(features)))
    return scores


@pytest.mark.parametrize(("rows_a_class", "num_features"), [(10, 40), (20, 8)])
def test_equals_scikit_learn_at_one_strength(rows_a_class: int, num_features: int) -> None:
    """With fewer rows than features (solved in the span of the rows) and with more."""
    features, targets = clouds(rows_a_class, 3, num_features, spread=1.5)
    head = fit_head(features, targets, 3, seed=0, strengths=[1e-2])
    with torch.no_grad():
        rows = head.normalizer(torch.from_numpy(features)).numpy()
    # scikit-learn: C * sum of losses + |w|^2 / 2
    oracle = LogisticRegression(C=1 / (1e-2 * len(targets)), tol=1e-8, max_iter=5000).fit(rows, targets)
    ours = head.weight / head.sharpness
    assert np.allclose(ours - ours.mean(0), oracle.coef_ - oracle.coef_.mean(0), atol=5e-3)
    probabilities = torch.softmax(scores_of(head, features) / head.sharpness, dim=1).numpy()
    assert np.allclose(probabilities, oracle.predict_proba(rows), atol=2e-3)


def test_row_weights_count_as_repeated_rows() -> None:
    features, targets = clouds(6, 2, 20, spread=2)
    weights = np.where(np.arange(len(targets)) % 3 == 0, 2.0, 1.0)
    repeated = np.repeat(np.arange(len(targets)), weights.astype(int))
    weighted = fit_head(features, targets, 2, seed=0, row_weights=weights, strengths=[1e-2])
    copied = fit_head(features[repeated], targets[repeated], 2, seed=0, groups=repeated, strengths=[1e-2])
    a = torch.softmax(scores_of(weighted, features) / weighted.sharpness, 1)
    b = torch.softmax(scores_of(copied, features) / copied.sharpness, 1)
    assert torch.allclose(a, b, atol=2e-3)


def test_normalizer_centres_and_scales_and_has_finite_gradients() -> None:
    features, _ = clouds(20, 2, 30, spread=1)
    normalizer = FeatureNormalizer(30).fit(torch.from_numpy(features))
    rows = normalizer(torch.from_numpy(features))
    assert torch.allclose(rows.mean(0), torch.zeros(30), atol=1e-5)
    assert rows.square().sum(1).mean().item() == pytest.approx(1, abs=1e-4)
    zeros = torch.zeros(1, 30, requires_grad=True)
    half = torch.cat([zeros, torch.rand(1, 30)])
    normalizer(half).sum().backward()
    assert zeros.grad is not None
    assert torch.isfinite(zeros.grad).all()
    assert torch.allclose(unit_root(torch.tensor([[4.0, -4.0]])), torch.tensor([[0.5**0.5, -(0.5**0.5)]]))


def test_whole_and_centre() -> None:
    features = EfficientNetLite0Features(centre=True)
    maps = torch.rand(2, 3, 10, 7)
    features.spatial = lambda pictures: pictures  # type: ignore[method-assign] # the pooling alone is asked
    expected = (maps.mean((2, 3)) + maps[:, :, 2:8, 1:6].mean((2, 3))) / 2
    assert torch.allclose(features(maps), expected)
    for side in (1, 2):  # too small to have a centre
        small = torch.rand(1, 3, side, side)
        assert torch.allclose(features(small), small.mean((2, 3)))


def test_loads_exactly(tmp_path: Path) -> None:
    """Saved with safetensors and loaded into fresh modules, the same bits come out."""
    features, targets = clouds(8, 4, 50, spread=1)
    head = fit_head(features, targets, 4, seed=3)
    fitted = nn.Sequential(head.normalizer, head.linear())
    save_file(fitted.state_dict(), tmp_path / "head.safetensors")
    fresh = nn.Sequential(FeatureNormalizer(50), nn.Linear(50, 4))
    fresh.load_state_dict(load_file(tmp_path / "head.safetensors"))
    with torch.no_grad():
        assert torch.equal(fresh(torch.from_numpy(features)), fitted(torch.from_numpy(features)))


def test_held_out_probabilities_are_out_of_fold_and_foretell_the_test() -> None:
    features, targets = clouds(20, 5, 60, spread=4)
    head = fit_head(features, targets, 5, seed=0)
    fresh_features, fresh_targets = clouds(400, 5, 60, spread=4, seed=1)
    probabilities = torch.softmax(scores_of(head, fresh_features), dim=1).double().numpy()
    log_loss = -np.log(probabilities[np.arange(len(fresh_targets)), fresh_targets]).mean()
    right = probabilities.argmax(1) == fresh_targets
    assert 0.3 < right.mean() < 0.98  # hard enough to say something
    assert head.log_loss == pytest.approx(log_loss, rel=0.25)
    # Calibrated, on the timid side: the temperature is that of heads which saw four fifths of the rows.
    assert -0.15 < probabilities.max(1).mean() - right.mean() < 0.03
    assert np.allclose(head.held_out.sum(1), 1)
    assert head.log_loss == pytest.approx(head.log_losses.mean())
    best = min(head.candidates, key=lambda candidate: candidate.log_loss)
    assert head.strength == best.strength
    assert head.accuracy == pytest.approx(best.accuracy)


def test_noise_gives_the_prior() -> None:
    """Features that say nothing: answers near even, not confident ones."""
    features = np.random.default_rng(0).random((60, 300)).astype(np.float32)
    head = fit_head(features, np.arange(60) % 2, 2, seed=0)
    fresh = np.random.default_rng(1).random((200, 300)).astype(np.float32)
    assert torch.softmax(scores_of(head, fresh), 1).max(1).values.mean().item() < 0.7
    assert head.log_loss < 0.8


def test_the_seed_draws_only_the_folds() -> None:
    features, targets = clouds(10, 3, 40, spread=2)
    first, again, other = (fit_head(features, targets, 3, seed=seed, strengths=[1e-3]) for seed in (0, 0, 1))
    assert np.array_equal(first.weight, again.weight)
    assert np.allclose(first.weight / first.sharpness, other.weight / other.sharpness)
    assert not np.allclose(first.held_out, other.held_out)


@pytest.mark.parametrize("counts", [(1, 1), (1, 5), (2, 2, 2), (5, 1, 0, 3), (1, 1, 1, 1, 40), (7, 0)])
def test_survives_small_and_missing_classes(counts: tuple[int, ...]) -> None:
    targets = np.repeat(np.arange(len(counts)), counts)
    features = np.random.default_rng(0).random((len(targets), 200)).astype(np.float32)
    head = fit_head(features, targets, len(counts), seed=0)
    assert head.weight.shape == (len(counts), 200)
    assert torch.isfinite(scores_of(head, features)).all()
    alone = np.isin(targets, np.flatnonzero(np.array(counts) < 2))
    assert np.isnan(head.held_out[alone]).all()
    assert not np.isnan(head.held_out[~alone]).any()
    assert "head: logistic regression" in head.describe()


def test_equal_rows_do_not_divide_by_zero() -> None:
    head = fit_head(np.ones((6, 10), dtype=np.float32), np.arange(6) % 2, 2, seed=0)
    assert torch.softmax(scores_of(head, np.ones((1, 10), dtype=np.float32)), 1)[0, 0].item() == pytest.approx(0.5)


def test_perfectly_told_apart_stays_finite() -> None:
    features, targets = clouds(20, 2, 30, spread=0.01)
    head = fit_head(features, targets, 2, seed=0)
    assert head.accuracy == 1
    assert 0 < head.log_loss < 0.1
    assert head.sharpness < 1000


def test_folds_hold_back_every_row_once_and_keep_groups_together() -> None:
    targets = np.array([0] * 12 + [1] * 7 + [2])
    fold = draw_folds(targets, 5, seed=0)
    assert fold.max() == 4
    assert fold[-1] == -1
    assert (fold[:-1] >= 0).all()
    for label in (0, 1):
        sizes = np.bincount(fold[targets == label], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert draw_folds(np.array([0, 0, 1, 1, 1]), 5, seed=0).max() == 1
    groups = np.array([0, 1, 2, 3, 4, 5] * 2)
    grouped = draw_folds(np.array([0, 0, 0, 1, 1, 1] * 2), 3, seed=0, groups=groups)
    assert np.array_equal(grouped[:6], grouped[6:])


def test_paired_difference() -> None:
    mean, error = paired_difference(np.array([1.0, 2.0, 3.0, np.nan]), np.array([1.0, 1.0, 1.0, 1.0]))
    assert mean == pytest.approx(1)
    assert error == pytest.approx(1 / 3**0.5)
    assert paired_difference(np.array([1.0]), np.array([0.5])) == (0.5, float("inf"))


def test_large_work_is_cut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = clouds(30, 3, 10, spread=2)
    whole = fit_head(features, targets, 3, seed=0)
    assert (whole.folds, whole.folds_searched, len(whole.candidates)) == (5, 5, len(frozen.STRENGTHS))
    work = features.size * 3 * 2 * frozen.USUAL_STEPS
    monkeypatch.setattr(frozen, "WORK_BOUND", work * 15)
    one = fit_head(features, targets, 3, seed=0)
    assert (one.folds, one.folds_searched) == (5, 1)
    assert not np.isnan(one.held_out).any()
    monkeypatch.setattr(frozen, "WORK_BOUND", work * 1)
    least = fit_head(features, targets, 3, seed=0)
    assert (least.folds, len(least.candidates)) == (1, 2)
    fresh_features, fresh_targets = clouds(100, 3, 10, spread=2, seed=1)
    accuracies = [
        float((scores_of(head, fresh_features).argmax(1).numpy() == fresh_targets).mean()) for head in (whole, least)
    ]
    assert accuracies[1] > accuracies[0] - 0.05


@pytest.mark.parametrize(
    ("features", "targets", "message"),
    [
        (np.zeros((3, 2)), np.zeros(2), "one target a row"),
        (np.full((2, 2), np.nan), np.zeros(2), "finite"),
        (np.zeros((2, 2)), np.array([0, 5]), "0..1"),
    ],
)
def test_wrong_arrays_are_one_sentence(features: np.ndarray, targets: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_head(features, targets, 2, seed=0)
