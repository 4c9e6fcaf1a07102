"""Exported files: raw pictures in, the run's own answers out; a wrong one is refused, and says where it goes wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

import striate
from striate.errors import InputError
from striate.exports import KINDS
from striate.exports.opened import Opened
from striate.exports.pictures import odd_pictures
from striate.exports.proving import prove
from striate.exports.tracing import trace, traced
from striate.exports.whole import Whole
from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.networks import NETWORKS, build_network
from striate.tasks.classification import Classification
from striate.tasks.multilabel import MultiLabel
from striate.tasks.regression import Regression

REPOSITORY = Path(__file__).resolve().parents[2]
SPEC = InputSpec(channels=3, height=12, width=14, fit="crop", mean=(0.4, 0.5, 0.6), deviation=(0.2, 0.3, 0.25))


def model(network: nn.Module | None = None, spec: InputSpec = SPEC) -> Model:
    torch.manual_seed(0)
    small = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(6, 4, 3), nn.ReLU()), nn.Flatten(), nn.Linear(320, 3)
    )
    names = ("ant", "bee", "wäsp")
    return Model((network or small).eval(), spec, Classification(names, sharpness=3.0), channels_last=False)


def written(whole: nn.Module, to: str, folder: Path) -> Opened:
    """The whole as a file, opened."""
    path = folder / f"file{KINDS[to].suffix}"
    KINDS[to].write(trace(whole), path, "probabilities")
    return KINDS[to].open_file(path)


class WithoutAntialias(nn.Module):
    """The resize that most exports have: the same sizes and crop, pixels between are passed over."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, pictures: Tensor) -> Tensor:
        whole = pictures.permute(0, 3, 1, 2).float()
        return functional.interpolate(whole, size=(self.spec.height, self.spec.width), mode="bilinear").round()


def with_wrong_resize() -> Whole:
    whole = Whole(model())
    whole.bring = WithoutAntialias(SPEC)
    return whole


def with_wrong_layer() -> Whole:
    wrong = model()
    with torch.no_grad():
        wrong.network[2][0].weight.mul_(1.2)
    return Whole(wrong)


def refusal(whole: Whole, to: str, folder: Path) -> str:
    with pytest.raises(InputError) as error:
        prove(written(whole, to, folder), model(), odd_pictures(64, SPEC.height, SPEC.width))
    said = str(error.value)
    assert re.match(r"the export was refused: \d+ pictures of 64 are answered otherwise, by up to 0\.", said), said
    return said


def test_a_wrong_resize_is_refused(tmp_path):
    assert "the preprocessing differs: the resize" in refusal(with_wrong_resize(), "torch-export", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("to", KINDS)
def test_a_wrong_layer_is_refused_by_its_name(to, tmp_path):
    assert "the first layer that differs is '2.0' (Conv2d)" in refusal(with_wrong_layer(), to, tmp_path)


class Gate(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps if maps.mean() > 0 else -maps


class OfTwo(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.reshape(2, -1)


def test_a_network_that_cannot_be_exported_says_which_layer_and_leaves_no_file(tmp_path, capfd):
    deciding = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Sequential(nn.ReLU(), Gate()), nn.Flatten(), nn.Linear(240, 3))
    with pytest.raises(
        InputError, match=r"cannot be exported: its layer '1\.1' \(Gate\) does what a fixed graph cannot"
    ):
        striate.export(model(deciding), to="torch-export", out=tmp_path / "file.pt2")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in deciding.modules())


@pytest.mark.long
def test_a_network_for_so_many_pictures_and_no_others_cannot_be_exported(tmp_path):
    of_two = nn.Sequential(nn.Conv2d(3, 2, 3), OfTwo(), nn.Linear(240, 3))
    with pytest.raises(InputError, match="cannot be exported: Sequential, the network itself"):
        striate.export(model(of_two), to="torch-export", out=tmp_path / "file.pt2")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on colour and grey pictures of several sizes in a folder, and the folder: photos, run."""
    place = tmp_path_factory.mktemp("exported")
    for number in range(40):
        draws = np.random.default_rng(number)
        size = (int(draws.integers(9, 40)), int(draws.integers(9, 40)))
        levels = draws.integers(0, 100, (*size, 3)) + 120 * (number % 2)
        if number % 5 == 0:
            levels = levels[..., :1].repeat(3, 2)
        folder = place / "photos" / ("dark", "bright")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels.astype(np.uint8)).save(folder / f"{number}.png")
    striate.train(place / "photos", out=place / "run", network="lenet5", epochs=2, size=28)
    return place


@pytest.mark.long
def test_a_run_becomes_a_file_of_torchs_with_its_proof_in_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = striate.export(run / "run", to="torch-export")
    assert found.path == Path("run.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt2"]
    assert found.proof.pictures >= 64
    assert found.proof.held_out == 6  # 15 % of 40
    assert found.proof.smallest == (1, 1)
    assert found.proof.largest_difference < 1e-5
    extra = {"striate.json": ""}
    program = torch.export.load("run.pt2", extra_files=extra)
    facts = json.loads(extra["striate.json"])
    assert facts["class_names"] == ["bright", "dark"]
    assert facts["proof"] == json.loads(json.dumps(found.proof.to_json()))
    assert torch.__version__.startswith(facts["proof"]["versions"]["torch"])
    asked = striate.load(run / "run")
    picture = np.random.default_rng(1).integers(0, 256, (57, 31, 3)).astype(np.uint8)
    answers = program.module()(torch.from_numpy(picture)[None].repeat(3, 1, 1, 1))
    assert np.abs(answers.numpy() - asked.predict(picture)[0].probabilities).max() < 1e-5
    # A second one does not take its place.
    assert striate.export(run / "run", to="torch-export").path == Path("run-2.pt2")


@pytest.mark.long
def test_an_onnx_file_answers_with_onnx_runtime_alone(run, tmp_path):
    """The example of docs/export.md, in a process that has neither Striate nor torch; and a wrong file is refused."""
    found = striate.export(run / "run", out=tmp_path / "photos-1.onnx")
    assert found.proof.versions.keys() >= {"onnxruntime", "onnx", "torch", "striate"}
    (block,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "export.md").read_text("utf-8"), re.DOTALL)
    picture = np.random.default_rng(1).integers(0, 256, (57, 31, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "new.jpg", quality=95)
    told = "import sys\nassert not {'torch', 'striate'} & set(sys.modules)\nprint(json.dumps(probabilities.tolist()))"
    done = subprocess.run(
        [sys.executable, "-c", f"{block}\n{told}"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    (expected,) = striate.load(run / "run").predict(tmp_path / "new.jpg")
    assert lines[0].split()[0] == expected.label
    assert np.abs(np.array(json.loads(lines[-1]))[0] - expected.probabilities).max() < 1e-5
    assert f"{found.proof.pictures} pictures" in done.stdout
    opened = KINDS["onnx"].open_file(found.path)
    assert opened.facts["class_names"] == ["bright", "dark"]
    assert opened.session.get_inputs()[0].shape == ["N", "height", "width", 3]
    assert opened.session.get_outputs()[0].shape == ["N", 2]
    assert opened.facts["proof"]["largest_difference"] == found.proof.largest_difference
    wrong = refusal(with_wrong_resize(), "onnx", tmp_path)
    assert "the preprocessing differs: the resize" in wrong


@pytest.mark.long
def test_what_onnx_lacks_is_refused_with_its_layer(tmp_path):
    class Bessel(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return torch.special.bessel_j0(maps)

    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Sequential(Bessel()), nn.Flatten(), nn.Linear(240, 3))
    with pytest.raises(InputError, match=r"cannot be exported: its layer '1\.0' \(Bessel\).*No ONNX function"):
        striate.export(model(network), out=tmp_path / "bessel.onnx")


def test_shares_answer_the_same_from_an_onnx_file(tmp_path):
    task = Regression(("a", "b", "c"), (0.7, 0.1, 9.0), (0.4, 0.2, 2.0), shares=("a", "b"))
    asked = replace(model(), task=task)
    picture = odd_pictures(20, 12, 14)[-1]
    answers = written(Whole(asked), "onnx", tmp_path).answers(picture[None])
    assert np.allclose(answers, asked.answer(asked.prepare(picture)[None]).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.long
def test_what_onnx_lacks_around_the_network_is_refused_with_its_part(tmp_path):
    class Bessel(nn.Module):
        def forward(self, outputs: Tensor) -> Tensor:
            return torch.special.bessel_j0(outputs)

    whole = Whole(model())
    whole.decode = Bessel()
    with pytest.raises(
        InputError, match=r"the model cannot be exported: its part 'decode' \(Bessel\).*No ONNX function"
    ):
        written(whole, "onnx", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("name", [*NETWORKS, "squeezenet1_1", "mobilenet_v3_small", "tf_efficientnet_lite0"])
def test_every_network_answers_the_same_from_a_file(name, to, tmp_path):
    built = build_network(name, num_outputs=4, channels=3, size=(64, 64), seed=0)
    network = calibrated(built.network, built.size)
    spec = InputSpec(
        channels=3, height=built.size[0], width=built.size[1], fit="crop", mean=(0.4,) * 3, deviation=(0.3,) * 3
    )
    asked = Model(network, spec, Classification(("a", "b", "c", "d")))
    proof = prove(written(Whole(asked), to, tmp_path), asked, odd_pictures(64, *built.size))
    assert proof.largest_difference < 1e-4
    answers = asked.answer(torch.stack([asked.prepare(picture) for picture in odd_pictures(24, *built.size)]))
    assert answers.std(dim=0).max() > 1e-3, "answers that hardly differ prove nothing"


def calibrated(network: nn.Module, size: tuple[int, int]) -> nn.Module:
    """The network with norms that have seen some pictures, and linear layers that are not zero: fresh ones let little
    of a picture through deep layers, and nothing through some heads."""
    network.train()
    torch.manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(0, module.in_features**-0.5)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the mean of all that it has seen
        for _ in range(5):
            network(torch.randn(8, 3, *size))
    return network.eval()


@pytest.mark.long
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_every_preprocessing_answers_the_same_from_an_onnx_file(fit, channels, interpolation, tmp_path):
    spec = InputSpec(
        channels=channels, height=24, width=40, fit=fit, interpolation=interpolation, crop_share=0.9,
        mean=(0.4,) * channels, deviation=(0.3,) * channels,
    )  # fmt: skip
    torch.manual_seed(1)
    asked = model(nn.Sequential(nn.Conv2d(channels, 4, 5, stride=3), nn.Flatten(), nn.Linear(336, 3)), spec)
    opened = written(Whole(asked), "onnx", tmp_path)
    assert prove(opened, asked, odd_pictures(80, 24, 40)).largest_difference < 1e-5
    brought = opened.layers(odd_pictures(16, 24, 40)[15][None])["bring"]
    assert np.array_equal(brought[0], spec.prepare(odd_pictures(16, 24, 40)[15]).float().numpy())


@pytest.mark.long
@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize(
    ("task", "output"),
    [
        (MultiLabel(("a", "b", "c")), "probabilities"),
        (Regression(("a", "b", "c"), (3.0, -100.0, 0.0), (2.0, 50.0, 0.01)), "numbers"),
    ],
    ids=["labels", "numbers"],
)
def test_labels_and_numbers_answer_the_same_from_a_file(task, output, to, tmp_path):
    asked = replace(model(), task=task)
    found = striate.export(asked, to=to, out=tmp_path / f"file{KINDS[to].suffix}")
    assert found.names == ("a", "b", "c")
    assert found.gives == f"{output}: (N, 3) float32"
    picture = odd_pictures(20, 12, 14)[-1]
    answers = KINDS[to].open_file(found.path).answers(picture[None])
    assert np.allclose(answers, asked.answer(asked.prepare(picture)[None]).numpy(), rtol=1e-5, atol=1e-6)


def test_the_model_is_as_it_was_afterwards():
    asked = model()
    asked.network.train()
    before = {name: value.clone() for name, value in asked.network.state_dict().items()}
    traced(asked)
    assert asked.network.training
    assert all(torch.equal(before[name], value) for name, value in asked.network.state_dict().items())
    assert all(weight.requires_grad for weight in asked.network.parameters())


def test_without_the_extra_one_sentence_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as where it is not installed
    with pytest.raises(InputError, match=r"onnxscript, which is not installed; run: pip install 'striate\[export\]'"):
        striate.export(model(), out=tmp_path / "file.onnx")
    assert list(tmp_path.iterdir()) == []


def test_fewer_pictures_prove_nothing(tmp_path):
    with pytest.raises(InputError, match="a proof needs 64 pictures, got 63"):
        prove(None, model(), odd_pictures(63, 12, 14))  # type: ignore[arg-type]
