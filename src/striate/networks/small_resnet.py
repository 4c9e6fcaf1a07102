"""A small residual convolutional network for small colour pictures. (B, C, H, W) -> (B, num_outputs).

Idea: as much as possible of the work is 3x3 convolutions with many channels, which run near the arithmetic peak of
a processor, and as little as possible is element by element. A fixed 2x2 convolution decorrelates ("whitens") the
colours of neighbouring pixels, so that the first learnt layer starts with inputs of equal strength. Then three
stages, each convolution -> max pooling -> batch normalisation -> ReLU, and `depth` residual convolutions after it;
the channels double while the resolution halves. The largest value of each channel over the picture goes to the head.
At 32x32, width 64, depth 1: 1.2 million weights, 80 million multiplications a picture.

Sources: He, Zhang, Ren, Sun 2016 (residual); Ioffe, Szegedy 2015 (batch normalisation); Page 2018, "How to train your
ResNet" (convolution, pooling, residual stages, whitened first layer); Jordan 2024, arXiv:2404.00498 (the 2x2 whitening
with both signs, identity initialisation, pooling before normalisation, small first outputs).
Limits: meant for sides of about 16 to 96 pixels; it runs from 1x1 on, and a side that is already small is not reduced.
Leaves it to the caller to normalise pictures to mean 0 and deviation 1, to call `fit_stem` with some of them before
training; without it, the first layer starts random and is learnt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# From this side on the first convolution reduces the picture, so that the work does not grow with its area.
SIDE_WITHOUT_REDUCTION = 32
# Larger first layers cost time and add directions in which pictures hardly vary.
MOST_STEM_FILTERS = 64
# Pooling leaves at least this many rows and columns, or where things lie would be lost.
SMALLEST_GRID = 2
STAGES = 3
# The head sees values of about 1 times this: small first outputs keep the first steps calm (Jordan 2024).
FEATURE_SCALE = 1 / 9
# A fast running mean: a run of a minute has only a few hundred steps to forget the first ones.
NORMALISATION_MOMENTUM = 0.4
# Enough patches for a covariance of a few dozen numbers; more cost memory only.
MOST_PATCHES = 200_000
# Directions in which the pictures hardly vary are noise of the compression: this keeps them from being blown up.
WHITENING_FLOOR = 5e-4


class ConvPoolNormReLU(nn.Module):
    """Convolution, max pooling (where `pool`), batch normalisation, ReLU. (B, C, H, W) -> (B, D, H', W').

    Pooling comes before the normalisation because that leaves a quarter of the elements to normalise.
    """

    def __init__(self, channels: int, out_channels: int, pool: bool = False) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
        # Every output starts as an input passed on; the channels beyond the inputs start random.
        kept = min(channels, out_channels)
        nn.init.dirac_(self.convolution.weight.data[:kept])
        self.pool = pool
        self.normalisation = nn.BatchNorm2d(out_channels, momentum=NORMALISATION_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        if self.pool:
            x = functional.max_pool2d(x, 2, ceil_mode=True)
        return functional.relu(self.normalisation(x))


class ResidualConvs(nn.Module):
    """x + `depth` convolutions of it, same shape."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(*(ConvPoolNormReLU(channels, channels) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """x plus its branch."""
        branched: Tensor = self.branch(x)
        return x + branched


class WhiteningStem(nn.Module):
    """Convolution with a filter and its negative for each main direction of the patches, ReLU.

    (B, C, H, W) -> (B, num_filters, H', W'); for stride 1 kernels are 2x2 (3x3 for grey pictures, which have
    too few numbers in 2x2), for stride S they are 2S x 2S.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.kernel = 2 * stride if stride > 1 or channels > 1 else 3
        self.num_filters = min(2 * channels * self.kernel**2, MOST_STEM_FILTERS)
        padding = (self.kernel - stride) // 2
        self.convolution = nn.Conv2d(channels, self.num_filters, self.kernel, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.convolution(self.padded(x)))

    def padded(self, x: Tensor) -> Tensor:
        """Pictures (B, C, H, W), made as large as the kernel needs where they are smaller."""
        padding = 2 * int(self.convolution.padding[0])
        rows_missing = self.kernel - padding - x.shape[2]
        columns_missing = self.kernel - padding - x.shape[3]
        if rows_missing > 0 or columns_missing > 0:  # a picture smaller than the kernel
            x = functional.pad(x, (0, max(columns_missing, 0), 0, max(rows_missing, 0)))
        return x

    @torch.no_grad()
    def fit(self, pictures: Tensor) -> None:
        """Set the filters from normalised pictures (N, C, H, W) and keep them from being learnt."""
        weight = self.convolution.weight
        kernel = self.kernel
        if min(pictures.shape[2:]) < kernel or not len(pictures):
            return  # no whole patch to learn from: the random filters stay, and are learnt
        # Not every patch, for the memory's sake; an odd distance, because blocks of a JPEG have even ones.
        step = kernel // 2 * 2 + 1
        patches = pictures.float().unfold(2, kernel, step).unfold(3, kernel, step)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(0, 2).flatten(1)
        # At equal distances rather than at random: the same pictures give the same filters.
        patches = patches[:: max(1, len(patches) // MOST_PATCHES)]
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        count = self.num_filters // 2
        main_first = directions.flip(1)[:, :count] / (variances.flip(0)[:count].clamp(min=0) + WHITENING_FLOOR).sqrt()
        # A direction has no sign of its own; fix one, so that another machine gets the same filters.
        strongest = main_first.gather(0, main_first.abs().argmax(0, keepdim=True))
        filters = (main_first * strongest.sign()).T.reshape(count, *weight.shape[1:]).to(weight)
        assert self.convolution.bias is not None
        weight.copy_(torch.cat([filters, -filters]))
        self.convolution.bias.zero_()
        weight.requires_grad_(False)


class LargestOfEachChannel(nn.Module):
    """(B, C, H, W) -> (B, C): where a thing lies does not matter, that it is there does."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(dim=(2, 3)) * FEATURE_SCALE


class SmallResNet(nn.Module):
    """`features`: (B, channels, H, W) -> (B, num_features); `head`: (B, num_features) -> (B, num_outputs).

    size is (rows, columns) of the pictures to come; it decides which layers reduce the resolution.
    width is the channels of the first stage; the others have 2 and 4 times as many. depth is the
    convolutions in the residual branch of each stage (0: none).
    """

    def __init__(self, num_outputs: int, channels: int, size: tuple[int, int], width: int = 64, depth: int = 1) -> None:
        super().__init__()
        if min(num_outputs, channels, width, *size) < 1 or depth < 0:
            raise ValueError("outputs, channels, size and width must be at least 1, depth at least 0")
        stride = max(1, min(size) // SIDE_WITHOUT_REDUCTION)
        stem = WhiteningStem(channels, stride)
        layers: list[nn.Module] = [stem]
        side = max(1, min(size) // stride)
        incoming = stem.num_filters
        for stage in range(STAGES):
            outgoing = width * 2**stage
            pool = side >= 2 * SMALLEST_GRID
            layers.append(ConvPoolNormReLU(incoming, outgoing, pool))
            if depth:
                layers.append(ResidualConvs(outgoing, depth))
            side = side // 2 if pool else side
            incoming = outgoing
        layers.append(LargestOfEachChannel())
        self.num_features = incoming
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(incoming, num_outputs)

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores (B, num_outputs) of normalised pictures (B, channels, H, W)."""
        scores: Tensor = self.head(self.features(pictures))
        return scores

    def fit_stem(self, pictures: Tensor) -> None:
        """Whiten the first layer from normalised training pictures (N, C, H, W); a few thousand are enough."""
        stem = self.features[0]
        assert isinstance(stem, WhiteningStem)
        stem.fit(pictures)
