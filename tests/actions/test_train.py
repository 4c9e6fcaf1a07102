"""`striate.train` from end to end: what a run holds, networks of one's own, the same run again."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import striate
from striate.errors import InputError
from striate.training.recipe import Recipe
from striate.training.recipe_file import read_recipe

QUICK = {"epochs": 2, "device": "cpu", "threads": 1, "precision": "float32"}
LENET = {"network": "lenet5", "seed": 1, "layout": "channels-last", **QUICK}


def rows(run) -> list[dict[str, str]]:
    with (run.folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def without_times(history: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def weights(run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "model.safetensors")


def equal(one, other) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    return striate.train(pictures, out=tmp_path_factory.mktemp("runs") / "a", **LENET)


def test_the_threads_of_the_callers_program_are_its_own(trained, pictures, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        model = striate.load(trained)
        model.predict(np.zeros((28, 28), dtype=np.uint8))
        striate.train(pictures, out=tmp_path / "run", **(LENET | {"epochs": 1}))
        striate.evaluate(tmp_path / "run", pictures)
        striate.look(tmp_path / "run", out=tmp_path / "look.html")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_run_holds_its_files_and_its_decisions(trained):
    names = {path.name for path in trained.folder.iterdir()}
    assert {
        "model.safetensors", "config.json", "recipe.toml", "history.csv", "log.txt", "metrics.json",
        "predictions.csv", "README.md", "report.html", "checkpoints",
    } <= names  # fmt: skip
    recipe, resolved = read_recipe(trained.folder / "recipe.toml")
    assert recipe == Recipe(**LENET)
    assert resolved["epochs"] == 2
    assert resolved["fingerprint"]
    assert json.loads((trained.folder / "config.json").read_text())["data"]["fingerprint"] == resolved["fingerprint"]
    history = rows(trained)
    assert [row["epoch"] for row in history] == ["1", "2"]
    assert any(name.startswith("update_ratio:") for name in history[0])
    log = (trained.folder / "log.txt").read_text()
    assert "epoch   1" in log
    assert "epoch   2" in log


def test_the_same_seed_gives_the_same_bits_and_another_does_not(trained, pictures, tmp_path):
    again = striate.train(pictures, out=tmp_path / "again", **LENET)
    assert equal(trained, again)
    assert without_times(rows(trained)) == without_times(rows(again))
    assert (trained.folder / "predictions.csv").read_bytes() == (again.folder / "predictions.csv").read_bytes()
    other = striate.train(pictures, out=tmp_path / "other", **{**LENET, "seed": 2})
    assert not equal(trained, other)


def test_a_recipe_repeats_its_run(trained, pictures, tmp_path):
    repeated = striate.train(pictures, out=tmp_path / "repeated", recipe=trained.folder / "recipe.toml")
    assert equal(trained, repeated)


class Own(nn.Module):
    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(3))
        self.out = nn.Linear(36, outputs)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.out(self.body(pictures).flatten(1))
        return scores


def test_a_network_of_ones_own_trains_and_is_loaded_again(pictures, tmp_path):
    run = striate.train(pictures, out=tmp_path / "own", network=Own(), learning_rate=0.02, **{**QUICK, "epochs": 12})
    assert run.config["network"]["name"] == "own"
    assert run.metrics["test"]["accuracy"]["value"] > 0.8
    model = striate.load(run, network=Own())
    with (run.folder / "predictions.csv").open(newline="") as file:
        told = {row["path"]: row for row in csv.DictReader(file)}
    answers = striate.predict(model, [pictures / name for name in told])
    for answer, row in zip(answers.answers, told.values(), strict=True):
        assert answer.label == row["prediction"]
        assert answer.probability == pytest.approx(float(row["probability"]), abs=2e-6)
    with pytest.raises(InputError, match="trained on a network of your own"):
        striate.load(run)
    with pytest.raises(InputError, match="weights of another network"):
        striate.load(run, network=Own(outputs=5))


def test_arrays_and_row_weights_and_watching(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    arrays = (rng.uniform(0, 100, (60, 10, 10)) + 120 * labels[:, None, None]).astype(np.uint8)

    class Watch(striate.Observer):
        def __init__(self) -> None:
            self.losses, self.rows = [], []

        def on_step(self, record):
            self.losses.append(record["loss"])

        def on_epoch(self, record):
            self.rows.append(dict(record))

    watch = Watch()
    run = striate.train((arrays, labels), network="linear", observer=watch, **{**QUICK, "epochs": 4})
    assert run.folder.parent == Path("runs")
    assert len(watch.rows) == 4
    assert watch.losses[-1] < watch.losses[0]
    assert run.metrics["test"]["accuracy"]["value"] > 0.9


def test_a_run_that_diverges_keeps_its_folder_and_says_what_to_try(pictures, tmp_path):
    own = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(256, 3))
    with pytest.raises(InputError, match=r"(step \d+ in layer \w+|layer \w+ are no numbers) .*--learning-rate"):
        striate.train(
            pictures, out=tmp_path / "wild", network=own, learning_rate=1000.0, augment={"name": "none"}, **QUICK
        )
