"""`ImageClassifier`: one class for each picture, by scikit-learn's rules. Legend: n pictures, K classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted

from striate.estimators.base import LearningEstimator, as_value_errors
from striate.estimators.fitting import answers, begin, fit_model
from striate.estimators.weighing import counting, weights_of
from striate.tasks.classification import OWN_LOSS, Classification
from striate.training.recipe import Recipe


class ImageClassifier(ClassifierMixin, LearningEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A network that tells classes of pictures apart.

    `X`: pictures (n, h, w) or (n, h, w, 1 or 3), `uint8` or numbers in [0, 1] or [0, 255]; flat ones (n, h * w * c)
    with `image_shape`; or, without it, n rows of f fields of numbers. `y` (n,): integers or text.

    network: a name of `striate networks`; None: chosen as `striate train` does. image_shape: (h, w) or (h, w, c) of
    flat pictures. epochs, batch_size, learning_rate: None: chosen from the data. augment: "auto", or "none" for
    pictures as they are. class_weight: None, "balanced" or {class: weight}. random_state: as everywhere in
    scikit-learn; 0 fits the same network every time. settings: further fields of `striate.Recipe`, such as
    {"loss": "focal"}; what cannot count for arrays is refused. device: as `--device`.

    Learned: `classes_` (K,), `n_features_in_`, `model_` (a `striate.Model`).
    A pickle keeps the network, and no momentum of the optimizer that `partial_fit` goes on with.
    """

    def __init__(
        self,
        network: str | None = None,
        *,
        image_shape: tuple[int, ...] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        augment: str = "auto",
        class_weight: str | Mapping[Any, float] | None = None,
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
        self.class_weight = class_weight
        self.random_state = random_state
        self.settings = settings
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ImageClassifier:
        """Learn from pictures `X` and their classes `y`. sample_weight (n,): how much each counts, at least 0.

        Raises ValueError for what cannot be used, and where there are fewer than two classes.
        """
        pictures, labels = self._pairs(X, y, reset=True, numeric=False)
        _require_labels(labels)
        pictures, labels, weights = counting(
            pictures, labels, weights_of(pictures, sample_weight, self.class_weight, labels)
        )
        self.classes_, targets = np.unique(labels, return_inverse=True)
        self._require_classes()
        asked = self._asked()
        with as_value_errors():
            task = self._task(asked).bound_to(targets)
            self._begin_anew()
            self._fitted = fit_model(pictures, targets, task, asked, weights=weights, line=self.layout_.line)
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: Sequence[Any] | np.ndarray | None = None,
        sample_weight: Any = None,
    ) -> ImageClassifier:
        """One pass over `X` and `y` from where the network stands, also after `fit`. classes: all that will ever be
        seen, in the first call. What the values of `X` mean, their mean and deviation are those of the first call.

        Raises ValueError for what cannot be used, and for classes that the first call did not name.
        """
        first = not hasattr(self, "_fitted")
        pictures, labels = self._pairs(X, y, reset=first, numeric=False)
        _require_labels(labels)
        if first:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = unique_labels(classes)
            self._require_classes()
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            given, known = unique_labels(classes).tolist(), self.classes_.tolist()
            raise ValueError(f"classes {given} are not those of the first call to partial_fit, {known}")
        strange = np.setdiff1d(labels, self.classes_)
        if len(strange):
            raise ValueError(f"y holds the class {strange.tolist()[0]!r}, which is none of {self.classes_.tolist()}")
        pictures, labels, weights = counting(
            pictures, labels, weights_of(pictures, sample_weight, self.class_weight, labels)
        )
        targets = np.searchsorted(self.classes_, labels)
        asked = self._asked(once=True)
        with as_value_errors():
            task = self._task(asked).bound_to(targets)
            if first:
                self._fitted = begin(pictures, targets, task, asked, line=self.layout_.line)
            self._pass_once(pictures, task, weights)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, K), `float32`, in the order of `classes_`."""
        check_is_fitted(self, "_fitted")
        return answers(self._fitted.model, self._pictures(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each picture (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        predicted: np.ndarray = self.classes_[best]
        return predicted

    def _require_classes(self) -> None:
        if len(self.classes_) < 2:
            only = self.classes_.tolist()[0]
            raise ValueError(f"two classes are needed to tell apart, there is one class only: {only!r}")

    def _task(self, asked: Recipe) -> Classification:
        names = [str(one) for one in self.classes_.tolist()]
        if len(set(names)) < len(names):  # 1 and "1"
            names = [repr(one) for one in self.classes_.tolist()]
        return Classification(
            tuple(names), label_smoothing=asked.label_smoothing or 0.0, loss_name=asked.loss or OWN_LOSS
        )


def _require_labels(labels: np.ndarray) -> None:
    """Raise ValueError for what are no classes, or none that can be put in an order."""
    kinds = sorted({type(one).__name__ for one in labels.ravel().tolist()}) if labels.dtype == object else []
    if len(kinds) > 1:
        raise ValueError(f"y must hold classes of one kind, text or numbers, got {' and '.join(kinds)}")
    check_classification_targets(labels)
