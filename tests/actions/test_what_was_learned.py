"""What a run was told to learn is what it is evaluated on, by itself; another source is asked for its own labels."""

from __future__ import annotations

import pytest

from striate.actions.evaluate import evaluate
from striate.actions.train import train
from striate.errors import InputError
from striate.observer import Observer

SETTINGS = {"network": "linear", "epochs": 1, "threads": 1, "precision": "float32", "device": "cpu"}


class Warnings(Observer):
    def __init__(self):
        self.texts = []

    def warn(self, text):
        self.texts.append(text)


@pytest.fixture(scope="module")
def table(pictures, tmp_path_factory):
    """The pictures in a table without a column for labels: two columns of names, one of numbers."""
    lines = ["path,species,colour,number"]
    for place in sorted(pictures.rglob("*.png")):
        kind = place.parent.name
        lines.append(f"{kind}/{place.name},{kind},{'pale' if kind == 'light' else 'deep'},{len(kind)}.5")
    path = tmp_path_factory.mktemp("table") / "all.csv"
    path.write_text("\n".join(lines))
    return path


def test_a_column_that_was_named(pictures, table, tmp_path):
    run = train(table, root=str(pictures), targets="colour", out=tmp_path / "run", **SETTINGS)
    found = evaluate(run, table, root=str(pictures))
    assert set(run.config["task"]["class_names"]) == {"pale", "deep"}
    assert len(found.targets) == 60
    assert found.targets.sum() == 20  # of one of the two
    with pytest.raises(InputError, match="the model does not know the classes dark, light, striped"):
        evaluate(run, table, root=str(pictures), targets="species")
    with pytest.raises(InputError, match="holds numbers, and the model answers classes"):
        evaluate(run, table, root=str(pictures), targets="number")


def test_another_source_has_labels_of_its_own(pictures, table, tmp_path):
    run = train(table, root=str(pictures), targets="species", out=tmp_path / "run", **SETTINGS)
    seen = Warnings()
    found = evaluate(run, pictures, observer=seen)
    assert len(found.targets) == 60
    assert any("its own labels are taken" in text and "class folders have no columns" in text for text in seen.texts)


def test_numbers_of_arrays_and_of_class_folders(tmp_path, make_pictures):
    import numpy as np

    draws = np.random.default_rng(0)
    arrays = draws.integers(0, 256, (30, 6, 6), dtype=np.uint8), draws.uniform(0, 5, 30)
    assert evaluate(train(arrays, out=tmp_path / "a", **SETTINGS), arrays).targets.shape == (30, 1)
    folders = make_pictures(tmp_path / "numbers", count=8)
    for number, name in enumerate(("dark", "light", "striped")):
        (folders / name).rename(folders / str(number))
    run = train(folders, task="regression", out=tmp_path / "b", **SETTINGS)
    assert sorted(set(evaluate(run, folders).targets[:, 0].tolist())) == [0, 1, 2]
