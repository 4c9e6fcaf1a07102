"""Softmax regression: one linear layer on the pixels. (B, C, H, W) -> (B, num_outputs). Bishop 2006, section 4.3.4."""

from __future__ import annotations

import math

from torch import Tensor, nn


class Linear(nn.Module):
    """`features`: the pixels in one row, (B, channels * rows * columns); `head`: one linear layer on them."""

    def __init__(self, num_outputs: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.num_features = channels * math.prod(size)
        self.features = nn.Flatten()
        self.head = nn.Linear(self.num_features, num_outputs)

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores (B, num_outputs) of normalised pictures (B, channels, rows, columns)."""
        scores: Tensor = self.head(self.features(pictures))
        return scores
