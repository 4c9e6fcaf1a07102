"""What a run was told to learn is what it is evaluated on, by itself; another source is asked for its own labels."""

from __future__ import annotations

import numpy as np
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


@pytest.fixture(scope="module")
def run(pictures, table, tmp_path_factory):
    return train(table, root=str(pictures), targets="species", out=tmp_path_factory.mktemp("run") / "a", **SETTINGS)


def test_the_column_that_was_named(run, pictures, table):
    found = evaluate(run, table, root=str(pictures))
    assert run.config["task"]["class_names"] == ["dark", "light", "striped"]
    assert sorted(found.targets.tolist()) == [0] * 20 + [1] * 20 + [2] * 20
    with pytest.raises(InputError, match="the model does not know the classes deep, pale"):
        evaluate(run, table, root=str(pictures), targets="colour")
    with pytest.raises(InputError, match="holds numbers, and the model answers classes"):
        evaluate(run, table, root=str(pictures), targets="number")


def test_another_source_has_labels_of_its_own(run, pictures):
    seen = Warnings()
    found = evaluate(run, pictures, observer=seen)
    assert len(found.targets) == 60
    assert any("its own labels are taken" in text and "class folders have no columns" in text for text in seen.texts)


def test_numbers_of_arrays(tmp_path):
    draws = np.random.default_rng(0)
    arrays = draws.integers(0, 256, (30, 6, 6), dtype=np.uint8), draws.uniform(0, 5, 30)
    found = evaluate(train(arrays, out=tmp_path / "a", **SETTINGS), arrays)
    np.testing.assert_allclose(found.targets[:, 0], arrays[1], rtol=1e-6)


def test_a_table_without_the_number_of_the_run_is_told_which_that_is(pictures, table, tmp_path):
    run = train(table, root=str(pictures), targets="number", out=tmp_path / "a", **SETTINGS)
    other = tmp_path / "other.csv"
    other.write_text(table.read_text().replace("number", "age"))
    with pytest.raises(InputError, match=r"no column 'number'; .* - the run answers numbers: number"):
        evaluate(run, other, root=str(pictures))
