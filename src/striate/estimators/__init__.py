"""Networks as scikit-learn knows them: `ImageClassifier`, `ImageRegressor`, `ImageFeatures`.

They take arrays, keep everything in memory, and write nothing. What trains and what answers are the same parts as
everywhere (`Batches`, `Loop`, `Model.answer`).
"""

from __future__ import annotations

from striate.estimators.classifier import ImageClassifier
from striate.estimators.features import ImageFeatures
from striate.estimators.regressor import ImageRegressor

__all__ = ["ImageClassifier", "ImageFeatures", "ImageRegressor"]
