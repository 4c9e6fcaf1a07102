"""A small residual convolutional network for small pictures. (B, C, H, W) -> (B, num_outputs).

Idea: get to half the resolution in the first layer, then three stages that double the channels and halve the
resolution (1/2, 1/4, 1/8 of the picture), each with one residual convolution; a coarse 3x3 grid of features is kept
instead of their mean over the picture, because where a stroke lies tells digits and letters apart.
At 28x28x1, 10 classes and width 32: 299,000 weights, 12 million multiply-adds a picture (width 24: 171,000, 7; width 16
without its residual convolutions: 30,000, 2).

Source: LeCun, Bottou, Bengio, Haffner 1998 (LeNet-5: convolution, pooling, a grid into a linear layer);
He, Zhang, Ren, Sun 2016 (residual), Ioffe, Szegedy 2015 (batch normalisation).
Limits: meant for sides of about 8 to 64 pixels; it runs from 1x1 on, and a side that is already small is not reduced.
Expects pictures of mean 0 and deviation 1. A training batch of one picture fails where the features end at 1x1
(batch normalisation has no deviation there); evaluation does not.
"""

from __future__ import annotations

from torch import Tensor, nn

# From this side on the first convolution halves the resolution; below, 8x8 digits would lose their strokes.
SMALLEST_SIDE_TO_HALVE_AT_ONCE = 16
# A pooling layer must leave at least this many rows and columns; the grid that enters the head is at most as large.
GRID = 3


class ConvNormReLU(nn.Sequential):
    """Convolution without bias (the normalisation has one), batch normalisation, ReLU: (B, C, H, W) to (B, D, h, w)."""

    def __init__(self, channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, out_channels, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class ResidualConv(nn.Module):
    """x + ReLU(norm(conv(x))), same shape. (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = ConvNormReLU(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """x plus its branch."""
        branched: Tensor = self.branch(x)
        return x + branched


class SmallConv(nn.Module):
    """`features`: (B, channels, H, W) -> (B, num_features); `head`: (B, num_features) -> (B, num_outputs).

    size is (rows, columns) of the pictures to come; it decides which layers reduce the resolution.
    width is the channels of the first stage; the others have 2 and 4 times as many. Without `residual` a stage is its
    first convolution alone.
    """

    def __init__(
        self,
        num_outputs: int,
        channels: int,
        size: tuple[int, int],
        width: int = 32,
        dropout: float = 0.0,
        residual: bool = True,
    ) -> None:
        super().__init__()
        rows, columns = size
        halve = min(rows, columns) >= SMALLEST_SIDE_TO_HALVE_AT_ONCE
        if halve:
            rows, columns = (rows + 1) // 2, (columns + 1) // 2
        layers: list[nn.Module] = [
            ConvNormReLU(channels, width, kernel=5, stride=2) if halve else ConvNormReLU(channels, width)
        ]
        if residual:
            layers.append(ResidualConv(width))
        for stage_width in (2 * width, 4 * width):
            layers.append(ConvNormReLU(stage_width // 2, stage_width))
            # Each side is pooled only while it can spare it, so that a strip of 4x200 keeps its rows.
            pool = (2 if rows >= 2 * GRID else 1, 2 if columns >= 2 * GRID else 1)
            if pool != (1, 1):
                layers.append(nn.MaxPool2d(pool))
                rows, columns = rows // pool[0], columns // pool[1]
            if residual:
                layers.append(ResidualConv(stage_width))
        grid = (min(rows, GRID), min(columns, GRID))
        layers += [nn.AdaptiveAvgPool2d(grid), nn.Flatten(), nn.Dropout(dropout)]
        self.features = nn.Sequential(*layers)
        self.num_features = 4 * width * grid[0] * grid[1]
        self.head = nn.Linear(self.num_features, num_outputs)

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores (B, num_outputs) of normalised pictures (B, channels, H, W)."""
        scores: Tensor = self.head(self.features(pictures))
        return scores
