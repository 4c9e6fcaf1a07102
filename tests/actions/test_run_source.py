"""What is looked at of a run's pictures later is what it learned from, wherever one stands."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

import striate
from striate.actions.look_data import of_run

SETTINGS = {"network": "lenet5", "epochs": 1, "batch_size": 8, "device": "cpu", "threads": 1, "precision": "float32"}


class Heard(striate.Observer):
    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)


def in_the_test(run: striate.Run) -> set[str]:
    with (run.folder / "predictions.csv").open(newline="") as file:
        return {row["path"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def fold(pictures, tmp_path_factory) -> striate.Run:
    """The second of three folds, learned from half of the others."""
    place = tmp_path_factory.mktemp("fold") / "run"
    return striate.train(pictures, out=place, fold="2/3", share=0.5, seed=3, **SETTINGS)


def test_a_sheet_of_a_fold_shows_all_that_it_learned_from_and_nothing_else(fold):
    counts = fold.metrics["counts"]["by_split"]
    shown = striate.show_batch(fold, count=100)
    assert len(set(shown.names)) == len(shown) == counts["train"]
    assert not set(shown.names) & in_the_test(fold)


def test_a_fold_is_looked_into_with_what_it_learned_from_and_chose_by(fold):
    counts = fold.metrics["counts"]["by_split"]
    samples = of_run(fold, striate.Observer())
    assert samples is not None
    assert len(samples) == counts["train"] + counts.get("validation", 0)
    assert not set(samples.names) & in_the_test(fold)


def test_a_page_made_anew_from_another_folder_has_its_pictures(pictures, tmp_path, monkeypatch):
    shutil.copytree(pictures, tmp_path / "patterns")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    run = striate.train("patterns", out=Path(tmp_path / "run"), **SETTINGS)
    before = run.report.read_bytes()
    assert before.count(b"<img") > 5
    monkeypatch.chdir("elsewhere")
    heard = Heard()
    striate.report(run, observer=heard)
    assert heard.warned == []
    assert run.report.read_bytes() == before


def test_a_picture_of_the_run_is_known_from_another_folder(pictures, tmp_path, monkeypatch):
    shutil.copytree(pictures, tmp_path / "patterns")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    run = striate.train("patterns", out=Path(tmp_path / "run"), **SETTINGS)
    monkeypatch.chdir("elsewhere")
    found = striate.explain(run, Path("../patterns/striped/1.png"), method="gradient")
    assert found.label == "striped"
    with pytest.raises(striate.InputError, match="it would lie"):
        striate.explain(run, Path("../patterns/striped/1.png"), method="gradient", out="../patterns/why")
