"""Residual networks for photographs: ResNet-18, -34 and -50. (B, C, H, W) -> (B, num_outputs).

Idea: a block learns what to add to its input, so that a deep network is as easy to train as a shallow one.
Source: He, Zhang, Ren, Sun 2016, "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), table 1; in the
bottleneck the 3x3 convolution carries the stride, as in torchvision ("ResNet v1.5"), where the paper's first 1x1 does.
Layers and initial weights are those of torchvision's networks of the same names, so its weights fit (`renamed`); built
here they start without importing torchvision, which takes longer than torch itself.
Limits: below 64 pixels the stem is fitted to the size (`networks/stems.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from striate.networks.weights import load_into

STAGE_CHANNELS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and what came in: (B, C_in, H, W) -> (B, channels, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, incoming: int, channels: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(incoming, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """ReLU(x + branch(x))."""
        branch = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        branch += x if self.downsample is None else self.downsample(x)
        summed: Tensor = self.relu(branch)
        return summed


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and what came in: (B, C_in, H, W) -> (B, 4 channels, H / stride, W / stride)."""

    expansion = 4

    def __init__(self, incoming: int, channels: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(incoming, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """ReLU(x + branch(x))."""
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        branch += x if self.downsample is None else self.downsample(x)
        summed: Tensor = self.relu(branch)
        return summed


class ResNet(nn.Module):
    """`features`: (B, channels, H, W) -> (B, num_features); `head`: (B, num_features) -> (B, num_outputs).

    blocks: how many in each of the four stages.
    """

    def __init__(
        self,
        num_outputs: int,
        channels: int,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: tuple[int, int, int, int],
    ) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Conv2d(channels, 64, 7, 2, 3, bias=False),
            bn1=nn.BatchNorm2d(64),
            relu=nn.ReLU(inplace=True),
            maxpool=nn.MaxPool2d(3, 2, 1),
        )
        incoming = 64
        for number, (count, width) in enumerate(zip(blocks, STAGE_CHANNELS, strict=True)):
            outgoing, stage = width * block.expansion, nn.Sequential()
            for position in range(count):
                stride = 2 if number and not position else 1
                downsample = None
                if stride != 1 or incoming != outgoing:
                    downsample = nn.Sequential(
                        nn.Conv2d(incoming, outgoing, 1, stride, bias=False), nn.BatchNorm2d(outgoing)
                    )
                stage.append(block(incoming, width, stride, downsample))
                incoming = outgoing
            layers[f"layer{number + 1}"] = stage
        layers["avgpool"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.features = nn.Sequential(layers)
        self.num_features = incoming
        self.head = nn.Linear(incoming, num_outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores (B, num_outputs) of normalised pictures (B, channels, H, W)."""
        scores: Tensor = self.head(self.features(pictures))
        return scores


def resnet18(num_outputs: int, channels: int) -> ResNet:
    """11.7 million weights and 1.8 thousand million multiply-adds at 224x224x3 and 1,000 classes."""
    return ResNet(num_outputs, channels, BasicBlock, (2, 2, 2, 2))


def resnet34(num_outputs: int, channels: int) -> ResNet:
    """21.8 million weights, 3.7 thousand million multiply-adds."""
    return ResNet(num_outputs, channels, BasicBlock, (3, 4, 6, 3))


def resnet50(num_outputs: int, channels: int) -> ResNet:
    """25.6 million weights, 4.1 thousand million multiply-adds."""
    return ResNet(num_outputs, channels, Bottleneck, (3, 4, 6, 3))


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under torchvision's names (`layer1.0.conv1.weight`, `fc.bias`) under ours; ours stay as they are."""
    if "conv1.weight" not in state:
        return dict(state)
    return {
        f"head.{name.removeprefix('fc.')}" if name.startswith("fc.") else f"features.{name}": tensor
        for name, tensor in state.items()
    }


def load_published(network: ResNet, name: str, cache: Path | None) -> list[str]:
    """Put torchvision's best weights of `name` into `network` (three channels), in place; sentences for the log.

    They are fetched over the network into `cache`. Raises InputError where they cannot be.
    """
    from striate.networks.torchvision_networks import published_state

    state, best = published_state(name, cache)
    notes = load_into(network, renamed(state), "head", f"torchvision's {best}")
    return [f"{name} starts from torchvision's weights {best}", *notes]
