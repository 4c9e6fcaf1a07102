"""`--network NAME --weights FILE` in the place of RUN."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from command import here, write_pictures
from safetensors.torch import save_file
from torchvision import models


@pytest.fixture
def weights(place: Path) -> Path:
    """Of torchvision's SqueezeNet 1.1, for classes a and b."""
    torch.manual_seed(0)
    save_file(models.squeezenet1_1(num_classes=2).state_dict(), place / "weights.safetensors")
    (place / "names.txt").write_text("a\nb\n")
    return place / "weights.safetensors"


def test_predict_and_evaluate_take_a_network(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(weights.parent / "pictures", count=2)
    network = ["--network", "squeezenet1_1", "--weights", weights, "--class-names", "names.txt"]
    said = here(capsys, "predict", *network, "pictures/a/0.png", "pictures/b/0.png", "--json")
    assert said.code == 0, said
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [row["path"] for row in rows] == ["pictures/a/0.png", "pictures/b/0.png"]
    assert {row["prediction"] for row in rows} <= {"a", "b"}
    # The flags may come last, too, and with an equals sign.
    both = ["pictures/a/0.png", "pictures/b/0.png"]
    again = here(capsys, "predict", *both, "--json", *network[2:], "--network=squeezenet1_1")
    assert again.out == said.out
    said = here(capsys, "evaluate", "pictures", *network, "--json")
    assert said.code == 0, said
    assert json.loads(said.out)["pictures"] == 4


def test_mistakes(weights: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = "pictures/a/0.png"
    for arguments, message in (
        (("predict", run, picture, "--network", "squeezenet1_1"), "run and --network squeezenet1_1: give the run or"),
        (("evaluate", run, "--network", "squeezenet1_1"), "run and --network squeezenet1_1: give the run or the"),
        (("evaluate", run, "pictures", "--network", "squeezenet1_1"), "'pictures' is one argument too many"),
        (("predict", run, picture, "--weights", weights), "a run has its own weights; leave --weights away"),
        (("predict", "--network", "squeezenet1_1"), "required: PICTURE"),
        (("predict", picture), "required: PICTURE"),
        (("predict", "--network", "squeezenet1_1", "--weights", "none.pth", picture), "none.pth: no such file"),
        (
            ("predict", "--network", "squeezenet", "--weights", weights, picture),
            "no network 'squeezenet'; did you mean",
        ),
        (("predict", "--network", "resnet18", "--weights", weights, picture), "not the weights of resnet18"),
    ):
        assert message in here(capsys, *arguments).sentence.replace(f"{run.parent}/", "")
