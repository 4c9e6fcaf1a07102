"""A network of the user's own is trained as it is, also one that looks at its memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.errors import InputError
from striate.models.predictions import LabelsPrediction, NumbersPrediction


class Viewing(nn.Module):
    """`view` after a convolution works in one memory layout only."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4 * 8 * 8, 2)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.convolution(pictures).view(len(pictures), -1))
        return scores


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (nn.Linear, r"network is the class Linear; make one of it: network=Linear\(...\)"),
        (3, "network must be a name or a torch.nn.Module, got int"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 2)), r"take inputs of 2x3x8x8 in .*3 channels"),
        (Viewing().half(), "your network does not take inputs of 2x3x8x8 in float32"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_in_a_sentence(network: Any, says: str, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), dtype=np.uint8)
    with pytest.raises(striate.InputError, match=says):
        striate.train((pictures, np.arange(40) % 2), out=tmp_path / "run", network=network, epochs=1)
    assert not (tmp_path / "run").exists()


def test_a_network_that_calls_view_trains_loads_and_predicts(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 255, (40, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(40) % 2
    pictures[labels == 1, :, :, 0] //= 4
    run = striate.train((pictures, labels), out=tmp_path / "run", network=Viewing(), epochs=2, threads=1)
    model = striate.load(run, network=Viewing())
    answers = model.predict(list(pictures[:3]))
    assert [len(one.probabilities) for one in answers] == [2, 2, 2]


def coloured(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (count, 8, 8, 3) in noise, and how red and how green each is, (count, 2) in 0-1."""
    generator = np.random.default_rng(seed)
    shares = generator.random((count, 2))
    pictures = generator.random((count, 8, 8, 3)) * 50
    pictures[..., :2] += 200 * shares[:, None, None]
    return pictures.astype(np.uint8), shares


def labels_of(shares: np.ndarray) -> np.ndarray:
    return (shares > [0.5, 0.4]).astype(int)


def numbers_of(shares: np.ndarray) -> np.ndarray:
    return shares * [100, -4] + [3, 1]


@pytest.mark.parametrize("told", [labels_of, numbers_of])
def test_a_network_of_ones_own_learns_labels_and_numbers(tmp_path: Path, told) -> None:
    pictures, shares = coloured(120, 0)
    run = striate.train(
        (pictures, told(shares)),
        out=tmp_path / "run",
        network=Viewing(),
        epochs=30,
        learning_rate=0.01,
        threads=1,
        precision="float32",
    )
    fresh, shares = coloured(100, 1)
    answers = striate.load(run, network=Viewing()).predict(list(fresh))
    if told is labels_of:
        assert all(isinstance(one, LabelsPrediction) for one in answers)
        named = np.array([[name in one.labels for name in run.config["task"]["class_names"]] for one in answers])
        assert (named == labels_of(shares)).mean() > 0.9  # 0.6 by the commoner answer
        assert run.metrics["test"]["task"] == "multilabel"
    else:
        assert all(isinstance(one, NumbersPrediction) for one in answers)
        numbers = np.array([list(one.numbers.values()) for one in answers])
        wanted = numbers_of(shares)
        assert (np.square(numbers - wanted).mean(axis=0) < 0.1 * wanted.var(axis=0)).all()  # 1 by the mean
        assert run.metrics["test"]["r2"]["value"] > 0.8
    three = np.column_stack([told(shares), told(shares)[:, 0]])
    with pytest.raises(InputError, match=r"network must give \d+x3 numbers for \d+ pictures, it gives \d+x2"):
        striate.train((fresh, three), out=tmp_path / "three", network=Viewing(), epochs=1)
