"""Labels, numbers and shares of classes from a table to a run: trained, loaded, resumed, and started from."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import striate
from striate.errors import InputError
from striate.training.recipe_file import read_recipe

NAMES = ("upper", "middle", "lower")
QUICK = {"network": "small-conv", "width": 8, "epochs": 6, "device": "cpu", "threads": 1, "precision": "float32"}
STILL = {"learning_rate": 1e-30, "averaging": 0.0, "epochs": 1, "device": "cpu", "threads": 1, "precision": "float32"}
SIDE = 12


def scenes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy grey pictures (count, 12, 12) of three bars, and how bright each is, (count, 3) in 0-1."""
    rng = np.random.default_rng(seed)
    bright = rng.random((count, 3))
    pictures = rng.random((count, SIDE, SIDE)) * 60
    for k in range(3):
        pictures[:, 1 + 4 * k : 3 + 4 * k] += 190 * bright[:, k, None, None]
    return pictures.astype(np.uint8), bright


def labels_of(bright: np.ndarray) -> np.ndarray:
    return (bright > [0.3, 0.5, 0.7]).astype(int)


def shares_of(bright: np.ndarray) -> np.ndarray:
    powers = np.exp(6 * bright)
    return (powers / powers.sum(axis=1, keepdims=True)).round(4)


def numbers_of(bright: np.ndarray) -> np.ndarray:
    return (bright * [1, 20, 400] - [0, 0, 1000]).round(5)


def write_table(folder: Path, told: Callable[[np.ndarray], np.ndarray], count: int = 120, *, side: int = SIDE) -> Path:
    """PNG files and labels.csv with a column for each of NAMES."""
    folder.mkdir()
    pictures, bright = scenes(count)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *NAMES])
        for number, (picture, values) in enumerate(zip(pictures, told(bright).tolist(), strict=True)):
            image = Image.fromarray(picture).convert("RGB" if side != SIDE else "L")
            image.resize((side, side)).save(folder / f"{number}.png")
            writer.writerow([f"{number}.png", *values])
    return folder


TOLD = {"multilabel": labels_of, "regression": numbers_of, "classification": shares_of}
KINDS = pytest.mark.parametrize("kind", TOLD)


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("tables")
    return {kind: write_table(place / kind, told) for kind, told in TOLD.items()}


@pytest.fixture(scope="module")
def runs(tables, tmp_path_factory) -> dict[str, striate.Run]:
    place = tmp_path_factory.mktemp("runs")
    return {kind: striate.train(source, out=place / kind, **QUICK) for kind, source in tables.items()}


def weights(run: striate.Run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "model.safetensors")


def answered(run: striate.Run, pictures: np.ndarray) -> np.ndarray:
    model = striate.load(run)
    return model.answer(torch.stack([model.prepare(one[..., None]) for one in pictures])).numpy()


@KINDS
def test_it_is_learned_and_said(runs, kind: str) -> None:
    run = runs[kind]
    test = run.metrics["test"]
    assert test["task"] == kind == run.config["task"]["name"]
    fresh, bright = scenes(200, seed=5)
    answers = answered(run, fresh)
    if kind == "multilabel":
        assert ((answers > 0.5) == labels_of(bright)).mean() > 0.85  # 0.63 by the commoner answer
        assert test["mean_average_precision"]["value"] > 0.85
    elif kind == "regression":
        numbers = numbers_of(bright)
        error = np.square(answers - numbers).mean(axis=0) / numbers.var(axis=0)
        assert (error < 0.35).all()  # 1 by the mean
        assert [one["name"] for one in test["by_number"]] == list(NAMES)
    else:
        brightest = [NAMES[k] for k in bright.argmax(axis=1)]
        said = [run.config["task"]["class_names"][k] for k in answers.argmax(axis=1)]
        assert np.mean(np.array(said) == np.array(brightest)) > 0.8  # 1/3 by chance
        assert answers.sum(axis=1) == pytest.approx(np.ones(200), abs=1e-5)
    log = (run.folder / "log.txt").read_text()
    assert ("may change with its picture" in log) is (kind == "regression")
    if kind == "regression":
        _, resolved = read_recipe(run.folder / "recipe.toml")
        assert not resolved.get("augment")
        assert resolved["label_smoothing"] == 0


@KINDS
def test_it_is_repeated_bit_for_bit_where_it_was_stopped(runs, tables, kind: str, tmp_path, monkeypatch) -> None:
    class Stop(striate.Observer):
        def on_step(self, record) -> None:
            if record["step"] == 9:
                raise KeyboardInterrupt

    monkeypatch.setattr("striate.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        striate.train(tables[kind], out=tmp_path / "run", observer=Stop(), **QUICK)
    resumed = striate.resume(tmp_path / "run")
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(runs[kind]).items())
    assert resumed.config["task"] == runs[kind].config["task"]
    assert (resumed.folder / "predictions.csv").read_text() == (runs[kind].folder / "predictions.csv").read_text()


def test_numbers_keep_their_value_where_the_new_ones_have_another_mean_and_deviation(runs, tmp_path) -> None:
    source = tmp_path / "other"
    write_table(source, lambda bright: numbers_of(bright) * [3, 1, 0.5] + [7, 0, 70])
    table = (source / "labels.csv").read_text().replace("upper,middle,lower", "upper,new,lower", 1)
    (source / "labels.csv").write_text(table)
    run = striate.train(source, out=tmp_path / "run", from_run=runs["regression"], **STILL)
    fresh, _ = scenes(20, seed=6)
    before, after = answered(runs["regression"], fresh), answered(run, fresh)
    place = run.config["task"]["target_names"].index
    # Statistics of normalisations go on while nothing is learned.
    assert after[:, place("upper")] == pytest.approx(before[:, 0], abs=0.1)
    assert after[:, place("lower")] == pytest.approx(before[:, 2], abs=0.1 * 400)
    assert run.config["task"]["means"][0] == pytest.approx(8.5, abs=0.3)
    log = (run.folder / "log.txt").read_text()
    assert "knows 3 numbers; new are new" in log


def test_a_run_of_another_task_lends_its_network(runs, tables, tmp_path) -> None:
    run = striate.train(tables["regression"], out=tmp_path / "run", from_run=runs["multilabel"], **STILL)
    before, after = weights(runs["multilabel"]), weights(run)
    head = next(name for name in before if name.startswith("head") and name.endswith("weight"))
    learned = [name for name in before if "running" not in name and "tracked" not in name and "head" not in name]
    assert all(torch.equal(before[name], after[name]) for name in learned)
    assert not torch.equal(before[head], after[head])
    assert "answers with labels: the outputs are new" in (run.folder / "log.txt").read_text()


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("regression", {"class_weights": "balanced"}, "class_weights balanced means nothing for numbers"),
        ("regression", {"label_smoothing": 0.1}, "label_smoothing 0.1 means nothing for numbers"),
        ("regression", {"angles": "uper"}, "no number 'uper'; did you mean 'upper'"),
        ("multilabel", {"angles": "upper"}, "angles are numbers, these are labels"),
        ("classification", {"angles": "upper"}, "angles are numbers, these are classes"),
        ("multilabel", {"task": "multi"}, "task must be one of auto, classification, multilabel, regression"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_read(tables, tmp_path, kind, settings, words) -> None:
    with pytest.raises(InputError, match=words):
        striate.train(tables[kind], out=tmp_path / "run", **{**QUICK, **settings})
    assert not (tmp_path / "run").exists()


def test_a_label_that_no_training_picture_has_is_refused(tables, tmp_path) -> None:
    source = write_table(tmp_path / "rare", lambda bright: np.where(np.arange(3) == 1, 0, labels_of(bright)), count=20)
    with pytest.raises(InputError, match=r"has the label 'middle'.*--targets"):
        striate.train(source, out=tmp_path / "run", **QUICK)
    none = write_table(tmp_path / "rarer", lambda bright: labels_of(bright) * [1, 0, 0], count=20)
    with pytest.raises(InputError, match=r"has the labels 'middle', 'lower'; add some, or leave the labels away"):
        striate.train(none, out=tmp_path / "run", **QUICK)
    run = striate.train(source, out=tmp_path / "run", targets="upper,lower", **{**QUICK, "epochs": 1})
    assert run.config["task"]["class_names"] == ["upper", "lower"]
    assert read_recipe(run.folder / "recipe.toml")[0].targets == "upper,lower"


def test_numbers_are_found_in_any_case_and_many_rows_without_one_are_counted(runs, tables, tmp_path) -> None:
    warnings: list[str] = []

    class Told(striate.Observer):
        def warn(self, text: str) -> None:
            warnings.append(text)

    source = tmp_path / "source"
    shutil.copytree(tables["regression"], source)
    header, *rows = (source / "labels.csv").read_text().splitlines()
    place = header.split(",").index("middle")
    cells = [row.split(",") for row in rows]
    for row in cells[:15]:
        row[place] = ""
    (source / "labels.csv").write_text("\n".join([header.upper(), *(",".join(row) for row in cells)]) + "\n")
    found = striate.evaluate(runs["regression"], source, observer=Told())
    assert found.pictures == len(rows) - 15
    plain = striate.evaluate(runs["regression"], tables["regression"])
    of_all = dict(zip(plain.names, plain.targets.tolist(), strict=True))
    assert all(of_all[name] == row for name, row in zip(found.names, found.targets.tolist(), strict=True))
    assert [text.startswith("left out: ") for text in warnings] == [True] * 11
    assert warnings[-1] == "left out: 5 more; --json names all"
    assert len(found.left_out) == 15


def test_labels_can_be_balanced(tables, tmp_path) -> None:
    run = striate.train(tables["multilabel"], out=tmp_path / "run", class_weights="balanced", **{**QUICK, "epochs": 1})
    pairs = run.config["task"]["label_weights"]
    assert len(pairs) == 3
    assert pairs[2][1] > 1 > pairs[2][0]  # three in ten have it


def test_runs_of_before_there_were_other_tasks_are_read(pictures, tmp_path) -> None:
    run = striate.train(pictures, out=tmp_path / "run", network="lenet5", **{**STILL})
    recipe = (run.folder / "recipe.toml").read_text()
    older = "\n".join(line for line in recipe.splitlines() if not line.startswith(("task", "targets", "angles")))
    assert older != recipe
    (run.folder / "recipe.toml").write_text(older)
    assert read_recipe(run.folder / "recipe.toml")[0].task == "auto"
    assert striate.load(run).class_names == ("dark", "light", "striped")


# -- a head on the pretrained network -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_a_head_on_the_pretrained_network(kind: str, tmp_path) -> None:
    source = write_table(tmp_path / "source", TOLD[kind], count=40, side=80)
    run = striate.train(source, out=tmp_path / "run", size=64, device="cpu", threads=1)
    _, resolved = read_recipe(run.folder / "recipe.toml")
    assert resolved["method"] == "frozen"
    log = (run.folder / "log.txt").read_text()
    assert ("ridge regression" if kind == "regression" else "logistic regression") in log
    known = run.metrics["cross_validation"]
    assert known["n"] == 40 - run.metrics["test"]["n"]
    with (run.folder / "history.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    if kind == "regression":
        assert float(row["validation_squared_error"]) < 0.5
        assert float(row["validation_absolute_error"]) > 0
    else:
        assert float(row["validation_accuracy"]) > 0.75
    # The loaded model answers as the file says.
    (told,) = [line for line in (run.folder / "predictions.csv").read_text().splitlines() if line][1:2]
    name = told.split(",")[0]
    (found,) = striate.load(run).predict(source / name)
    assert json.dumps(name)
    values = list(found.numbers.values()) if kind == "regression" else found.probabilities.tolist()
    written = [float(one) for one in told.split(",") if _is_float(one)]
    assert all(min(abs(value - one) for one in written) <= 1e-3 * max(1, abs(value)) for value in values)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_an_explanation_of_a_label_finds_what_the_source_says(tables, runs, tmp_path) -> None:
    source, run = tables["multilabel"], runs["multilabel"]
    with (source / "labels.csv").open(newline="") as file:
        said = {row["path"]: row["upper"] == "1" for row in csv.DictReader(file)}
    right = {
        True: next(name for name, has in said.items() if has),
        False: next(name for name, has in said.items() if not has),
    }
    for has, name in right.items():
        found = striate.explain(
            run, source / name, class_name="upper", method="gradient", out=tmp_path / name.removesuffix(".png")
        )
        assert found.label == ("upper" if has else "no upper")
    answer = found.class_names[int(found.probabilities.argmax())]
    other = next(name for name in found.class_names if name != answer)
    wrong = striate.explain(
        run, source / name, class_name="upper", label=other, method="gradient", out=tmp_path / "wrong"
    )
    assert set(wrong.nearest) == {"upper", "no upper"}
    for label, several in wrong.nearest.items():
        assert len(several) == 4
        assert all(said[one.name] == (label == "upper") and one.name != name for one in several)
        assert [one.similarity for one in several] == sorted((one.similarity for one in several), reverse=True)
