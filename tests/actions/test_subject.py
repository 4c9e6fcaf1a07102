"""What answers: a run, a network that Striate did not train (by its name and a file of weights), or a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision import models

import striate
from striate.actions.subject import open_subject
from striate.errors import InputError
from striate.models.input_spec import InputSpec

SPEC = InputSpec(channels=3, height=20, width=24, mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.3, 0.4))


class Small(nn.Module):
    """Five scores; dropout and batch normalisation, which a look must leave as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.last = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 5))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.last(self.layers(pictures))
        return scores


@pytest.fixture(scope="module")
def squeezed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """SqueezeNet 1.1 of torchvision with seven outputs: its file, and itself."""
    torch.manual_seed(0)
    network = models.squeezenet1_1(num_classes=7).eval()
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(network.state_dict(), path)
    return path, network


def photo(seed: int = 0, height: int = 300, width: int = 260) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["squeezenet1_1", "torchvision/squeezenet1_1"])
def test_a_network_by_its_name_answers_as_its_maker_says(name: str, squeezed: tuple[Path, nn.Module]) -> None:
    """Against torchvision's own preset for the pictures, up to the rounding of resized pixels."""
    path, theirs = squeezed
    model = open_subject(network=name, weights=path)
    assert model.class_names == tuple(f"class {number}" for number in range(7))
    assert (model.input_spec.height, model.input_spec.width, model.input_spec.fit) == (224, 224, "crop")
    picture = photo()
    preset = models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    with torch.no_grad():
        expected = theirs(preset(torch.from_numpy(picture).permute(2, 0, 1))[None]).softmax(dim=1)[0]
        exact = theirs(model.inputs(model.prepare(picture)[None])).softmax(dim=1)[0]
    (answer,) = model.predict([picture])
    assert np.allclose(answer.probabilities, exact.numpy(), atol=1e-6)
    assert np.allclose(answer.probabilities, expected.numpy(), atol=2e-3)


def test_a_network_is_left_as_its_makers_wrote_it(squeezed: tuple[Path, nn.Module]) -> None:
    """Also for small pictures, to which the stem of one that is to be trained would be fitted."""
    path, theirs = squeezed
    spec = InputSpec(channels=3, height=40, width=56, mean=(0.5, 0.5, 0.5), deviation=(0.2, 0.2, 0.2))
    model = open_subject(network="squeezenet1_1", weights=path, input_spec=spec)
    pictures = torch.randn(2, 3, 40, 56)
    with torch.no_grad():
        assert torch.equal(model.network(pictures), theirs(pictures))
    tiny = InputSpec(channels=3, height=8, width=8, mean=(0.5, 0.5, 0.5), deviation=(0.2, 0.2, 0.2))
    with pytest.raises(InputError, match="squeezenet1_1 cannot take pictures of 8x8 pixels"):
        open_subject(network="squeezenet1_1", weights=path, input_spec=tiny)


def test_a_pickled_file_gives_the_same(squeezed: tuple[Path, nn.Module], tmp_path: Path) -> None:
    path, theirs = squeezed
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "weights.pth")
    answers = [
        striate.load(network="squeezenet1_1", weights=file).predict([photo()])[0].probabilities
        for file in (path, tmp_path / "weights.pth")
    ]
    assert np.array_equal(*answers)


def test_our_names_and_other_prefixes_are_taken(tmp_path: Path) -> None:
    """A residual network of torchvision's, given to ours and to timm's of the same name; grey weights stay grey."""
    torch.manual_seed(1)
    theirs = models.resnet18(num_classes=3).eval()
    save_file(theirs.state_dict(), tmp_path / "colour.safetensors")
    state = dict(theirs.state_dict())
    state["conv1.weight"] = state["conv1.weight"].sum(dim=1, keepdim=True)
    save_file(state, tmp_path / "grey.safetensors")
    colour = [
        open_subject(network=name, weights=tmp_path / "colour.safetensors").network
        for name in ("resnet18", "torchvision/resnet18", "timm/resnet18")
    ]
    grey = open_subject(network="resnet18", weights=tmp_path / "grey.safetensors")
    assert (grey.input_spec.channels, grey.input_spec.mean) == (1, (pytest.approx(0.449),))
    picture = torch.randn(1, 1, 224, 224)
    with torch.no_grad():
        expected = theirs(picture.expand(-1, 3, -1, -1))
        for network in colour:
            assert torch.allclose(network(picture.expand(-1, 3, -1, -1)), expected, atol=1e-5)
        assert torch.allclose(grey.network(picture), expected, atol=1e-4)


def test_timm_says_what_its_networks_take(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(2)
    theirs = timm.create_model("test_vit", num_classes=4).eval()
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    model = open_subject(network="test_vit", weights=tmp_path / "weights.safetensors")
    wanted, spec = timm.get_pretrained_cfg("test_vit"), model.input_spec
    assert (spec.channels, spec.height, spec.width) == tuple(wanted.input_size)
    assert (spec.mean, spec.deviation, spec.interpolation) == (wanted.mean, wanted.std, wanted.interpolation)
    assert spec.crop_share == wanted.crop_pct
    pictures = torch.randn(2, *wanted.input_size)
    with torch.no_grad():
        assert torch.allclose(model.network(pictures), theirs(pictures), atol=1e-5)


def test_class_names_come_from_a_file_or_a_list(squeezed: tuple[Path, nn.Module], tmp_path: Path) -> None:
    path, _ = squeezed
    names = ("ant", "bee", "café", "dog", "eel", "fox", "gnu")
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    for given in (tmp_path / "names.txt", str(tmp_path / "names.txt"), list(names)):
        assert open_subject(network="squeezenet1_1", weights=path, class_names=given).class_names == names


def test_a_small_network_of_ours_needs_to_be_told_its_input(tmp_path: Path) -> None:
    from striate.networks import build_network

    spec = InputSpec(channels=1, height=28, width=28, mean=(0.1,), deviation=(0.3,))
    built = build_network("lenet5", num_outputs=4, channels=1, size=28, seed=3).network.eval()
    save_file(built.state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match=r"lenet5: which pictures it was trained with .* input_spec"):
        open_subject(network="lenet5", weights=tmp_path / "weights.safetensors")
    model = open_subject(network="lenet5", weights=tmp_path / "weights.safetensors", input_spec=spec)
    prepared = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(model.network(spec.normalize(prepared)), built(spec.normalize(prepared)))
    assert model.task.num_outputs == 4


def test_published_weights_that_are_installed(tmp_path: Path) -> None:
    model = open_subject(network="efficientnet-lite0")
    assert len(model.class_names) == 1000
    assert (model.class_names[0], model.class_names[281]) == ("tench", "tabby")
    spec = model.input_spec
    assert (spec.height, spec.interpolation, spec.fit, spec.mean) == (224, "bicubic", "crop", (0.5, 0.5, 0.5))
    from striate.networks.efficientnet_lite import EfficientNetLite0, _read_weights, load_imagenet_weights

    expected = EfficientNetLite0().eval()
    load_imagenet_weights(expected)
    # The file that the package brings has its makers' names, and is taken as a file, too.
    torch.save(_read_weights(), tmp_path / "published.pth")
    by_file = open_subject(network="efficientnet-lite0", weights=tmp_path / "published.pth", class_names="imagenet")
    assert by_file.class_names == model.class_names
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for network in (model.network, by_file.network):
            assert torch.equal(network(pictures), expected(pictures))


def test_a_module_of_ones_own_is_left_as_it_is() -> None:
    module = Small().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for model in (open_subject(module, input_spec=SPEC), open_subject(network=module, input_spec=SPEC, device="cpu")):
        assert model.network is module
        assert model.class_names == ("class 0", "class 1", "class 2", "class 3", "class 4")
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    named = open_subject(module, input_spec=SPEC, class_names=["a", "b", "c", "d", "e"])
    assert [one.label in "abcde" for one in named.predict([photo(1), photo(2)])] == [True, True]
    assert module.training


class Several(Small):
    """Its scores are one of several outputs."""

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        maps = self.layers(pictures)
        return {"features": maps, "scores": self.last(maps)}


def test_one_of_several_outputs_can_be_named() -> None:
    with pytest.raises(InputError, match=r"a dictionary \(features, scores\)"):
        open_subject(Several(), input_spec=SPEC)
    assert len(open_subject(Several(), input_spec=SPEC, output="scores").class_names) == 5


def test_runs_and_models_are_what_load_gives(pictures: Path, tmp_path: Path) -> None:
    run = striate.train(pictures, out=tmp_path / "run", network="linear", epochs=1, threads=1)
    loaded = striate.load(run)
    assert open_subject(loaded) is loaded
    for given in (run, run.folder, str(run.folder)):
        model = open_subject(given)
        assert model.class_names == loaded.class_names
        assert torch.equal(model.network.head.weight, loaded.network.head.weight)


def small_file(folder: Path) -> Path:
    save_file(Small().state_dict(), folder / "small.safetensors")
    return folder / "small.safetensors"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "neither a run nor a network is named"),
        ({"weights": "w.pth"}, "w.pth: weights alone are no network; name the one that they belong to by --network"),
        ({"run": "runs/x", "network": "resnet18"}, "runs/x and --network resnet18: give the run or the network"),
        ({"run": "runs/x", "weights": "w.pth"}, "a run has its own weights; leave --weights away"),
        ({"run": "runs/x", "class_names": "n.txt"}, "a run has its own class names; leave --class-names away"),
        ({"run": "runs/x"}, "runs/x: there is no such run"),
        ({"network": "squeezenet1_00", "weights": "w.pth"}, "did you mean 'squeezenet1_0'?"),
        ({"network": "squeezenet1_1", "weights": "none.pth"}, "none.pth: no such file"),
        ({"network": "lenet5"}, "lenet5: which pictures it was trained with is not in its weights"),
        ({"network": "lenet5", "input_spec": SPEC}, "there are no published weights of lenet5"),
        ({"network": "resnet18", "weights": "w.pth", "device": "gpu"}, "no device 'gpu'"),
        ({"network": Small()}, "what a network of your own takes is not known"),
        ({"network": Small(), "input_spec": SPEC, "weights": "w.pth"}, "a module has its weights already"),
        ({"network": Small(), "input_spec": SPEC, "class_names": ["a"]}, "1 class name, but the network has 5 outputs"),
        ({"network": Small(), "input_spec": SPEC, "class_names": list("abcda")}, "class names must differ"),
        ({"network": Small().half(), "input_spec": SPEC}, "weights of float16"),
        ({"run": Small(), "network": Small()}, "one network was given as two"),
    ],
)
def test_mistakes_are_one_sentence(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        open_subject(**given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_refused(squeezed: tuple[Path, nn.Module], tmp_path: Path) -> None:
    path, theirs = squeezed
    headless = {name: value for name, value in theirs.state_dict().items() if not name.startswith("classifier")}
    save_file(headless, tmp_path / "headless.safetensors")
    wide = {**theirs.state_dict(), "classifier.1.weight": torch.zeros(7, 9, 1, 1)}
    save_file(wide, tmp_path / "wide.safetensors")
    for name, file, message in (
        ("resnet18", path, "not the weights of resnet18, or without its last layer (head.weight is missing)"),
        ("squeezenet1_1", small_file(tmp_path), "not the weights of squeezenet1_1"),
        ("squeezenet1_1", tmp_path / "headless.safetensors", "(classifier.1.weight is missing)"),
        ("squeezenet1_1", tmp_path / "wide.safetensors", "(classifier.1.weight is of another shape)"),
        ("squeezenet1_0", path, "not the weights of this network"),
        ("efficientnet-lite0", path, "not the weights of efficientnet-lite0"),
    ):
        with pytest.raises(InputError) as caught:
            open_subject(network=name, weights=file)
        assert message in str(caught.value)


def test_names_that_are_too_few_or_broken_are_refused(squeezed: tuple[Path, nn.Module], tmp_path: Path) -> None:
    path, _ = squeezed
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    (tmp_path / "gaps.txt").write_text("cat\n\ndog\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for given, message in (
        (tmp_path / "two.txt", f"2 class names, but {path} has 7 outputs"),
        (tmp_path / "gaps.txt", "must hold one class name a line"),
        (tmp_path / "binary.txt", "not UTF-8 text"),
        (tmp_path / "none.txt", "no such file"),
        ("imagenet", f"imagenet: 1,000 class names, but {path} has 7 outputs"),
    ):
        with pytest.raises(InputError) as caught:
            open_subject(network="squeezenet1_1", weights=path, class_names=given)
        assert message in str(caught.value)


@pytest.mark.shared_data
def test_squeezenet_on_imagenet_pictures(shared_data: Path, tmp_path: Path) -> None:
    """As the plain network finds them with its pictures prepared by Pillow, but for a few on the edge."""
    model = open_subject(
        network="squeezenet1_0",
        weights=shared_data / "weights" / "squeezenet1_0.safetensors",
        class_names="imagenet",
    )
    lines = (shared_data / "imagenet-1k-sample" / "labels.csv").read_text().splitlines()[1:31]
    files = [shared_data / "imagenet-1k-sample" / line.split(",")[0] for line in lines]
    numbers = np.array([int(line.split(",")[1]) for line in lines])
    answers = np.array([one.probabilities.argmax() for one in model.predict(files)])
    prepared = []
    for file in files:
        with Image.open(file) as picture:
            shorter = min(picture.size)
            resized = picture.convert("RGB").resize([round(side * 256 / shorter) for side in picture.size], 2)
        left, top = ((side - 224) // 2 for side in resized.size)
        prepared.append(torch.from_numpy(np.array(resized.crop((left, top, left + 224, top + 224)))).permute(2, 0, 1))
    plain = models.squeezenet1_0()
    from safetensors.torch import load_file

    plain.load_state_dict(load_file(shared_data / "weights" / "squeezenet1_0.safetensors"))
    with torch.no_grad():
        expected = plain.eval()(model.input_spec.normalize(torch.stack(prepared))).argmax(dim=1).numpy()
    assert (answers == expected).mean() >= 0.9
    assert abs(int((answers == numbers).sum()) - int((expected == numbers).sum())) <= 1
