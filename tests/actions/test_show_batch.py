"""`striate.show_batch`: what training sees of its pictures, and what each of them is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate.data.augmentation import Augmentation
from striate.data.batches import Batches
from striate.data.samples import TRAIN
from striate.data.sources import open_dataset
from striate.data.splits import assign_splits
from striate.data.store import build_store
from striate.errors import InputError
from striate.models.input_spec import InputSpec
from striate.training.recipe_file import read_recipe


def photos(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(0)
    return draws.integers(0, 255, (count, 12, 12, 3), dtype=np.uint8), np.array(["ant", "bee"])[np.arange(count) % 2]


@pytest.mark.parametrize("epoch", [0, 3])
def test_of_a_run_it_is_what_its_batches_held(epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures, labels = photos()
    for number, (pixels, label) in enumerate(zip(pictures, labels, strict=True)):
        place = tmp_path / "photos" / label
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:02d}.png")
    run = striate.train("photos", out="run", network="linear", epochs=1, threads=1, seed=5, augment={"rotation": 20.0})
    _, resolved = read_recipe(run.folder / "recipe.toml")
    assert resolved["augment"]["rotation"] == 20
    shown = striate.show_batch("run", count=7, epoch=epoch)
    assert len(shown) == 7

    # By hand: all training pictures, and the batches that training made of them.
    samples, _ = assign_splits(open_dataset("photos"), seed=5)
    rows = samples.rows(TRAIN)

    class Task:
        def targets(self, rows: np.ndarray, placement: Any) -> Any:
            import torch

            return torch.from_numpy(rows)

        def mix(self, *arguments: Any) -> Any:
            raise AssertionError

    batches = Batches(
        build_store(samples, rows).store,
        task=Task(),
        frame=InputSpec.from_json(run.config["input"]),
        batch_size=len(rows),
        seed=5,
        augmentation=Augmentation(**resolved["augment"]),
        ahead=False,
    )
    (batch,) = batches.epoch(epoch)
    seen = {
        samples.names[rows[row]]: pixels
        for row, pixels in zip(batch.rows, batch.pictures.permute(0, 2, 3, 1).numpy(), strict=True)
    }
    for name, target, pixels in zip(shown.names, shown.targets, shown.pictures, strict=True):
        assert np.array_equal(pixels, seen[name])
        assert name.startswith(f"{target}/")


def test_of_a_source_it_is_what_training_by_default_would_see() -> None:
    pictures, labels = photos(200)
    first, again, later = (striate.show_batch((pictures, labels), count=5, epoch=epoch) for epoch in (0, 0, 1))
    assert np.array_equal(first.pictures, again.pictures)
    assert not np.array_equal(first.pictures, later.pictures)
    assert first.names == later.names
    assert first.pictures.shape == (5, 12, 12, 3)
    assert set(first.targets) <= {"ant", "bee"}
    assert len(striate.show_batch((pictures[:20], labels[:20]), count=500)) == 14  # 70 % of them


def test_what_it_cannot_show_is_said(tmp_path: Path) -> None:
    pictures, labels = photos(20)
    with pytest.raises(InputError, match="count must be 1 to 512, got 0"):
        striate.show_batch((pictures, labels), count=0)
    with pytest.raises(InputError, match="epoch must be at least 0, got -1"):
        striate.show_batch((pictures, labels), epoch=-1)
    with pytest.raises(InputError, match="no such file or folder"):
        striate.show_batch(tmp_path / "photos")
    table = tmp_path / "iris.csv"
    rows = "".join(f"{number},{number % 7},{'ab'[number % 2]}\n" for number in range(30))
    table.write_text("length,width,label\n" + rows, encoding="utf-8")
    with pytest.raises(InputError, match="a table of numbers has no pictures to show"):
        striate.show_batch(table)
    of_rows = striate.train(table, out=tmp_path / "rows", network="linear", epochs=1, threads=1)
    with pytest.raises(InputError, match=r"striate\.show_batch"):
        striate.show_batch(of_rows)
    run = striate.train((pictures, labels), out=tmp_path / "run", network="linear", epochs=1, threads=1)
    with pytest.raises(InputError, match="learned from arrays"):
        striate.show_batch(run)
