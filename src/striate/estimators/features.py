"""`ImageFeatures`: what a network makes of pictures before it answers, as a scikit-learn transformer.

Legend: n pictures, D features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from striate.estimators.base import ImageEstimator, as_value_errors
from striate.estimators.fitting import begin, features, of_run
from striate.estimators.layout import Stack
from striate.estimators.regressor import numbers_task
from striate.training.defaults import PRETRAINED


class ImageFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ImageEstimator):  # type: ignore[misc]
    """Features of pictures by a network: for pipelines with any shallow model of scikit-learn's.

    `X` as for `ImageClassifier`. network: a name of `striate networks`; None: that of the run, or without one the
    pretrained EfficientNet-Lite0, which knows photographs. pretrained: None: where its weights are at hand. run: the
    folder of a run, whose network is taken; no `network` can be named beside it. image_shape: (h, w) or (h, w, c) of
    flat pictures. size: side of the network's input; None: its own. random_state: of the weights of a network that is
    not pretrained. device: as `--device`.

    `transform` gives (n, D) `float32`, the input of the network's head.
    Learned in `fit`: what the values of `X` mean, and for networks without weights of their own their mean and
    deviation. No weight of the network is changed.
    """

    def __init__(
        self,
        network: str | None = None,
        *,
        pretrained: bool | None = None,
        run: str | Path | None = None,
        image_shape: tuple[int, ...] | None = None,
        size: int | None = None,
        random_state: Any = 0,
        device: str = "auto",
    ) -> None:
        self.network = network
        self.pretrained = pretrained
        self.run = run
        self.image_shape = image_shape
        self.size = size
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any = None) -> ImageFeatures:
        """Take the network; `X` says of what kind pictures are, `y` plays no part. Raises ValueError."""
        if self.network is not None and self.run is not None:
            raise ValueError(
                f"network ({self.network!r}) and run ({str(self.run)!r}) each name a network; leave one of them away"
            )
        pictures = self._pictures(X, reset=True)
        with as_value_errors():
            if self.run is not None:
                self._fitted = of_run(self.run, self.device)
            else:
                recipe = self._recipe(
                    {
                        "network": self.network or PRETRAINED,
                        "pretrained": self.pretrained,
                        "size": self.size,
                        "epochs": 1,
                    },
                    None,
                )
                # One output that nobody reads: what is wanted lies before the head.
                targets = np.zeros((len(pictures), 1), dtype=np.float32)
                task = numbers_task(targets)
                self._fitted = begin(pictures, targets, task, recipe, line=self.layout_.line)
            self._n_features_out = features(self._fitted.model, Stack(pictures.array[:1])).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Features (n, D) `float32`."""
        check_is_fitted(self, "_fitted")
        pictures = self._pictures(X)
        with as_value_errors():
            return features(self._fitted.model, pictures)

    def __sklearn_tags__(self) -> Any:
        """Networks compute in single precision whatever they are given."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
