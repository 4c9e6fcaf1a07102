"""Tables of numbers from training to answers: scikit-learn's small sets, an oracle in float64, and what is refused."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.actions.export import export
from striate.actions.inspect import inspect
from striate.actions.predict import predict
from striate.cli.main import status
from striate.cli.result import show_run
from striate.data.parts import in_fold, thinned
from striate.data.sources import open_dataset
from striate.data.splits import assign_splits
from striate.errors import InputError
from striate.models.fields import Fields, fit_fields, spans_orders
from striate.models.input_spec import InputSpec

FAST = {"epochs": 30, "threads": 1}


def write_table(path: Path, names, rows, target, called="target") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, called])
        writer.writerows([*row, value] for row, value in zip(np.asarray(rows).tolist(), target, strict=True))
    return path


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    """A folder with iris.csv and a run on it."""
    from sklearn.datasets import load_iris

    place = tmp_path_factory.mktemp("iris")
    data = load_iris()
    write_table(place / "iris.csv", data.feature_names, data.data, data.target_names[data.target])
    striate.train(place / "iris.csv", out=place / "run", **FAST)
    return place


def by_hand(run: Path, rows: np.ndarray) -> np.ndarray:
    """Answers of an mlp (n, K), in float64, out of the files of its run alone."""
    from safetensors.numpy import load_file

    config = json.loads((run / "config.json").read_text())
    given, weights = config["input"], load_file(run / "model.safetensors")
    values = rows.astype(np.float64)
    through = np.array(given["fields"]["logarithms"])
    values[:, through] = np.log1p(np.maximum(values[:, through], 0))
    values = (values - given["mean"]) / given["deviation"]
    for layer in ("features.1", "features.3"):
        values = np.maximum(values @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"], 0)
    scores = (values @ weights["head.weight"].T + weights["head.bias"]) * config["task"]["sharpness"]
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def test_classes_of_flowers(iris):
    metrics = json.loads((iris / "run/metrics.json").read_text())
    # the largest class is a third
    assert metrics["test"]["accuracy"]["value"] > 0.75
    config = json.loads((iris / "run/config.json").read_text())
    assert config["network"]["name"] == "mlp"
    assert config["input"]["fields"]["names"] == [
        f"{part} {side} (cm)" for part in ("sepal", "petal") for side in ("length", "width")
    ]
    samples, _ = assign_splits(open_dataset(iris / "iris.csv"), seed=0)
    rows = np.stack([samples.pictures.load(int(index)) for index in samples.index])
    training = rows[samples.rows("train")].astype(np.float64)
    assert np.allclose(config["input"]["mean"], training.mean(axis=0))
    assert np.allclose(config["input"]["deviation"], training.std(axis=0))
    report = (iris / "run/report.html").read_text()
    assert "rows; held back" in report
    card = (iris / "run/README.md").read_text()
    assert "striate predict . table.csv" in card
    assert "tabular-classification" in card


def test_answers_are_those_of_the_formulas(iris):
    model = striate.load(iris / "run")
    samples = open_dataset(iris / "iris.csv")
    rows = np.stack([samples.pictures.load(int(index)) for index in samples.index])
    expected = by_hand(iris / "run", rows)
    found = predict(iris / "run", [iris / "iris.csv"])
    assert [one.name for one in found.answers] == [f"{iris / 'iris.csv'}#{row}" for row in range(1, 151)]
    assert np.abs(np.stack([one.probabilities for one in found.answers]) - expected).max() < 1e-5
    for given in (rows, [rows[0], *rows[1:]], iris / "iris.csv"):
        told = model.predict(given)
        assert np.abs(np.stack([one.probabilities for one in told]) - expected).max() < 1e-5
    (alone,) = model.predict(rows[7])
    assert np.abs(alone.probabilities - expected[7]).max() < 1e-5


def test_a_table_is_evaluated_by_the_names_of_its_columns(iris, tmp_path):
    samples, _ = assign_splits(open_dataset(iris / "iris.csv"), seed=0)
    test = samples.select(samples.rows("test"))
    rows = np.stack([test.pictures.load(int(index)) for index in test.index])
    # the columns in another order, and one more
    order = [2, 0, 3, 1]
    names = [*(samples.fields[place] for place in order), "more"]
    table = np.column_stack([rows[:, order].astype(np.float64), np.arange(len(rows))])
    path = write_table(tmp_path / "test.csv", names, table, [test.label(row) for row in range(len(test))])
    found = striate.evaluate(iris / "run", path)
    trained = json.loads((iris / "run/metrics.json").read_text())["test"]
    assert found.to_json()["accuracy"] == trained["accuracy"]
    assert abs(found.to_json()["log_loss"]["value"] - trained["log_loss"]["value"]) < 1e-6


def without_style(page: Path) -> str:
    """What the page says, in small letters, with its tags."""
    return re.sub(r"<style>.*?</style>", "", page.read_text(), flags=re.DOTALL).casefold()


def test_rows_are_called_rows(iris, capsys, tmp_path):
    """On the page, on stdout, in a notebook and in the sentences on folds and shares."""
    run = striate.Run(iris / "run")
    rows = run.metrics["test"]["n"]
    report = run.report.read_text()
    assert f"of {rows} test rows right" in report
    assert "mlp, for rows of 4 numbers" in report
    assert "Training rows are altered" not in report
    assert "Training pictures are altered" not in report
    show_run(run, as_json=False)
    printed = capsys.readouterr().out
    assert f" on {rows} rows" in printed
    assert "TABLE..." in printed
    assert f"on {rows} test rows:" in run._repr_html_()
    assert status(["evaluate", str(run), str(iris / "iris.csv")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"150 rows of {iris / 'iris.csv'}")
    assert "of these 150 rows are among those that the run learned from" in printed
    samples = open_dataset(iris / "iris.csv")
    assert in_fold(samples, 1, 5, seed=0)[1] == "fold 1 of 5 (seed 0): 30 of 150 rows held back"
    training = replace(samples, splits=np.full(150, "train"))
    assert thinned(training, 0.5, seed=0)[1].endswith(" of 150 training rows")
    assert "picture" not in printed
    assert "picture" not in run._repr_html_()
    assert status(["predict", str(run), str(iris / "iris.csv")]) == 0
    assert capsys.readouterr().out.split()[:3] == ["row", "answer", "probability"]
    assert status(["describe", str(run)]) == 0
    assert capsys.readouterr().out.endswith(" for a row of 4 numbers, 3 classes\n")
    other = striate.train(iris / "iris.csv", out=tmp_path / "other", network="linear", epochs=1, threads=1)
    pages = [run.report, striate.report([run, other], out=tmp_path / "comparison.html")]
    for page in pages:
        # the name of a setting that there is for every network
        assert "picture" not in without_style(page).replace("mean_picture", "")
    assert "Rows that changed sides" in pages[1].read_text()
    assert "rights in the data" in (run.folder / "README.md").read_text()
    assert "picture" not in (run.folder / "log.txt").read_text() + (run.folder / "README.md").read_text()


def test_rows_without_a_number_are_named(iris, tmp_path):
    lines = (iris / "iris.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text("\n".join([*lines[:3], "5.1,,1.4,0.2,setosa"]) + "\n")
    found = predict(iris / "run", [tmp_path / "t.csv"])
    assert len(found.answers) == 2
    assert found.unreadable == ((f"{tmp_path / 't.csv'}#3", "no number in 'sepal width (cm)'"),)
    with pytest.raises(InputError, match="no number in 'sepal width"):
        striate.load(iris / "run").predict(tmp_path / "t.csv")


def test_a_run_is_repeated_bit_for_bit(iris, tmp_path):
    again = striate.train(iris / "iris.csv", out=tmp_path / "run", recipe=iris / "run/recipe.toml")
    assert (again.folder / "model.safetensors").read_bytes() == (iris / "run/model.safetensors").read_bytes()
    further = striate.resume(again, epochs=32)
    assert len((further.folder / "history.csv").read_text().splitlines()) == 33


def test_a_number_of_a_table(tmp_path):
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    path = write_table(tmp_path / "diabetes.csv", data.feature_names, data.data, data.target)
    run = striate.train(path, out=tmp_path / "run", epochs=12, threads=1)
    figures = run.metrics["test"]
    assert figures["task"] == "regression"
    assert figures["r2"]["value"] > 0.2
    answers = predict(run, [path]).answers
    assert answers[0].numbers.keys() == {"target"}
    assert np.std([one.numbers["target"] for one in answers]) > 20


def test_linear_and_fields_that_span_orders_of_magnitude(tmp_path):
    draws = np.random.default_rng(0)
    size = 10 ** draws.uniform(-1, 6, 300)
    rows = np.column_stack([size, draws.normal(size=300)])
    path = write_table(tmp_path / "t.csv", ["size", "noise"], rows, np.where(size > 100, "large", "small"))
    run = striate.train(path, out=tmp_path / "run", network="linear", epochs=20, threads=1)
    spec = striate.load(run).input_spec
    assert spec.fields == Fields(names=("size", "noise"), logarithms=(True, False))
    assert "'size' through log(1 + x), since it spans orders of magnitude" in (run.folder / "log.txt").read_text()
    # without the logarithm no line parts them
    assert run.metrics["test"]["accuracy"]["value"] > 0.9
    given = np.array([[0.0, 0.5], [5000.0, -1.0], [-3.0, 2.0]], dtype=np.float32)
    prepared = torch.stack([spec.prepare(row.reshape(1, 1, 2)) for row in given])
    expected = np.log1p(np.maximum(given[:, 0].astype(np.float64), 0))
    expected = (np.column_stack([expected, given[:, 1]]) - spec.mean) / spec.deviation
    assert np.abs(spec.normalize(prepared)[:, :, 0, 0].numpy() - expected).max() < 1e-6
    assert InputSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 10, 100, 1e4], True),
        ([0, 1, 10, 100, 1e4], True),
        ([-1, 1, 10, 100, 1e4], False),  # the logarithm is for what is not below 0
        ([0, 1, 0, 1], False),
        (range(1, 900), False),
        ([0, 0, 0], False),
        ([*[5] * 98, 1e9, 1e9], False),  # a few far ones do not make a span
    ],
)
def test_which_fields_go_through_the_logarithm(values, expected):
    assert spans_orders(np.array(list(values), dtype=np.float64)) is expected


def test_fields_of_one_value_are_not_blown_up():
    rows = np.array([[3.3, 1.0], [3.3, 2.0]], dtype=np.float32)
    _, mean, deviation, words = fit_fields(rows, ("a", "b"))
    assert deviation == (1.0, 0.5)
    assert mean[1] == 1.5
    assert words == "the network's input is a row of 2 numbers, each field standardised"


def test_old_settings_have_no_fields():
    old = {"channels": 1, "height": 8, "width": 8, "mean": [0.5], "deviation": [0.25]}
    spec = InputSpec.from_json(old)
    assert spec.fields is None
    assert "fields" not in spec.to_json()


@pytest.mark.parametrize(
    "fields",
    [
        {"names": ["a"], "logarithms": [False]},  # one for two channels
        {"names": ["a", "a"], "logarithms": [False, False]},
        {"names": ["a", "b"], "logarithms": [False]},
        {"names": ["a", "b"], "logarithms": [0, 1]},
        {"names": "ab", "logarithms": [False, False]},
        {"names": ["a", "b"]},
        {"names": ["a", "b"], "logarithms": [False, False], "more": 1},
        [],
        7,
    ],
)
def test_settings_that_lie_about_their_fields(fields):
    lying = {"channels": 2, "height": 1, "width": 1, "mean": [0.5, 1], "deviation": [1, 2], "fields": fields}
    with pytest.raises(InputError):
        InputSpec.from_json(lying)


def test_a_table_is_inspected(iris, tmp_path):
    found = inspect(iris / "iris.csv", out=tmp_path / "page.html")
    assert found.found == found.used == 150
    assert [one.name for one in found.fields][:2] == ["sepal length (cm)", "sepal width (cm)"]
    assert found.fields[0].quartiles[0] == pytest.approx(4.3)
    assert found.leaks + found.duplicates == (("iris.csv#102", "iris.csv#143"),)
    page = without_style(tmp_path / "page.html")
    assert "petal width (cm)" in page
    assert "picture" not in page
    assert "150 rows" in re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "sizes and files" not in page
    assert "equal in every field" in page
    with pytest.raises(InputError, match="leave --augment away"):
        inspect(iris / "iris.csv", out=tmp_path / "page.html", augment=True)


REFUSED = [
    ({"network": "lenet5"}, "a table of numbers, which network lenet5 does not take; use --network linear or mlp"),
    ({"augment": {"rotation": 5.0}}, "rows of a table of numbers are not varied; leave --augment.rotation away"),
    ({"augment": {"mixup": 0.2}}, "leave --augment.mixup away"),
    ({"size": 32}, "a table of numbers has no pictures; leave --size away"),
    ({"stream": True}, "leave --stream away"),
    ({"pretrained": True}, "leave --pretrained away"),
    ({"mean": "picture"}, "leave --mean picture away"),
]


@pytest.mark.parametrize(("settings", "says"), REFUSED, ids=[says[-25:] for _, says in REFUSED])
def test_settings_of_pictures_are_refused(iris, tmp_path, settings, says):
    with pytest.raises(InputError, match=says):
        striate.train(iris / "iris.csv", out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_rows_and_pictures_are_not_taken_for_each_other(iris, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (12, 8, 8), dtype=np.uint8)
    pictures, photo = (pixels, [0, 1] * 6), tmp_path / "photo.png"
    Image.fromarray(pixels[0]).save(photo)
    run, table = iris / "run", iris / "iris.csv"
    of_pictures = striate.train(pictures, out=tmp_path / "run", network="linear", epochs=1, threads=1)
    for act, says in [
        (lambda: striate.evaluate(of_pictures, table), "a table of numbers, but the network takes pictures"),
        (lambda: striate.evaluate(run, pictures), "these are pictures, but the network takes rows of 4 numbers"),
        (
            lambda: striate.train(table, out=tmp_path / "a", from_run=str(of_pictures)),
            "learned anew; leave --from away",
        ),
        (
            lambda: striate.train(pictures, out=tmp_path / "b", from_run=str(run)),
            "these are pictures; leave --from away",
        ),
        (lambda: striate.load(of_pictures).predict(np.zeros(4)), r"a picture must be .*got shape \(4,\)"),
        (lambda: striate.load(run).predict(np.zeros((8, 8, 3))), "rows are an array"),
        (lambda: striate.load(run).predict(np.zeros((2, 3))), "the network takes rows of 4 numbers, not pictures"),
        (lambda: predict(run, [__file__]), "the run answers rows of a table of numbers"),
        (lambda: predict(run, [table], tta="flip"), "has one view; leave --tta away"),
        (lambda: striate.explain(run, photo, out=tmp_path / "why"), "striate explain needs a network that takes"),
        (lambda: striate.explain(run, table, out=tmp_path / "why"), "this one takes rows of a table of numbers"),
        (lambda: striate.explain(run, tmp_path / "no.png"), "this one takes rows of a table of numbers"),
        (lambda: export(run, to="torch-export", out=tmp_path / "x.pt2"), "striate export needs a network"),
        (lambda: striate.look(run, out=tmp_path / "look.html"), "striate look needs a network that takes pictures"),
        (lambda: striate.dream(run, class_name="setosa", out=tmp_path / "d.png"), "striate dream needs a network"),
    ]:
        with pytest.raises(InputError, match=says):
            act()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png", "run"]
