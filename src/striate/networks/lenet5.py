"""LeNet-5 as it is usually built today. (B, C, H, W) -> (B, num_outputs).

Source: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", section II.B.
What differs from 1998: ReLU in place of a scaled tanh; max pooling in place of averages with a trained
scale and bias; the second convolution sees all six maps (there: the subsets of table I); linear outputs for
softmax in place of distances to drawn digits; 28x28 pictures are padded by 2, so that their maps have the
sizes that the paper's 32x32 pictures give.
At other sizes: maps below 5x5 are padded and not pooled further than 1x1, final maps above 5x5 are averaged to it.
At 28x28 or 32x32, one channel, ten outputs: 61,706 weights.

A step of training on a processor computes the same in another way: six maps of neighbouring channels are too few for
its vectors, and pooling them one by one takes four times as long (128 pictures, bfloat16: 3.0 against 0.7 ms, of a step
of 9.8). Two filters of zeros make them eight, which are rectified after pooling, when a quarter is left.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.networks.hooks import all_are_watched, is_watched

KERNEL = 5
PADDED_BELOW = 32  # the paper's pictures; a smaller one is padded, so that strokes at the border are seen
GRID = 5
VECTOR = 8  # channels that are pooled at once


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
        features = self._by_vectors(pictures) if self._has_vectors(pictures) else self.features(pictures)
        scores: Tensor = self.head(features)
        return scores

    def _has_vectors(self, pictures: Tensor) -> bool:
        """Whether this is a step on a processor, with the channels of a pixel beside each other in memory.

        Without gradients it is no step: then somebody wants to see what the modules give, as where the convolutions,
        which are not called then, have hooks.
        """
        first, second = self.features[0], self.features[3]
        assert isinstance(second, nn.Conv2d)
        if is_watched(first) or is_watched(second) or all_are_watched():
            return False
        layout = second.weight.is_contiguous(memory_format=torch.channels_last)
        return bool(self.training and torch.is_grad_enabled() and layout and pictures.device.type == "cpu")

    def _by_vectors(self, pictures: Tensor) -> Tensor:
        """What `features` give, with the first maps widened to VECTOR channels."""
        first, rectifier, pooling, second, *others = self.features
        x: Tensor = rectifier(pooling(_widened(first, pictures, outputs=VECTOR)))
        x = _widened(second, x, inputs=VECTOR)
        for module in others:
            x = module(x)
        return x


def _widened(convolution: nn.Module, x: Tensor, *, inputs: int = 0, outputs: int = 0) -> Tensor:
    """The convolution with weights of zero for further channels, so that there are `inputs` and `outputs` of them."""
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    more_inputs, more_outputs = max(0, inputs - convolution.in_channels), max(0, outputs - convolution.out_channels)
    weight = functional.pad(convolution.weight, (0, 0, 0, 0, 0, more_inputs, 0, more_outputs))
    bias = functional.pad(convolution.bias, (0, more_outputs)) if more_outputs else convolution.bias
    return functional.conv2d(x, weight, bias, padding=convolution.padding)
