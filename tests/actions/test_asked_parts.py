"""Parts of a training through whole runs: what they need is asked for, and a run with them repeats bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torch import nn

import striate
from striate.errors import InputError
from striate.training.recipe_file import read_recipe

COMMON = {"device": "cpu", "threads": 1, "precision": "float32", "layout": "channels-last"}


def arrays(kind: str = "classes") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], [24, 12, 8])
    pictures = (rng.integers(0, 120, (44, 12, 12)) + 60 * classes[:, None, None]).astype(np.uint8)
    return pictures, classes if kind == "classes" else rng.normal(size=44)


@pytest.mark.parametrize(
    "settings",
    [
        {
            "optimizer": {"name": "muon", "layer_decay": 0.8},
            "schedule": {"name": "plateau", "wait": 1},
            "regularizer": {"l1": 1e-5},
            "loss": "hinge",
            "balance": True,
            "accumulate": 2,
            "batch_size": 8,
            "swa": 0.5,
            "dropout": 0.4,
            "freeze": "features.0",
        },
        {"optimizer": {"name": "lbfgs", "iterations": 3}, "loss": "squared"},
    ],
    ids=["all at once", "lbfgs"],
)
def test_a_run_repeats_bit_for_bit_and_its_model_answers(tmp_path: Path, settings: dict[str, object]) -> None:
    source = arrays()
    run = striate.train(source, out=tmp_path / "run", network="small-conv", width=4, epochs=3, **{**COMMON, **settings})
    assert striate.verify(run, source=source).repeats
    model = striate.load(run)
    assert model.answer(model.prepare(source[0][0][..., None])[None]).shape == (1, 3)
    assert model.task.to_json()["loss"] == settings["loss"]


def test_the_squared_error_of_classes_does_not_throw_the_weights_away(tmp_path: Path) -> None:
    digits = load_digits()
    source = (digits.images[:300] * 15).astype(np.uint8), digits.target[:300]
    run = striate.train(source, out=tmp_path / "run", network="small-conv", width=8, loss="squared", epochs=3, **COMMON)
    assert read_recipe(run.folder / "recipe.toml")[1]["clip"] == 1.0
    assert run.metrics["validation"]["accuracy"]["value"] > 0.3


def test_lbfgs_follows_the_whole_gradient_of_numbers(tmp_path: Path) -> None:
    lbfgs = {"optimizer": {"name": "lbfgs", "iterations": 3}}
    run = striate.train(arrays("numbers"), out=tmp_path / "run", network="linear", epochs=1, **lbfgs, **COMMON)
    assert "clip" not in read_recipe(run.folder / "recipe.toml")[1]


def test_what_a_part_needs_is_asked_for(tmp_path: Path) -> None:
    own = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    with pytest.raises(InputError, match="put it into your own network yourself"):
        striate.train(arrays(), out=tmp_path / "run", network=own, dropout=0.5, epochs=1, **COMMON)
    with pytest.raises(InputError, match="balance draws classes equally often, and this is regression"):
        striate.train(arrays("numbers"), out=tmp_path / "run", network="linear", balance=True, epochs=1, **COMMON)
    with pytest.raises(InputError, match="loss focal does not fit regression; what does: squared, absolute, huber"):
        striate.train(arrays("numbers"), out=tmp_path / "run", network="linear", loss="focal", epochs=1, **COMMON)
    assert not (tmp_path / "run").exists()


WATCHED = "schedule plateau watches validation, and nothing is held back for it that can be used; take another"


def test_a_rate_that_validation_moves_asks_for_pictures_of_validation(tmp_path: Path) -> None:
    from PIL import Image

    from striate.estimators import ImageClassifier

    pictures, classes = arrays()
    # Estimators learn from all pictures that they are given.
    estimator = ImageClassifier(network="linear", epochs=2, device="cpu", settings={"schedule": {"name": "plateau"}})
    with pytest.raises(ValueError, match="schedule plateau watches validation, and all of X is learned from"):
        estimator.fit(pictures, classes)
    # Those that a folder holds back may all be broken.
    for split, count in (("train", 4), ("validation", 2), ("test", 2)):
        for label in range(2):
            (tmp_path / "source" / split / str(label)).mkdir(parents=True)
            for number in range(count):
                place = tmp_path / "source" / split / str(label) / f"{number}.png"
                if split == "validation":
                    place.write_bytes(b"no picture")
                else:
                    Image.fromarray(pictures[30 * label + number]).save(place)
    settings = {"network": "linear", "epochs": 2, **COMMON}
    with pytest.raises(InputError, match=WATCHED):
        striate.train(tmp_path / "source", out=tmp_path / "run", schedule={"name": "plateau"}, **settings)
    assert not (tmp_path / "run").exists()
    run = striate.train(tmp_path / "source", out=tmp_path / "run", schedule={"name": "step"}, **settings)
    assert "validation" not in run.metrics
