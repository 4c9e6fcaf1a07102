"""Figures on arrays, with intervals: probabilities (N, K) and targets (N,) in, nothing of torch in between."""

from __future__ import annotations

from striate.evaluation.evaluation import Bin, ClassFigures, Evaluation, evaluate_classification
from striate.evaluation.figure import Figure, wilson

__all__ = ["Bin", "ClassFigures", "Evaluation", "Figure", "evaluate_classification", "wilson"]
