"""Trainings whose pictures vary in every way: what is fitted for it is written down, and the run can be repeated."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.data.principal import colour_axes
from striate.data.samples import TRAIN
from striate.data.sources import open_dataset
from striate.data.store import build_store

PLAIN = {"precision": "float32", "layout": "channels-last", "threads": 1, "device": "cpu", "allocator": "plain"}
VARIED = {
    "name": "none",
    "elastic": 8.0,
    "elastic_sigma": 2.0,
    "pca_colour": 0.5,
    "rand_augment": 2,
    "blur": 1.0,
    "noise": 0.05,
    "jpeg": 50,
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    chance = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 5), ("test", 5)):
        for number, name in enumerate(("a", "b")):
            place = tmp_path / "pictures" / split / name
            place.mkdir(parents=True)
            for index in range(count):
                pixels = np.add(chance.integers(0, 150, (10, 13, 3)), (80 * number, 40, 10))
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{index}.png")
    return tmp_path / "pictures"


def test_axes_of_colour_are_fitted_once_and_the_run_repeats_bit_for_bit(pictures: Path, tmp_path: Path) -> None:
    run = striate.train(pictures, out=tmp_path / "run", network="linear", epochs=2, augment=VARIED, **PLAIN)
    resolved = tomllib.loads((run.folder / "recipe.toml").read_text())["resolved"]["augment"]
    samples = open_dataset(pictures)
    store = build_store(samples, samples.rows(TRAIN)).store
    assert resolved == {
        **{name: value for name, value in VARIED.items() if name != "name"},
        "pca_axes": list(colour_axes(store, 3)),
    }
    weights = (run.folder / "model.safetensors").read_bytes()
    again = striate.train(pictures, out=tmp_path / "again", recipe=run.folder / "recipe.toml")
    assert (again.folder / "model.safetensors").read_bytes() == weights
    other = striate.train(
        pictures, out=tmp_path / "other", network="linear", epochs=2, augment={**VARIED, "pca_colour": 0.0}, **PLAIN
    )
    assert (other.folder / "model.safetensors").read_bytes() != weights
    # What was drawn in the second epoch does not hang on where the run was stopped.
    short = striate.train(pictures, out=tmp_path / "short", network="linear", epochs=1, augment=VARIED, **PLAIN)
    longer = striate.resume(short, epochs=2)
    assert tomllib.loads((longer.folder / "recipe.toml").read_text())["resolved"]["augment"] == resolved
