"""The networks whose attributions are compared, the same in both environments."""

from dataclasses import dataclass

from lenet import lenet
from torch import nn
from torchvision import models


@dataclass(frozen=True)
class Subject:
    """A network, the layer for Grad-CAM, and the pictures that it takes."""

    network: nn.Module
    layer: str
    channels: int
    size: int


def subjects() -> dict[str, Subject]:
    """With whatever weights torch draws; rectifiers not in place, which changes no value and suits all libraries."""
    found = {
        "LeNet-5": Subject(lenet(), "4", 1, 28),
        "VGG-11": Subject(models.vgg11(), "features.19", 3, 64),
        "ResNet-18": Subject(models.resnet18(), "layer4", 3, 112),
    }
    for one in found.values():
        one.network.eval()
        for module in one.network.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
    return found
