"""Answers to measure: probabilities that know something of their targets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Answers = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def answers() -> Answers:
    """A function of (n, classes, seed, ties=False): probabilities (n, classes) and targets (n,)."""
    return make


def make(n: int, classes: int, seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, n)
    scores = generator.normal(size=(n, classes)) + 1.5 * np.eye(classes)[targets]
    probabilities = np.exp(scores)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    if ties:
        probabilities = np.round(probabilities * 8) + 1
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, targets
