"""The weights of a run of Striate's under torchvision's names."""

import torch
from safetensors.torch import load_file


def torchvision_state(path: str) -> dict[str, torch.Tensor]:
    """`features.layer1...` and `head` are `layer1...` and `fc` there."""
    renamed = {}
    for name, value in load_file(path).items():
        first, _, rest = name.partition(".")
        renamed[rest if first == "features" else f"fc.{rest}" if first == "head" else name] = value
    return renamed
