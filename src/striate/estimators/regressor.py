"""`ImageRegressor`: numbers for each picture, by scikit-learn's rules. Legend: n pictures, K numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from striate.estimators.base import LearningEstimator, as_value_errors
from striate.estimators.fitting import answers, begin, fit_model
from striate.estimators.weighing import counting, weights_of
from striate.tasks.regression import OWN_LOSS, Regression

LARGEST = 1e37  # of a number in single precision, with room for an error
FINEST = 1e5  # deviations from zero, up to which single precision tells a hundredth of a deviation apart
ROUNDING = 1e-13


class ImageRegressor(RegressorMixin, LearningEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A network that answers with one number for each picture, or with several.

    `X` as for `ImageClassifier`; `y` (n,) or (n, K): numbers, each learned in its own deviations from its mean. One
    that is the same in all of `y` is answered as it is.

    network, image_shape, epochs, batch_size, learning_rate, random_state, settings, device: as for `ImageClassifier`.
    augment: "auto" varies pictures as `striate train` does for numbers; "none" leaves them as they are.

    Learned: `n_features_in_`, `model_` (a `striate.Model`).
    A pickle keeps the network, and no momentum of the optimizer that `partial_fit` goes on with.
    """

    _numbers = True

    def __init__(
        self,
        network: str | None = None,
        *,
        image_shape: tuple[int, ...] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        augment: str = "auto",
        random_state: Any = 0,
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
    ) -> None:
        self.network = network
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.augment = augment
        self.random_state = random_state
        self.settings = settings
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ImageRegressor:
        """Learn from pictures `X` and their numbers `y`. sample_weight (n,): how much each counts, at least 0.

        Raises ValueError for what cannot be used.
        """
        pictures, numbers = self._pairs(X, y, reset=True, numeric=True)
        self._several = numbers.ndim == 2
        pictures, numbers, weights = counting(pictures, numbers, weights_of(pictures, sample_weight))
        targets = single(numbers)
        require_told_apart(numbers)
        asked = self._asked()
        with as_value_errors():
            task = numbers_task(targets, asked.loss)
            self._begin_anew()
            self._fitted = fit_model(pictures, targets, task, asked, weights=weights, line=self.layout_.line)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> ImageRegressor:
        """One pass over `X` and `y` from where the network stands, also after `fit`. What the values of `X` mean, and
        the means and deviations of `X` and `y`, are those of the first call.

        Raises ValueError for what cannot be used.
        """
        first = not hasattr(self, "_fitted")
        pictures, numbers = self._pairs(X, y, reset=first, numeric=True)
        if first:
            self._several = numbers.ndim == 2
        pictures, numbers, weights = counting(pictures, numbers, weights_of(pictures, sample_weight))
        targets = single(numbers)
        asked = self._asked(once=True)
        with as_value_errors():
            if first:
                task = numbers_task(targets, asked.loss)
                self._fitted = begin(pictures, targets, task, asked, line=self.layout_.line)
            known = self._fitted.model.task
            if targets.shape[1] != known.num_outputs:
                raise ValueError(
                    f"y has {targets.shape[1]} numbers a row, in the first call it had {known.num_outputs}"
                )
            assert isinstance(known, Regression)
            self._pass_once(pictures, known.bound_to(targets), weights)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Numbers (n,) or (n, K) `float64`, computed in single precision, as `y` had them."""
        check_is_fitted(self, "_fitted")
        numbers = answers(self._fitted.model, self._pictures(X)).astype(np.float64)
        return numbers if self._several else numbers[:, 0]

    def __sklearn_tags__(self) -> Any:
        """Several numbers are learned at once."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def single(numbers: np.ndarray) -> np.ndarray:
    """(n,) or (n, K) -> (n, K) `float32`, in which a network computes. Raises ValueError where it cannot hold them."""
    largest = float(np.abs(numbers).max())
    if largest > LARGEST:
        raise ValueError(f"y must lie within {LARGEST:.0e} of 0, got {largest:.3g}; divide it first")
    return numbers.reshape(len(numbers), -1).astype(np.float32)


def require_told_apart(numbers: np.ndarray) -> None:
    """Raise ValueError where numbers (n,) or (n, K) vary, but by less than single precision can tell."""
    wide = numbers.reshape(len(numbers), -1).astype(np.float64)
    largest, spread = np.abs(wide).max(axis=0), wide.std(axis=0)
    # What is the same but for the last digits of float64 does not vary.
    lost = (spread * FINEST < largest) & (spread > ROUNDING * largest)
    if bool(lost.any()):
        mean = wide.mean(axis=0)[lost][0]
        raise ValueError(
            f"y varies by {spread[lost][0]:.3g} around {mean:.10g}, too little for single precision, in which networks "
            "compute; subtract its mean first, as TransformedTargetRegressor with a StandardScaler does"
        )


def numbers_task(targets: np.ndarray, loss: str | None = None) -> Regression:
    """Of numbers (n, K); one that is the same in every row has a deviation of 1. Raises InputError for a loss of
    classes."""
    wide = targets.astype(np.float64)
    means, deviations = wide.mean(axis=0), wide.std(axis=0)
    deviations[deviations <= np.finfo(np.float32).eps * np.abs(means)] = 1.0
    names = tuple(f"y{number}" for number in range(targets.shape[1]))
    made = Regression(names, tuple(means.tolist()), tuple(deviations.tolist()), loss_name=loss or OWN_LOSS)
    return made.bound_to(targets)
