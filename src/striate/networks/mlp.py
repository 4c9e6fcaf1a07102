"""A multilayer perceptron on the pixels. (B, C, H, W) -> (B, num_outputs).

Source: Rumelhart, Hinton, Williams 1986; initial weights of He, Zhang, Ren, Sun 2015 (arXiv:1502.01852, eq. 10).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from striate.errors import require

MOST_LAYERS = 100


class MLP(nn.Module):
    """`features`: linear layers of `hidden` sizes, each with a ReLU (and dropout); `head`: the last linear layer."""

    def __init__(
        self,
        num_outputs: int,
        channels: int,
        size: tuple[int, int],
        hidden: Sequence[int] = (512, 256),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = [hidden] if isinstance(hidden, int) else list(hidden)
        require(
            1 <= len(sizes) <= MOST_LAYERS
            and all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in sizes),
            f"hidden must be 1 to {MOST_LAYERS} sizes of at least 1, got {hidden!r}; without a hidden layer: linear",
        )
        require(isinstance(dropout, (int, float)) and 0 <= dropout < 1, f"dropout must be in [0, 1), got {dropout!r}")
        layers: list[nn.Module] = [nn.Flatten()]
        width = channels * math.prod(size)
        for wider in sizes:
            layers += [nn.Linear(width, wider), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
            width = wider
        self.num_features = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_outputs)
        for layer in self.features:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores (B, num_outputs) of normalised pictures (B, channels, rows, columns)."""
        scores: Tensor = self.head(self.features(pictures))
        return scores
