"""A network of the user's own is trained as it is, also one that looks at its memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import striate


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
