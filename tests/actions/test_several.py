"""Cross-validation and learning curves from end to end: what is trained, what is said, stopped and gone on with."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import striate
from striate.actions.several import figure_of
from striate.cli.main import status
from striate.errors import InputError
from striate.observer import Observer

QUICK = {"network": "linear", "epochs": 2, "learning_rate": 0.02, "device": "cpu", "threads": 1, "precision": "float32"}


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    return (found.images[:400] * 15.9).astype(np.uint8), found.target[:400]


def answered(run) -> list[str]:
    with (run.folder / "predictions.csv").open(newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def validated(digits, tmp_path_factory):
    return striate.cross_validate(digits, folds=4, out=tmp_path_factory.mktemp("folds") / "all", **QUICK)


def test_every_picture_is_answered_once(validated):
    names = [name for run in validated.runs for name in answered(run)]
    assert len(names) == len(set(names)) == 400


def test_the_mean_is_that_of_the_folds(validated):
    values = [run.metrics["test"]["accuracy"]["value"] for run in validated.runs]
    assert validated.mean.value == pytest.approx(sum(values) / 4)
    assert validated.mean.value > 0.5
    assert validated.mean.low < validated.mean.value < validated.mean.high
    written = json.loads((validated.folder / "folds.json").read_text())
    assert [one["value"] for one in written["folds"]] == values
    page = validated.page.read_text()
    assert "the mean of 4 folds" in page
    assert "fold-3" in page


def test_a_fold_is_a_run_of_its_own(validated, digits, tmp_path):
    alone = striate.train(digits, out=tmp_path / "alone", fold="2/4", **QUICK)
    assert answered(alone) == answered(validated.runs[1])
    assert alone.metrics["test"]["accuracy"] == validated.runs[1].metrics["test"]["accuracy"]


class Stopping(Observer):
    """Ctrl-C when the third fold begins."""

    def say(self, text: str) -> None:
        if text.startswith("fold-3,"):
            raise KeyboardInterrupt


def test_what_was_stopped_goes_on_with_the_same_figures(validated, digits, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        striate.cross_validate(digits, folds=4, out=tmp_path / "all", observer=Stopping(), **QUICK)
    first = (tmp_path / "all" / "fold-1" / "metrics.json").read_bytes()
    found = striate.cross_validate(digits, folds=4, out=tmp_path / "all", **QUICK)
    assert found.mean == validated.mean
    assert (tmp_path / "all" / "fold-1" / "metrics.json").read_bytes() == first
    with pytest.raises(InputError, match="holds other trainings"):
        striate.cross_validate(digits, folds=3, out=tmp_path / "all", **QUICK)


@pytest.fixture(scope="module")
def curve(digits, tmp_path_factory):
    out = tmp_path_factory.mktemp("curve") / "all"
    return striate.learning_curve(digits, shares=(0.25, 0.35, 0.5, 0.7, 1.0), out=out, **(QUICK | {"epochs": 8}))


def test_a_learning_curve_tests_on_the_same_pictures(curve):
    assert len({tuple(answered(run)) for run in curve.runs}) == 1
    assert list(curve.pictures) == sorted(set(curve.pictures))
    assert curve.figures[0].value < curve.figures[-1].value


def test_a_learning_curve_looks_ahead(curve):
    ahead = curve.forecast
    assert ahead.pictures == 2 * curve.pictures[-1]
    assert ahead.low <= ahead.value <= ahead.high <= 1
    page = curve.page.read_text()
    assert f"{ahead.pictures:,} training pictures would bring" in page
    assert "<svg" in page
    inside = ahead.low <= curve.figures[-1].value <= ahead.high
    assert ("that more would help is not shown" in page) == inside


def test_shares_of_few_pictures_are_one_point(digits, tmp_path):
    """A tenth and a seventh of seven pictures a class are one of each."""
    few = np.concatenate([np.flatnonzero(digits[1] == number)[:10] for number in range(10)])
    small = digits[0][few], digits[1][few]
    shares = (0.1, 0.14, 0.3, 0.6, 1.0)
    found = striate.learning_curve(small, shares=shares, out=tmp_path / "curve", **(QUICK | {"epochs": 1}))
    assert len(found.pictures) == len(set(found.pictures)) == len(found.runs) == 4
    assert found.pictures == (10, 20, 40, 70)
    assert "40 pictures chosen, all of them used" in (found.runs[0].folder / "log.txt").read_text()


def test_by_command(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("digits.npz", images=digits[0][:120], labels=digits[1][:120])
    asked = ["train", "digits.npz", "--network", "linear", "--epochs", "1", "--threads", "1", "--json"]
    assert status([*asked, "--folds", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(one["run"]).name for one in found["folds"]] == ["fold-1", "fold-2"]
    assert (Path(found["folder"]) / "report.html").is_file()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"folds": 1}, "folds must be 2 to 100, got 1"),
        ({"folds": 4, "minutes": 3}, "minutes and folds cannot both be given"),
        ({"folds": 4, "fold": "1/4"}, "fold and folds cannot both be given"),
    ],
)
def test_what_cannot_be_is_one_sentence(digits, tmp_path, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        striate.cross_validate(digits, out=tmp_path / "all", **settings)
    assert not (tmp_path / "all").exists()


def test_a_place_that_is_taken_is_left_as_it_was(digits, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already; name a new folder with --out"):
        striate.cross_validate(digits, folds=2, out=tmp_path, **QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.long
@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_band_covers_what_twice_the_pictures_bring(shared_data, tmp_path, name):
    """1,700 training pictures look ahead to 3,400, on which a network is then trained; 5,000 test pictures."""
    samples = striate.open_dataset(shared_data / name)
    pictures = np.stack([samples.pictures.load(int(index)) for index in samples.index[samples.rows("train")[:4000]]])
    test_rows = samples.rows("test")[:5000]
    test = (
        np.stack([samples.pictures.load(int(index)) for index in samples.index[test_rows]]),
        samples.classes[test_rows],
    )
    classes = samples.classes[samples.rows("train")[:4000]]
    settings = {"network": "small-conv", "device": "cpu", "precision": "float32"}

    def source(count: int) -> dict[str, object]:
        return {"train": (pictures[:count], classes[:count]), "test": test}

    curve = striate.learning_curve(source(2000), out=tmp_path / "curve", **settings)
    truth = striate.train(source(4000), out=tmp_path / "truth", **settings).metrics["test"]["accuracy"]["value"]
    print(f"{name}: {curve.forecast.low:.4f} to {curve.forecast.high:.4f}, truth {truth:.4f}")
    assert curve.forecast.low <= truth <= curve.forecast.high
    assert curve.forecast.high - curve.forecast.low < 0.1


def test_a_run_whose_test_pictures_give_no_figure_is_refused(tmp_path) -> None:
    (tmp_path / "metrics.json").write_text('{"test": {"task": "multilabel", "mean_average_precision": null}}')
    with pytest.raises(InputError, match="its test pictures give no mean average precision"):
        figure_of(striate.Run(tmp_path))
