"""Labels and numbers of a thousand pictures: the head on the pretrained network, and its last stages fine-tuned."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import striate
from striate.actions import fine_tuning
from striate.networks import build_network
from striate.training.recipe_file import read_recipe

SETTINGS: dict[str, Any] = {"size": 32, "device": "cpu", "threads": 1, "precision": "float32", "seed": 1}
# The fewest with which fine-tuning is tried, and 32 to test on.
PICTURES = {"train": 850, "validation": 150, "test": 32}


def coloured() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By split: pictures (n, 32, 32, 3) of two halves in noise, and how red and how blue they are (n, 2)."""
    assert PICTURES["train"] + PICTURES["validation"] == fine_tuning.FEWEST_TO_TUNE
    assert PICTURES["validation"] == fine_tuning.FEWEST_HELD_BACK
    made = {}
    for number, (split, count) in enumerate(PICTURES.items()):
        generator = np.random.default_rng(number)
        shares = generator.random((count, 2))
        pictures = generator.random((count, 32, 32, 3)) * 90
        pictures[:, :16, :, 0] += 160 * shares[:, 0, None, None]
        pictures[:, 16:, :, 2] += 160 * shares[:, 1, None, None]
        made[split] = (pictures.astype(np.uint8), shares)
    return made


@pytest.fixture(scope="module")
def sources() -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    made = coloured()
    return {
        "labels": {split: (pictures, (shares > [0.5, 0.7]).astype(int)) for split, (pictures, shares) in made.items()},
        "numbers": {split: (pictures, shares * [40, 3] - [7, 0]) for split, (pictures, shares) in made.items()},
    }


@pytest.fixture
def _one_epoch(monkeypatch) -> None:
    monkeypatch.setattr(fine_tuning, "PASSES", PICTURES["train"])
    monkeypatch.setattr(fine_tuning, "SIGNIFICANT", -1e9)  # kept, whether it helps or not


def weights(run: striate.Run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "model.safetensors")


def predictions(run: striate.Run) -> list[list[str]]:
    with (run.folder / "predictions.csv").open(newline="") as file:
        return list(csv.reader(file))[1:]


def assert_fine_tuned(run: striate.Run, before: dict[str, torch.Tensor], columns: set[str]) -> dict[str, Any]:
    """What was tuned and noted, and only that; `[resolved]`."""
    log = (run.folder / "log.txt").read_text()
    assert "fine-tuning of the last stages: 1 epoch of 850 pictures, kept if validation gains by it" in log
    assert "fine-tuning is kept" in log
    _, resolved = read_recipe(run.folder / "recipe.toml")
    assert resolved["fine_tune"]
    assert resolved["steps"] == 850 // 32
    after = weights(run)
    moved = {name for name in after if name.startswith("features.") and not torch.equal(after[name], before[name])}
    assert moved
    allowed = tuple(f"features.stages.{stage}." for stage in range(fine_tuning.TUNED_FROM, 7))
    assert all(name.startswith((*allowed, "features.top.")) for name in moved)
    with (run.folder / "history.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert {name for name in row if name.startswith("validation_")} == columns
    assert run.metrics["validation"]["n"] == 150
    assert "cross_validation" not in run.metrics
    return resolved


@pytest.mark.long
@pytest.mark.usefixtures("_one_epoch")
def test_labels_and_then_numbers_from_their_run_are_fine_tuned(sources, tmp_path: Path) -> None:
    run = striate.train(sources["labels"], out=tmp_path / "labels", **SETTINGS)
    published = build_network("efficientnet-lite0", num_outputs=2, channels=3, size=32, pretrained=True, seed=0)
    resolved = assert_fine_tuned(
        run, dict(published.network.state_dict()), {"validation_log_loss", "validation_accuracy"}
    )
    assert resolved["augment"] == fine_tuning.VARIED["multilabel"]
    assert run.metrics["test"]["mean_average_precision"]["value"] > 0.9  # about 0.4 by chance
    pictures, wanted = sources["labels"]["test"]
    answers = striate.load(run).predict(list(pictures))
    told = np.array([[float(cell) for cell in row[3:]] for row in predictions(run)])
    assert np.array([one.probabilities for one in answers]) == pytest.approx(told, abs=1e-5)
    assert ((told > 0.5) == wanted).mean() > 0.8

    # The same pictures with numbers, from what was learned for the labels.
    later = striate.train(sources["numbers"], out=tmp_path / "numbers", from_run=run, **SETTINGS)
    columns = {"validation_squared_error", "validation_absolute_error"}
    resolved = assert_fine_tuned(later, weights(run), columns)
    assert not resolved.get("augment")  # nobody knows what numbers measure
    assert str(run) in (later.folder / "README.md").read_text() + (later.folder / "log.txt").read_text()
    pictures, wanted = sources["numbers"]["test"]
    answers = striate.load(later).predict(list(pictures))
    told = np.array([[float(cell) for cell in row[2::2]] for row in predictions(later)])
    numbers = np.array([list(one.numbers.values()) for one in answers])
    assert numbers == pytest.approx(told, rel=1e-4, abs=1e-4)
    assert (np.abs(numbers - wanted).mean(axis=0) < 0.6 * np.abs(wanted - wanted.mean(axis=0)).mean(axis=0)).all()
