"""Cross-validation and learning curves from end to end: what is trained, what is said, stopped and gone on with."""

from __future__ import annotations

import _thread
import csv
import json
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import striate
from striate.actions.several import figure_of
from striate.cli.main import status
from striate.errors import InputError, Stopped
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
    with pytest.raises(Stopped) as stopped:
        striate.cross_validate(digits, folds=4, out=tmp_path / "all", observer=Stopping(), **QUICK)
    assert str(stopped.value) == f"the same command with --out {tmp_path / 'all'} goes on where it stopped"
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
    with pytest.raises(InputError, match="its test split gives no mean average precision"):
        figure_of(striate.Run(tmp_path))


def interrupt_when_longer(path: Path) -> threading.Thread:
    """Ctrl-C for this process as soon as there is more in the file."""
    before = path.stat().st_size if path.exists() else 0

    def wait() -> None:
        until = time.monotonic() + 90
        while not (path.exists() and path.stat().st_size > before) and time.monotonic() < until:
            time.sleep(0.02)
        _thread.interrupt_main()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_ctrl_c_by_command_says_how_to_go_on(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("digits.npz", images=digits[0][:120], labels=digits[1][:120])
    asked = ["train", "digits.npz", "--network", "linear", "--epochs", "50000", "--threads", "1", "--folds", "2"]
    # Without --out into a folder of the next free name, which is said; then with the one that was said.
    for more in ([], ["--out", "runs/digits.npz-folds-1"]):
        thread = interrupt_when_longer(tmp_path / "runs/digits.npz-folds-1/fold-1/log.txt")
        assert status([*asked, *more]) == 130
        thread.join()
        last = capsys.readouterr().err.splitlines()[-1]
        assert last == (
            "striate: stopped; the same command with --out runs/digits.npz-folds-1 goes on where it stopped"
        )
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["digits.npz-folds-1"]


def test_folds_and_curves_of_numbers_are_told_by_r2(tmp_path, capsys):
    """Whatever the units: a number in thousands beside one in thousandths."""
    from sklearn.metrics import r2_score

    draws = np.random.default_rng(0)
    rows = draws.normal(size=(90, 3))
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "large", "small"])
        writer.writerows([*row, 1e3 * row[0] + draws.normal(), 1e-3 * row[1]] for row in rows.tolist())
    asked = ["train", str(tmp_path / "t.csv"), "--targets", "large,small", "--threads", "1", "--epochs", "3"]
    assert status([*asked, "--folds", "2", "--out", str(tmp_path / "folds")]) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "folds/folds.json").read_text())
    expected = []
    for one in found["folds"]:
        with Path(one["run"], "predictions.csv").open(newline="") as file:
            table = [[float(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]]
        values = np.array(table)
        expected.append(np.mean([r2_score(values[:, 2 * k], values[:, 2 * k + 1]) for k in range(2)]))
    assert found["metric"] == "r2"
    assert [one["value"] for one in found["folds"]] == pytest.approx(expected, abs=1e-4)
    assert f"R2 {np.mean(expected):.4f}" in printed
    assert "mean absolute error" not in printed  # of two units there is none
    assert status([*asked[:2], "--targets", "large", *asked[4:], "--folds", "2", "--out", str(tmp_path / "one")]) == 0
    one = json.loads((tmp_path / "one/folds.json").read_text())["folds"]
    for fold in one:
        with Path(fold["run"], "predictions.csv").open(newline="") as file:
            table = [[float(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]]
        assert fold["mae"] == pytest.approx(np.abs(np.subtract(*np.array(table).T)).mean(), rel=1e-4)
    off = np.mean([fold["mae"] for fold in one])
    assert f"mean absolute error {off:.4f}, the mean of 2 folds" in capsys.readouterr().out
    assert "off on average (mean absolute error)" in (tmp_path / "one/report.html").read_text()
    page = (tmp_path / "folds/report.html").read_text()
    assert "R², the mean of 2 folds" in page
    assert "rows answered" in page
    settings = {"targets": "large,small", "epochs": 2, "threads": 1}
    shares = (0.4, 0.6, 0.8, 1.0)
    curve = striate.learning_curve(tmp_path / "t.csv", shares=shares, out=tmp_path / "curve", **settings)
    assert curve.metric == "r2"
    assert curve.forecast.low <= curve.forecast.value <= curve.forecast.high <= 1
    page += curve.page.read_text()
    assert "R² by training rows" in page
    assert "picture" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
