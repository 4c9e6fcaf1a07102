"""What `build_network` does besides building: names, arguments, weights, sizes, notes."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from striate.errors import InputError
from striate.networks import build_network
from striate.networks.built import InputDefaults
from striate.networks.stems import on_meta, reduction


def build(name: str, **changes: Any) -> Any:
    return build_network(name, **({"num_outputs": 4, "channels": 3, "size": 32, "seed": 0} | changes))


def test_the_table_needs_no_torch() -> None:
    code = "import sys, striate.networks as n; assert n.NETWORKS; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnt18", "no network 'resnt18'; did you mean 'resnet18'?"),
        ("lenet-5", "did you mean 'lenet5'"),
        ("torchvision/resnt18", "no torchvision network 'resnt18'; did you mean 'resnet18'?"),
        ("timm/resnt18", "no timm network 'resnt18'; did you mean 'resnet18'?"),
        ("timm/hf-hub:someone/something", "no timm network"),
        ("hf-hub:someone/something", "no network"),
        ("local-dir:/etc", "no network"),
        ("../../etc/passwd", "no network"),
        ("torchvision/fasterrcnn_resnet50_fpn", "no torchvision network"),
        ("", "no network ''"),
    ],
)
def test_unknown_names_get_the_nearest(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        build(name)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mlp", {"hiden": [3]}, "network mlp has no argument 'hiden'; did you mean 'hidden'?"),
        ("mlp", {"hidden": []}, "hidden must be"),
        ("mlp", {"hidden": [8, -1]}, "hidden must be"),
        ("mlp", {"hidden": "8"}, "hidden must be"),
        ("mlp", {"hidden": [10**12]}, "weights for pictures of 32x32"),
        ("mlp", {"dropout": 1.5}, "dropout must be"),
        ("mlp", {"num_outputs": 3}, "no argument 'num_outputs'"),
        ("linear", {"hidden": [3]}, "it has none"),
        ("lenet5", {"size": 3}, "no argument 'size'"),
        ("small-conv", {"width": "a"}, "cannot be built with"),
        ("small-conv", {"width": -3}, "small-conv"),
        ("small-conv", {"width": 10**7}, "weights"),
        ("torchvision/resnet18", {"widht_per_group": 32}, "did you mean 'width_per_group'"),
        ("torchvision/resnet18", {"width_per_group": "a"}, "resnet18"),
        ("timm/test_resnet", {"nonsense": 1}, "no argument 'nonsense'"),
        ("timm/test_resnet", {"pretrained": True}, "no argument 'pretrained'"),
        ("timm/test_resnet", {"checkpoint_path": "x"}, "no argument 'checkpoint_path'"),
    ],
)
def test_wrong_arguments_are_one_sentence(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        build(name, arguments=arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"num_outputs": 0}, {"num_outputs": 10**9}, {"channels": 2}, {"size": 0}, {"size": (10**6, 1)}],
)
def test_impossible_shapes_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        build("linear", **changes)


def test_arguments_reach_the_network() -> None:
    layers = [layer for layer in build("mlp", arguments={"hidden": [7, 5]}).network.modules() if hasattr(layer, "bias")]
    assert [layer.out_features for layer in layers] == [7, 5, 4]
    assert (
        build("torchvision/resnet18", arguments={"norm_layer": nn.InstanceNorm2d}).network.bn1.__class__
        is nn.InstanceNorm2d
    )


def test_ours_come_first_and_prefixes_say_whose() -> None:
    assert type(build("resnet18").network).__module__.startswith("striate")
    assert type(build("torchvision/resnet18").network).__module__.startswith("torchvision")
    assert type(build("timm/test_resnet").network).__module__.startswith("timm")
    assert type(build("resnet101").network).__module__.startswith("torchvision")
    assert type(build("test_resnet").network).__module__.startswith("timm")


def test_lenet5_has_the_published_size() -> None:
    """60,000 of 1998, more for the full second convolution and less for no trained pooling: 61,706."""
    for size in (28, 32):
        network = build("lenet5", num_outputs=10, channels=1, size=size).network
        assert sum(weight.numel() for weight in network.parameters()) == 61_706


def test_small_pictures_get_a_small_stem_and_the_notes_say_so() -> None:
    large, small = build("torchvision/resnet18", size=64), build("torchvision/resnet18", size=32)
    assert (large.network.conv1.kernel_size, large.network.conv1.stride) == ((7, 7), (2, 2))
    assert large.notes == ()
    assert (small.network.conv1.kernel_size, small.network.conv1.stride) == ((3, 3), (1, 1))
    assert isinstance(small.network.maxpool, nn.Identity)
    assert "conv1 is 3x3 with stride 1" in small.notes[0]
    assert "maxpool is left out" in small.notes[0]
    assert (reduction(large.network, 3), reduction(small.network, 3)) == (32, 8)


@pytest.mark.parametrize(
    ("name", "size", "factor"),
    [
        ("efficientnet-lite0", 64, 32),
        ("efficientnet-lite0", 32, 16),
        ("squeezenet1_0", 64, 16),
        ("shufflenet_v2_x0_5", 8, 8),
    ],
)
def test_the_stem_keeps_two_by_two_cells_where_it_can(name: str, size: int, factor: int) -> None:
    assert reduction(build(name, size=size).network, 3) == factor


def test_networks_of_one_size_are_built_for_it_or_say_their_own() -> None:
    made = build("timm/test_vit", size=40)
    assert made.size == (48, 48)
    assert made.input_defaults == InputDefaults(size=(48, 48))
    assert made.notes[-1] == "timm/test_vit cannot take pictures of 40x40 pixels; they are brought to 48x48 for it"
    assert build("timm/test_vit", size=48).notes == ()
    assert build("inception_v3", size=64).size == (96, 96)


def test_large_pictures_are_checked_by_their_shapes() -> None:
    made = build("torchvision/resnet18", size=4096)
    assert (made.size, made.notes) == ((4096, 4096), ())


def test_outputs_for_training_alone_are_left_out() -> None:
    network = build("googlenet", size=64).network.train()
    assert network(torch.randn(2, 3, 64, 64)).shape == (2, 4)


def test_a_run_without_values_leaves_the_network_as_it_was() -> None:
    for name in ("small-resnet", "torchvision/resnet18"):
        network = build(name).network
        before = {key: value.clone() for key, value in network.state_dict().items()}
        assert on_meta(network.train(), (2, 3, 32, 32)).device.type == "meta"
        after = network.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_published_weights_that_cannot_be_fetched_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    for name in ("resnet18", "torchvision/resnet18", "timm/test_resnet"):
        with pytest.raises(InputError, match=r"could not be fetched.*no network here.*--weights"):
            build(name, pretrained=True)
    with pytest.raises(InputError, match="no published weights of lenet5"):
        build("lenet5", pretrained=True)


def test_nothing_is_fetched_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("a request"))
    build("torchvision/resnet18")


def test_torchvisions_published_weights_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The download stands in for: weights of a network of 1,000 classes at its own size."""
    published = build("torchvision/resnet18", num_outputs=1000, size=224, seed=5).network.state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: dict(published))
    made = build("torchvision/resnet18", channels=1, size=224, pretrained=True)
    state = made.network.state_dict()
    assert torch.equal(state["layer1.0.conv1.weight"], published["layer1.0.conv1.weight"])
    assert state["fc.weight"].shape == (4, 512)
    assert made.input_defaults.mean == pytest.approx((0.449,))
    assert any("fc" in note and "fresh" in note for note in made.notes)
    grey = torch.rand(2, 1, 224, 224)
    colour = build("torchvision/resnet18", size=224, pretrained=True).network.eval()
    colour.fc = made.network.eval().fc
    with torch.no_grad():
        assert torch.allclose(made.network(grey), colour(grey.expand(-1, 3, -1, -1)), atol=1e-3)


def test_structure_does_not_depend_on_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a run can be loaded without fetching anything."""
    published = build("torchvision/resnet18", num_outputs=1000, size=224).network.state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: dict(published))
    for name in ("resnet18", "torchvision/resnet18", "efficientnet-lite0"):
        given = build(name, channels=1, size=16, pretrained=True).network
        fresh = build(name, channels=1, size=16).network
        assert str(given) == str(fresh)
        shapes = [{key: value.shape for key, value in one.state_dict().items()} for one in (given, fresh)]
        assert shapes[0] == shapes[1]


def test_resampled_filters_answer_an_even_picture_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    published = build("torchvision/resnet18", num_outputs=1000, size=224).network.state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: dict(published))
    small = build("torchvision/resnet18", size=32, pretrained=True).network.conv1.weight
    assert torch.allclose(small.sum(dim=(2, 3)), published["conv1.weight"].sum(dim=(2, 3)), atol=1e-4)


@pytest.mark.long
@pytest.mark.shared_data
def test_squeezenet_with_foreign_weights_has_its_known_accuracy(shared_data: Path) -> None:
    """182 of 300 ImageNet pictures (60.7 %), as measured when the weights were packed."""
    made = build(
        "squeezenet1_0",
        num_outputs=1000,
        size=224,
        weights=shared_data / "weights" / "squeezenet1_0.safetensors",
    )
    network, wanted = made.network.eval(), made.input_defaults
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (wanted.mean, wanted.deviation))
    labels, inputs = [], []
    lines = (shared_data / "imagenet-1k-sample" / "labels.csv").read_text().splitlines()[1:]
    for line in lines:
        path, number = line.split(",")[:2]
        with Image.open(shared_data / "imagenet-1k-sample" / path) as picture:
            shorter = min(picture.size)
            resized = picture.convert("RGB").resize([round(side * 256 / shorter) for side in picture.size], 3)
        left, top = ((side - 224) // 2 for side in resized.size)
        pixels = np.array(resized.crop((left, top, left + 224, top + 224)))
        inputs.append((torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / deviation)
        labels.append(int(number))
    with torch.no_grad():
        outputs = torch.cat([network(torch.stack(inputs[start : start + 20])) for start in range(0, len(inputs), 20)])
    right = int((outputs.argmax(dim=1) == torch.tensor(labels)).sum())
    # One or two stand on the edge and fall by the version of the picture library.
    assert abs(right - 182) <= 2, right
