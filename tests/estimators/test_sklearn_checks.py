"""scikit-learn's own checks of an estimator, every one that applies; what may fail is named with its reason."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from striate.estimators import ImageClassifier, ImageFeatures, ImageRegressor

BATCHES = "a row of weight 2 is met once in a batch, two equal rows may be met in two: the same only on average"
EXPECTED = {
    "ImageClassifier": {"check_sample_weight_equivalence_on_dense_data": BATCHES},
    "ImageRegressor": {"check_sample_weight_equivalence_on_dense_data": BATCHES},
    "ImageFeatures": {},
}
ESTIMATORS = [
    ImageClassifier(epochs=20, batch_size=32, learning_rate=0.01),
    ImageRegressor(epochs=30, batch_size=32, learning_rate=0.01),
    ImageFeatures("mlp"),
]


def expected_failures(estimator: Any) -> dict[str, str]:
    return EXPECTED[type(estimator).__name__]


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: type(one).__name__)
def test_the_checks_really_run(estimator):
    """No tag takes a check away that scikit-learn has for an estimator of this kind, sparse data and NaN aside."""
    names = Counter(
        getattr(check, "func", check).__name__ for _, check in estimator_checks_generator(estimator, mark=None)
    )
    print(f"{type(estimator).__name__}: {sum(names.values())} checks, {len(expected_failures(estimator))} may fail")
    assert sum(names.values()) >= 40
    assert len(expected_failures(estimator)) <= 2
    assert {"check_estimators_pickle", "check_methods_subset_invariance", "check_fit_idempotent"} <= names.keys()
