"""The network and the picture of the occlusion benchmark, the same in every process, and what is said of a result."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import models

SIZE, SQUARE, STRIDE, TARGET = 224, 32, 8, 7


def network(name: str) -> nn.Module:
    """torchvision's with the weights of seed 0, and norms that do something."""
    torch.manual_seed(0)
    made = getattr(models, name)().eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return made


def picture(size: int = SIZE) -> Tensor:
    """(1, 3, size, size), smooth as photographs are."""
    coarse = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")


def say(seconds: float, drops: Tensor, reference: str, **more: object) -> None:
    """One line of JSON; `drops` (H, W): the mean fall of the score over the squares that cover a pixel.

    The first to come writes them to `reference`; whoever comes later is compared: the largest difference, in
    millionths of the largest fall.
    """
    found, path = drops.detach().float().numpy(), Path(reference)
    said = {"occlusion": seconds, **more}
    if path.exists():
        expected = np.load(path)
        said["difference"] = float(1e6 * np.abs(found - expected).max() / np.abs(expected).max())
    else:
        np.save(path, found)
    print(json.dumps(said))
