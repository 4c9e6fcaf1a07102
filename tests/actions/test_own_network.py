"""A network of the user's own is trained as it is, also one that looks at its memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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


def test_a_network_that_calls_view_trains_loads_and_predicts(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 255, (40, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(40) % 2
    pictures[labels == 1, :, :, 0] //= 4
    run = striate.train((pictures, labels), out=tmp_path / "run", network=Viewing(), epochs=2, threads=1)
    model = striate.load(run, network=Viewing())
    answers = model.predict(list(pictures[:3]))
    assert [len(one.probabilities) for one in answers] == [2, 2, 2]
