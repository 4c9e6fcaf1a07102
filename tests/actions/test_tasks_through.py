"""Labels and numbers, from a table to every command's answer: the files of a run, evaluate, predict, the pages."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import metrics

import striate
from striate.cli.main import status
from striate.data.samples import MULTILABEL, REGRESSION
from striate.errors import InputError
from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.tasks.multilabel import MultiLabel
from striate.tasks.regression import Regression

SETTINGS = {"network": "linear", "epochs": 6, "device": "cpu", "threads": 1, "precision": "float32", "seed": 1}
LABELS, NUMBERS = ("red; ish", "<b>green</b>"), ("red", "tilt")


def write_table(folder: Path, heading: tuple[str, ...], values: Callable[[np.ndarray], list[object]]) -> Path:
    """36 pictures of one colour each with noise, and a table of what `values` makes of the colour (3,) in [0, 1]."""
    rng = np.random.default_rng(4)
    folder.mkdir()
    lines = [["path", "split", *heading]]
    for number in range(36):
        colour = rng.random(3)
        pixels = np.clip(255 * colour + rng.normal(size=(8, 8, 3)) * 12, 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        split = "test" if number % 3 == 0 else "train"
        lines.append([f"{number}.png", split, *map(str, values(colour))])
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("tables")
    return {
        MULTILABEL: write_table(place / "labels", LABELS, lambda colour: [int(colour[0] > 0.5), int(colour[1] > 0.6)]),
        REGRESSION: write_table(
            place / "numbers", NUMBERS, lambda colour: [f"{100 * colour[0]:.2f}", f"{colour[1]:.4f}"]
        ),
    }


@pytest.fixture(scope="module")
def runs(sources, tmp_path_factory) -> dict[str, striate.Run]:
    place = tmp_path_factory.mktemp("runs")
    return {task: striate.train(source, out=place / task, **SETTINGS) for task, source in sources.items()}


def rows_of(run: striate.Run) -> list[list[str]]:
    with (run.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert status([str(one) for one in arguments]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_predictions_of_labels_are_those_of_evaluate(runs, sources) -> None:
    heading, *rows = rows_of(runs[MULTILABEL])
    assert heading == ["path", "target", "answer", *(f"p({name})" for name in LABELS)]
    found = striate.evaluate(runs[MULTILABEL], sources[MULTILABEL])
    assert [row[0] for row in rows] == list(found.names)
    assert np.array([[float(cell) for cell in row[3:]] for row in rows]) == pytest.approx(found.answers, abs=2e-6)
    for row, target, answer in zip(rows, found.targets, found.answers, strict=True):
        assert json.loads(row[1]) == [name for name, has in zip(LABELS, target, strict=True) if has]
        assert json.loads(row[2]) == [name for name, p in zip(LABELS, answer, strict=True) if p > 0.5]
    kept = runs[MULTILABEL].metrics["test"]
    assert kept["task"] == MULTILABEL
    expected = metrics.average_precision_score(found.targets, found.answers)
    assert kept["mean_average_precision"]["value"] == pytest.approx(expected)
    assert found.to_json()["label_accuracy"] == kept["label_accuracy"]


def test_predictions_of_numbers_are_those_of_evaluate(runs, sources) -> None:
    heading, *rows = rows_of(runs[REGRESSION])
    assert heading == ["path", "target(red)", "answer(red)", "target(tilt)", "answer(tilt)"]
    found = striate.evaluate(runs[REGRESSION], sources[REGRESSION])
    told = np.array([[float(cell) for cell in row[1:]] for row in rows], dtype=np.float32)
    assert (told[:, ::2] == found.targets).all()
    assert told[:, 1::2] == pytest.approx(found.answers, rel=1e-5, abs=1e-5)
    kept = runs[REGRESSION].metrics["test"]
    expected = metrics.mean_absolute_error(found.targets, found.answers, multioutput="raw_values")
    assert [one["mae"]["value"] for one in kept["by_number"]] == pytest.approx(expected)


def test_two_runs_of_labels_are_compared_by_what_ranks_them(runs, sources, tmp_path, capsys) -> None:
    short = striate.train(sources[MULTILABEL], out=tmp_path / "short", **{**SETTINGS, "epochs": 1})
    page = tmp_path / "both.html"
    told = json.loads(said(capsys, "report", short, runs[MULTILABEL], "--json", "--out", page))
    assert (told["page"], told["not_compared"]) == (str(page), "")
    (found,) = told["comparisons"]
    both = [one.metrics["test"]["mean_average_precision"]["value"] for one in (short, runs[MULTILABEL])]
    assert (found["precision"]["first"], found["precision"]["second"]) == pytest.approx(both, abs=1e-6)
    assert 0 < found["precision"]["p"] <= 1
    assert found["values"] == pytest.approx(
        [one.metrics["test"]["label_accuracy"]["value"] for one in (short, runs[MULTILABEL])]
    )
    text = text_of(page.read_text())
    assert f"Mean average precision: {both[0]:.3f} and {both[1]:.3f}, a difference of" in text
    assert "to swap what the two answered for a picture" in text
    alone = json.loads(said(capsys, "report", short, "--json", "--out", tmp_path / "one.html"))
    assert alone == {"page": str(tmp_path / "one.html")}


@pytest.mark.parametrize("task", [MULTILABEL, REGRESSION])
def test_the_page_made_anew_is_the_page_that_training_wrote(runs, task) -> None:
    run = runs[task]
    before = run.report.read_bytes()
    assert before.count(b"<img") > 5
    run.report.unlink()
    assert striate.report(run) == run.report
    assert run.report.read_bytes() == before


def test_the_pages_say_in_words_how_good_it_is(runs) -> None:
    kept = runs[MULTILABEL].metrics["test"]
    text = text_of(runs[MULTILABEL].report.read_text())
    assert f"{100 * kept['label_accuracy']['value']:.1f}" in text
    assert "of 24 labels right, on 12 test pictures" in text
    assert f"would be right in {100 * kept['usual_accuracy']:.1f}" in text
    assert "Label by label" in text
    assert "&lt;b&gt;green&lt;/b&gt;" in text
    kept, text = runs[REGRESSION].metrics["test"], text_of(runs[REGRESSION].report.read_text())
    assert f"{100 * kept['r2']['value']:.1f}" in text
    assert "of the variation of 2 numbers explained (R²), on 12 test pictures" in text
    assert text.count("red") > 3
    assert runs[REGRESSION].report.read_text().count('class="spot"') == 2 * 12
    for task, words in ((MULTILABEL, "Mean average precision"), (REGRESSION, "Mean absolute error of always")):
        card = (runs[task].folder / "README.md").read_text()
        assert words in card
        assert f"{runs[task].metrics['counts']['by_split']['test']} test pictures" in card


def test_every_format_of_predict(runs, sources, capsys) -> None:
    picture = sources[MULTILABEL] / "0.png"
    (line,) = said(capsys, "predict", runs[MULTILABEL].folder, picture, "--json").splitlines()
    found = json.loads(line)
    answer = striate.load(runs[MULTILABEL]).predict(picture)[0]
    assert found["labels"] == list(answer.labels)
    assert list(found["probabilities"].values()) == pytest.approx(answer.probabilities.tolist())
    heading, row = csv.reader(said(capsys, "predict", runs[MULTILABEL].folder, picture, "--format", "csv").splitlines())
    assert heading == ["path", "answer", *(f"p({name})" for name in LABELS)]
    assert json.loads(row[1]) == found["labels"]
    out = said(capsys, "predict", runs[MULTILABEL].folder, picture, "--top", "2")
    assert all(name in out for name in LABELS)
    (line,) = said(capsys, "predict", runs[REGRESSION].folder, picture, "--json").splitlines()
    numbers = json.loads(line)["numbers"]
    assert numbers == striate.load(runs[REGRESSION]).predict(picture)[0].numbers
    heading, row = csv.reader(said(capsys, "predict", runs[REGRESSION].folder, picture, "--format", "csv").splitlines())
    assert heading == ["path", "answer(red)", "answer(tilt)"]
    assert np.float32(row[1]) == np.float32(numbers["red"])


def test_lists_and_figures_of_the_command_line(runs, sources, capsys, monkeypatch) -> None:
    out = said(capsys, "evaluate", runs[MULTILABEL].folder, sources[MULTILABEL])
    assert "mean average precision" in out
    assert "red; ish" in out
    out = said(capsys, "evaluate", runs[REGRESSION].folder, sources[REGRESSION])
    assert re.search(r"tilt +0\.", out)
    out = said(capsys, "runs", runs[REGRESSION].folder.parent)
    assert out.index("mAP") < out.index("R2")
    out = said(capsys, "inspect", sources[REGRESSION], "--out", runs[REGRESSION].folder.parent / "i.html", "--json")
    whole = json.loads(out)
    assert whole["counts"] == {}
    every = [one for one in whole["distributions"] if one["split"] == "all"]
    values = np.array([float(row[1]) for row in rows_of(runs[REGRESSION])[1:]])
    tested = next(one for one in whole["distributions"] if (one["name"], one["split"]) == ("red", "test"))
    assert tested["quartiles"] == pytest.approx(np.quantile(values, [0, 0.25, 0.5, 0.75, 1]), rel=1e-5)
    assert [sum(one["bars"]) for one in every] == [36, 36]
    page = text_of((runs[REGRESSION].folder.parent / "i.html").read_text())
    assert "36 pictures with 2 numbers" in page
    assert "tilt: the highest" in page


def test_what_is_asked_of_the_wrong_task_is_one_sentence(runs, sources, tmp_path) -> None:
    with pytest.raises(InputError, match=r"answers labels and .* numbers; name runs of one task"):
        striate.report([runs[MULTILABEL], runs[REGRESSION]], out=tmp_path / "page.html")
    with pytest.raises(InputError, match="answers numbers, and what an explanation measures"):
        striate.explain(runs[REGRESSION], sources[REGRESSION] / "0.png", out=tmp_path / "why")
    with pytest.raises(InputError, match="no class 'red; is'; did you mean 'red; ish'"):
        striate.explain(runs[MULTILABEL], sources[MULTILABEL] / "0.png", class_name="red; is", out=tmp_path / "why")
    assert list(tmp_path.iterdir()) == []


def network(outputs: int) -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(16, outputs),
    ).eval()  # fmt: skip


SPEC = InputSpec(channels=3, height=16, width=16, mean=(0.5,) * 3, deviation=(0.25,) * 3)


def test_a_label_is_explained_as_a_question_of_two_answers(tmp_path) -> None:
    model = Model(network(3), SPEC, MultiLabel(("car", "tree", "pole"), sharpness=1.7))
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    own = model.predict([picture])[0].probabilities
    found = striate.explain(model, picture, class_name="tree", method="gradient,grad-cam", out=tmp_path / "tree")
    assert found.class_names == ("no tree", "tree")
    assert found.probabilities == pytest.approx([1 - own[1], own[1]], abs=1e-6)
    inputs = model.inputs(model.prepare(picture)[None]).requires_grad_()
    model.network(inputs)[0, 1].backward()
    sign = 1 if found.answer == "tree" else -1
    by_method = {one.method: one for one in found.maps}
    assert inputs.grad is not None
    # The gradient of half the score, or of its opposite where the answer is no.
    slow = (sign * inputs.grad[0] / 2).abs().amax(dim=0).numpy()
    assert by_method["gradient"].values[0] == pytest.approx(slow, rel=1e-3, abs=1e-7)
    assert by_method["grad-cam"].layer is not None
    assert not by_method["grad-cam"].layer.startswith("network")
    most = striate.explain(model, picture, method="gradient", layer=None, out=tmp_path / "most")
    assert most.class_names[1] == ("car", "tree", "pole")[int(own.argmax())]


def test_of_several_labels_the_one_that_is_explained_is_called_one_of_them(runs, sources, tmp_path, capsys) -> None:
    run, source = runs[MULTILABEL], sources[MULTILABEL]
    heading, *rows = csv.reader((source / "table.csv").read_text(encoding="utf-8").splitlines())
    name = heading[2]
    expected = {
        (True, False): "that is one of its labels",
        (True, True): f"{name} is one of its labels",
        (False, False): f"{name} is none of its labels",
        (False, True): f"{name} is none of its labels",
    }
    seen = set()
    for row in rows[:4]:
        out = tmp_path / row[0]
        told = said(capsys, "explain", run, source / row[0], "--class", name, "--method", "gradient", "--out", out)
        mistaken = told.startswith("no ") == (row[2] == "1")
        words = expected[row[2] == "1", mistaken]
        assert f" %; {words}\n" in told
        page = text_of(next(out.glob("*.html")).read_text(encoding="utf-8"))
        assert f"{'A mistake' if mistaken else 'Right'}: {words}" in re.sub(r" ([.;])", r"\1", page)
        seen.add(row[2])
    assert seen == {"0", "1"}


def test_a_number_can_be_dreamt_of(tmp_path) -> None:
    model = Model(network(2), SPEC, Regression(("red", "tilt"), (50.0, 0.5), (20.0, 0.2)))
    found = striate.dream(model, class_name="tilt", steps=4, size=16, out=tmp_path / "tilt.png")
    assert found.names == ("tilt",)
    with pytest.raises(InputError, match="no class 'tint'; did you mean 'tilt'"):
        striate.dream(model, class_name="tint", steps=4, out=tmp_path / "tint.png")


def test_units_of_a_run_of_labels_are_looked_at_without_classes(runs, sources) -> None:
    model = Model(network(2), SPEC, MultiLabel(LABELS))
    found = striate.look(model, data=sources[MULTILABEL], units=[0], write=False)
    assert found.class_names == ()
    assert found.pictures == 36


def test_a_run_that_has_lost_its_pictures_still_has_its_page(runs, sources, tmp_path) -> None:
    copy = striate.Run(Path(shutil.copytree(runs[REGRESSION].folder, tmp_path / "copy")))
    recipe = copy.folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(sources[REGRESSION]), str(tmp_path / "gone")))
    striate.report(copy)
    page = copy.report.read_text()
    assert "<img" not in page
    assert page.count('class="spot"') == 24
    place = copy.folder / "metrics.json"
    for damage in ({"points": [[["a", 1]]]}, {"distributions": [{"name": "x"}]}, {"pictures": {"test": "many"}}):
        values = json.loads(place.read_text())
        kept = dict(values["page"])
        values["page"].update(damage)
        place.write_text(json.dumps(values))
        with pytest.raises(InputError, match=r"metrics\.json|cannot be read"):
            striate.report(copy)
        place.write_text(json.dumps({**values, "page": kept}))


def test_shares_of_classes_are_learned_and_measured_against(tmp_path) -> None:
    def shares(colour: np.ndarray) -> list[object]:
        first, second = np.round(0.9 * colour[:2] / colour.sum(), 3)
        return [first, second, round(1 - first - second, 3)]

    source = write_table(tmp_path / "shares", ("red", "green", "blue"), shares)
    run = striate.train(source, out=tmp_path / "run", task="classification", **SETTINGS)
    found = striate.evaluate(run, source)
    wanted = np.array([[float(cell) for cell in row] for row in [line.split(",")[2:] for line in
                       (source / "table.csv").read_text().splitlines()[1:] if ",test," in line]])  # fmt: skip
    order = [("red", "green", "blue").index(name) for name in found.evaluation.class_names]
    slow = -(wanted[:, order] * np.log(found.answers)).sum(axis=1).mean()
    assert run.metrics["test"]["cross_entropy"]["value"] == pytest.approx(slow, rel=1e-5)
    assert found.to_json()["cross_entropy"]["value"] == pytest.approx(slow, rel=1e-5)
    right = (found.answers.argmax(axis=1) == wanted[:, order].argmax(axis=1)).mean()
    assert run.metrics["test"]["accuracy"]["value"] == pytest.approx(right)
    assert "Cross-entropy" in run.report.read_text()
    assert [row[1] == row[2] for row in rows_of(run)[1:]].count(True) == round(right * 12)
