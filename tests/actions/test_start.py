"""Training that starts from an earlier run: what is taken over, by name, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import striate
from striate.errors import InputError
from striate.training.recipe_file import read_recipe

QUICK = {"epochs": 1, "device": "cpu", "threads": 1, "precision": "float32"}
# So small that a step changes no weight.
STILL = {**QUICK, "learning_rate": 1e-30, "averaging": 0.0}


def weights(run: striate.Run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "model.safetensors")


def write_pictures(folder: Path, classes: dict[str, int], side: int = 12, *, colour: bool = False) -> Path:
    """20 noisy PNG files for each class, about as bright as it says."""
    rng = np.random.default_rng(1)
    for name, level in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 60, (side, side, 3) if colour else (side, side)) + level
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def earlier(pictures, tmp_path_factory) -> striate.Run:
    """Classes dark, light, striped; 12x12 grey pictures."""
    out = tmp_path_factory.mktemp("runs") / "earlier"
    return striate.train(pictures, out=out, network="small-conv", width=8, **QUICK)


def log_of(run: striate.Run) -> str:
    return (run.folder / "log.txt").read_text()


def test_weights_network_and_preprocessing_are_taken_over(earlier, tmp_path):
    source = write_pictures(tmp_path / "other", {"dark": 120, "light": 10, "striped": 60}, side=20)
    run = striate.train(source, out=tmp_path / "run", from_run=earlier, **STILL)
    before, after = weights(earlier), weights(run)
    assert before.keys() == after.keys()
    # Running statistics of the normalisations go on; everything that is learned stays where it was.
    learned = [name for name in before if "running" not in name and "tracked" not in name]
    assert len(learned) > 4
    assert all(torch.equal(before[name], after[name]) for name in learned)
    assert run.config["input"] == earlier.config["input"]
    assert run.config["network"] == earlier.config["network"]
    # Said in whole: another default of a later version changes nothing.
    assert run.config["network"]["arguments"] == {"width": 8, "dropout": 0.0, "residual": True}
    assert f"starts from the weights of {earlier}" in log_of(run)
    recipe, resolved = read_recipe(run.folder / "recipe.toml")
    assert recipe.from_run == str(earlier)
    assert resolved["network"] == "small-conv"


def test_outputs_follow_their_class_by_name(earlier, tmp_path):
    """A class is gone, one is new, and the order differs; `bright` sorts before all of them."""
    source = write_pictures(tmp_path / "mixed", {"striped": 150, "bright": 190, "dark": 0})
    run = striate.train(source, out=tmp_path / "run", from_run=earlier, **STILL)
    assert run.config["task"]["class_names"] == ["bright", "dark", "striped"]
    before, after = weights(earlier), weights(run)
    head = next(name for name in before if name.startswith("head") and name.endswith("weight"))
    for name in (head, head.removesuffix("weight") + "bias"):
        assert torch.equal(after[name][1], before[name][0])  # dark
        assert torch.equal(after[name][2], before[name][2])  # striped
    assert not any(torch.equal(after[head][0], row) for row in before[head])
    assert "new are bright" in log_of(run)


def test_what_the_earlier_run_had_learned_is_there_before_a_step(pictures, tmp_path):
    first = striate.train(pictures, out=tmp_path / "first", network="lenet5", **{**QUICK, "epochs": 8})
    run = striate.train(pictures, out=tmp_path / "run", from_run=first, **STILL)
    fresh = striate.train(pictures, out=tmp_path / "fresh", network="lenet5", **STILL)
    told = [one.metrics["test"]["accuracy"]["value"] for one in (first, run, fresh)]
    assert told[0] == told[1] > told[2]


def test_it_is_repeated_by_its_recipe_and_resumed_without_the_earlier_run(earlier, pictures, tmp_path):
    copied = striate.Run(shutil.copytree(earlier.folder, tmp_path / "copy"))
    run = striate.train(pictures, out=tmp_path / "run", from_run=copied, **QUICK)
    again = striate.train(pictures, out=tmp_path / "again", recipe=run.folder / "recipe.toml")
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(run).items())
    two = striate.train(pictures, out=tmp_path / "two", from_run=copied, **{**QUICK, "epochs": 2})
    shutil.rmtree(copied.folder)
    # `two` was planned for another schedule, so that it is no oracle; that it goes on, with the same input, is asked.
    further = striate.resume(run, epochs=2)
    assert len((further.folder / "history.csv").read_text().splitlines()) == 3
    assert further.config["input"] == two.config["input"]


def test_a_module_of_ones_own(pictures, tmp_path):
    def module(outputs: int) -> nn.Module:
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(144, 8), nn.ReLU(), nn.Linear(8, outputs))

    first = striate.train(pictures, out=tmp_path / "first", network=module(3), **QUICK)
    run = striate.train(pictures, out=tmp_path / "run", network=module(3), from_run=first, **STILL)
    assert all(torch.equal(value, weights(run)[name]) for name, value in weights(first).items())
    with pytest.raises(InputError, match="network of your own; give it in Python"):
        striate.train(pictures, out=tmp_path / "none", from_run=first, **QUICK)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"network": "lenet5"}, "is a run of small-conv, not of lenet5"),
        ({"network": nn.Flatten()}, "is a run of small-conv, whose weights a network of your own cannot take"),
        ({"width": 16}, "width and from"),
        ({"pretrained": True}, "pretrained and from"),
        ({"from_run": "nowhere"}, "nowhere: there is no such run"),
        ({"from_run": "."}, "not a run"),
        ({"out": "EARLIER", "overwrite": True}, "is the run to start from"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(earlier, pictures, tmp_path, monkeypatch, settings, words):
    monkeypatch.chdir(tmp_path)
    asked = {"out": tmp_path / "run", "from_run": earlier, **QUICK, **settings}
    if settings.get("out"):
        asked["out"] = earlier.folder
    before = sorted(path.name for path in earlier.folder.iterdir())
    with pytest.raises(InputError, match=words):
        striate.train(pictures, **asked)
    assert not (tmp_path / "run").exists()
    assert sorted(path.name for path in earlier.folder.iterdir()) == before


def test_weights_that_the_size_changes_are_refused(pictures, tmp_path):
    first = striate.train(pictures, out=tmp_path / "first", network="mlp", **QUICK)
    with pytest.raises(InputError, match="made for pictures of 12x12, do not fit"):
        striate.train(pictures, out=tmp_path / "run", from_run=first, size=16, **QUICK)
    assert not (tmp_path / "run").exists()
