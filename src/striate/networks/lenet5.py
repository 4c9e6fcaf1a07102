"""LeNet-5 as it is usually built today. (B, C, H, W) -> (B, num_outputs).

Source: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", section II.B.
What differs from 1998: ReLU in place of a scaled tanh; max pooling in place of averages with a trained
scale and bias; the second convolution sees all six maps (there: the subsets of table I); linear outputs for
softmax in place of distances to drawn digits; 28x28 pictures are padded by 2, so that their maps have the
sizes that the paper's 32x32 pictures give.
At other sizes: maps below 5x5 are padded and not pooled further than 1x1, final maps above 5x5 are averaged to it.
At 28x28 or 32x32, one channel, ten outputs: 61,706 weights.
"""

from __future__ import annotations

from torch import Tensor, nn

KERNEL = 5
PADDED_BELOW = 32  # the paper's pictures; a smaller one is padded, so that strokes at the border are seen
GRID = 5


class LeNet5(nn.Module):
    """`features`: two convolutions and two linear layers, (B, 84); `head`: (B, 84) -> (B, num_outputs)."""

    def __init__(self, num_outputs: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        sides, layers = list(size), nn.Sequential()
        for maps_in, maps_out, padded_below in ((channels, 6, PADDED_BELOW), (6, 16, 2 * KERNEL)):
            padding = [KERNEL // 2 if side < padded_below else 0 for side in sides]
            sides = [side + 2 * pad - KERNEL + 1 for side, pad in zip(sides, padding, strict=True)]
            pool = [2 if side >= 2 else 1 for side in sides]
            sides = [side // step for side, step in zip(sides, pool, strict=True)]
            layers.append(nn.Conv2d(maps_in, maps_out, KERNEL, padding=(padding[0], padding[1])))
            layers.append(nn.ReLU())
            layers.append(nn.MaxPool2d((pool[0], pool[1])))
        if max(sides) > GRID:
            sides = [min(side, GRID) for side in sides]
            layers.append(nn.AdaptiveAvgPool2d((sides[0], sides[1])))
        layers.extend(
            [nn.Flatten(), nn.Linear(16 * sides[0] * sides[1], 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()]
        )
        self.features = layers
        self.num_features = 84
        self.head = nn.Linear(84, num_outputs)

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores (B, num_outputs) of normalised pictures (B, channels, rows, columns)."""
        scores: Tensor = self.head(self.features(pictures))
        return scores
