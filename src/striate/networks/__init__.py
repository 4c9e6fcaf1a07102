"""Networks by name: our own in a table; torchvision's and timm's found by one resolver each.

`NETWORKS` holds the names of ours; a new one is one file and one row. Importing this room imports no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.networks.built import BuiltNetwork, InputDefaults

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NETWORKS", "BuiltNetwork", "InputDefaults", "Part", "build_network", "network_names", "own_input"]


@dataclass(frozen=True)
class Part:
    """A network of our own: where what makes it is, one sentence on what it is for, and the paper.

    `factory` (a class or a function) takes `num_outputs`, `channels`, mostly `size` (rows, columns), and its own
    arguments with defaults; the network has `features` ((B, C, H, W) -> (B, num_features)), `num_features` and `head`.

    Of a network whose weights are published: `own_input` is what they want, `published` the function of the module
    that puts them into a network for three channels ((network, name, cache) -> sentences for the log), `renamed` the
    one that gives a file of them our names (state dict -> state dict; ours stay as they are). All of them know
    ImageNet's 1,000 classes.

    `takes_rows`: it also takes rows of a table of numbers, (B, F, 1, 1), for any number of fields F.
    """

    module: str
    factory: str
    sentence: str
    source: str
    own_input: InputDefaults | None = None
    published: str | None = None
    renamed: str | None = None
    takes_rows: bool = False

    def load(self) -> Callable[..., nn.Module]:
        """What makes the network; imports torch."""
        found: Callable[..., nn.Module] = self.function(self.factory)
        return found

    def function(self, name: str) -> Callable[..., Any]:
        """What is called `name` in its module; imports torch."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), name)
        return found


# What torchvision's best weights of residual networks were trained with: RGB in 0-1, the shorter side to 224 / share.
RESNET_INPUT = InputDefaults(
    size=(224, 224), mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225), crop_share=224 / 256
)
# Those of EfficientNet-Lite0: RGB in 0-1, the shorter side to 256 (bicubic), then the centre.
EFFICIENTNET_LITE_INPUT = InputDefaults(
    size=(224, 224), mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5), interpolation="bicubic", crop_share=224 / 256
)

NETWORKS: dict[str, Part] = {
    "linear": Part(
        "striate.networks.linear",
        "Linear",
        "softmax regression on the pixels: the least that anything else has to beat",
        "Bishop 2006, section 4.3.4",
        takes_rows=True,
    ),
    "mlp": Part(
        "striate.networks.mlp",
        "MLP",
        "fully connected layers on the pixels; `hidden` gives their sizes",
        "Rumelhart, Hinton, Williams 1986; He et al. 2015 for the initial weights",
        takes_rows=True,
    ),
    "lenet5": Part(
        "striate.networks.lenet5",
        "LeNet5",
        "two convolutions and three linear layers, the usual modern variant (ReLU, max pooling)",
        "LeCun, Bottou, Bengio, Haffner 1998",
    ),
    "small-conv": Part(
        "striate.networks.small_conv",
        "SmallConv",
        "a small convolutional network for small grey pictures",
        "LeCun et al. 1998; He et al. 2016; Ioffe and Szegedy 2015",
    ),
    "small-resnet": Part(
        "striate.networks.small_resnet",
        "SmallResNet",
        "a small residual network for small colour pictures",
        "He, Zhang, Ren, Sun 2016",
    ),
    "efficientnet-lite0": Part(
        "striate.networks.efficientnet_lite",
        "EfficientNetLite0",
        "a light network for photographs, whose ImageNet weights come with the installation",
        "Tan and Le 2019 (arXiv:1905.11946)",
        own_input=EFFICIENTNET_LITE_INPUT,
        published="load_published",
        renamed="renamed",
    ),
    "resnet18": Part(
        "striate.networks.resnet",
        "resnet18",
        "a residual network of 18 layers for photographs",
        "He, Zhang, Ren, Sun 2016 (arXiv:1512.03385)",
        own_input=RESNET_INPUT,
        published="load_published",
        renamed="renamed",
    ),
    "resnet34": Part(
        "striate.networks.resnet",
        "resnet34",
        "a residual network of 34 layers for photographs",
        "He, Zhang, Ren, Sun 2016 (arXiv:1512.03385)",
        own_input=RESNET_INPUT,
        published="load_published",
        renamed="renamed",
    ),
    "resnet50": Part(
        "striate.networks.resnet",
        "resnet50",
        "a residual network of 50 layers, with bottlenecks, for photographs",
        "He, Zhang, Ren, Sun 2016 (arXiv:1512.03385)",
        own_input=replace(RESNET_INPUT, crop_share=224 / 232),
        published="load_published",
        renamed="renamed",
    ),
}


def build_network(
    name: str,
    *,
    num_outputs: int,
    channels: int,
    size: int | tuple[int, int],
    pretrained: bool = False,
    weights: Path | None = None,
    arguments: Mapping[str, Any] | None = None,
    seed: int,
    cache: Path | None = None,
) -> BuiltNetwork:
    """The network called `name`, ready for pictures (B, `channels`, rows, columns) and `num_outputs` outputs.

    `name` is one of `NETWORKS`, or a classification network of torchvision's, or of timm's, looked up in
    this order; `torchvision/NAME` and `timm/NAME` say whose. `size` is one side in pixels or (rows, columns).
    `pretrained` takes the weights that its makers publish (over the network, except for efficientnet-lite0)
    and keeps them in `cache`, `weights` a file of them (safetensors, or .pth/.pt without code); a head of
    another number of outputs is left fresh, and the notes say so. The initial weights depend on `seed`
    alone; torch's global generator is left as it was.

    Raises InputError: an unknown name or argument, a size that the network cannot take at all, weights that
    cannot be had or do not fit.
    """
    from striate.networks.build import build

    return build(
        name,
        num_outputs=num_outputs,
        channels=channels,
        size=size,
        pretrained=pretrained,
        weights=weights,
        arguments=arguments or {},
        seed=seed,
        cache=cache,
    )


def own_input(name: str) -> InputDefaults | None:
    """The input that the published weights of `name` were trained with, for three channels; None where
    there are none (then any size of picture is as good). Builds nothing. Raises InputError: an unknown name."""
    from striate.networks.build import find

    return find(name).own_input()


def network_names() -> list[str]:
    """Every name that `build_network` takes without a prefix: ours, then torchvision's, then timm's.

    Imports torchvision and timm (seconds).
    """
    from striate.networks import timm_networks, torchvision_networks

    return list(dict.fromkeys([*NETWORKS, *torchvision_networks.names(), *timm_networks.names()]))
