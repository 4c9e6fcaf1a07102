"""`predict`, `evaluate`, `runs` and `describe` from the command line: what they take, and what they print."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import QUICK, here, write_pictures
from PIL import Image

import striate
from striate.data.splits import assign_splits
from striate.models.many_views import TTA

Capture = pytest.CaptureFixture[str]


def paths(out: str) -> list[str]:
    return [json.loads(line)["path"] for line in out.splitlines()]


def test_predict_takes_files_folders_patterns_and_lists_in_the_order_given(
    run: Path, place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested = write_pictures(place / "more/deep", classes=("x",), count=12).parent
    listed = "pictures/b/5.png\n\npictures/b/4.png\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(listed))
    said = here(capsys, "predict", "run", "pictures/a/1.png", nested, "pictures/b/[01].png", "-", "--json")
    assert said.code == 0
    assert said.err == ""
    assert paths(said.out) == [
        "pictures/a/1.png",
        *(f"{nested}/deep/x/{number}.png" for number in range(12)),  # 2 before 10
        "pictures/b/0.png",
        "pictures/b/1.png",
        "pictures/b/5.png",
        "pictures/b/4.png",
    ]


def test_predict_answers_a_picture_as_often_as_it_is_named(run: Path, capsys: Capture) -> None:
    said = here(capsys, "predict", "run", "pictures/a/1.png", "pictures/a/1.png", "--json")
    one, other = (json.loads(line) for line in said.out.splitlines())
    assert one == other


def test_predict_takes_names_that_begin_with_a_dash(run: Path, capsys: Capture) -> None:
    shutil.copy("pictures/a/0.png", "-odd.png")
    assert paths(here(capsys, "predict", "run", "--json", "--", "-odd.png").out) == ["-odd.png"]


def test_predict_names_what_it_cannot_read_and_goes_on(run: Path, capsys: Capture) -> None:
    Path("broken.png").write_bytes(b"no picture")
    said = here(capsys, "predict", "run", "gone.png", "pictures/a/0.png", "broken.png", "pictures/*.jpg")
    assert said.code == 0
    assert len(said.out.splitlines()) == 2
    assert [line.split(": ")[1] for line in said.lines] == ["gone.png", "broken.png", "pictures/*.jpg"]
    assert all(line.startswith("striate: ") for line in said.lines)


def test_the_formats_of_predict_say_the_same(run: Path, capsys: Capture) -> None:
    formats = {
        name: here(capsys, "predict", "run", "pictures", "--top", "99", "--format", name).out
        for name in ("table", "csv", "jsonl")
    }
    rows = list(csv.DictReader(io.StringIO(formats["csv"])))
    answers = [json.loads(line) for line in formats["jsonl"].splitlines()]
    assert len(rows) == len(answers) == 12
    assert list(rows[0]) == ["path", "prediction", "probability", "prediction_2", "probability_2"]  # all there are
    expected = striate.load("run").predict("pictures")
    for row, answer, one in zip(rows, answers, expected, strict=True):
        assert row["path"] == answer["path"] == one.name
        assert row["prediction"] == answer["prediction"] == answer["top"][0]["label"] == one.label
        assert float(row["probability"]) == pytest.approx(one.probability, abs=1e-6)
        assert answer["probability"] == pytest.approx(one.probability)
        assert sum(best["probability"] for best in answer["top"]) == pytest.approx(1)
    lines = formats["table"].splitlines()
    assert lines[0].split() == ["picture", "answer", "probability", "answer", "probability"]
    assert [line.split()[1] for line in lines[1:]] == [row["prediction"] for row in rows]


def test_evaluate_matches_classes_by_name_wherever_they_stand(run: Path, place: Path, capsys: Capture) -> None:
    """Folder readers that number classes by position call every b an a where the a's are missing."""
    shutil.copytree("pictures/b", "only-b/b")
    whole = json.loads(here(capsys, "evaluate", "run", "pictures", "--json").out)
    part = json.loads(here(capsys, "evaluate", "run", "only-b", "--json").out)
    recall = {one["name"]: one["recall"]["value"] for one in whole["by_class"] if one["recall"]}
    assert part["class_names"] == ["a", "b"]
    assert part["pictures"] == 6
    assert part["accuracy"]["value"] == pytest.approx(recall["b"])
    # The same pictures by a table whose rows, and so whose classes, come in another order.
    rows = [f"pictures/{name}/{number}.png,{name}" for name in ("b", "a") for number in range(6)]
    Path("labels.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    table = json.loads(here(capsys, "evaluate", "run", "labels.csv", "--json").out)
    assert table["accuracy"] == whole["accuracy"]
    assert table["confusion"] == whole["confusion"]


def test_evaluate_gives_every_figure_with_its_interval(run: Path, capsys: Capture) -> None:
    shutil.copy("pictures/a/0.png", "pictures/b/mistaken.png")
    found = json.loads(here(capsys, "evaluate", "run", "pictures", "--json").out)
    for name in ("accuracy", "balanced_accuracy", "macro_precision", "macro_f1", "auroc", "log_loss", "brier", "ece"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"], name
    for one in found["by_class"]:
        assert {"precision", "recall", "f1", "auroc"} <= set(one)
    said = here(capsys, "evaluate", "run", "pictures")
    for words in ("13 pictures of pictures", "accuracy", "AUROC", "log loss", "Brier", "ECE", "95 % interval"):
        assert words in said.out
    assert "calibration" in said.out


def test_answers_to_several_views_are_averaged_and_it_is_written_down(run: Path, place: Path, capsys: Capture) -> None:
    """Against the answers to pictures that were mirrored before."""
    for path in sorted((place / "pictures").rglob("*.png")):
        mirrored = place / "mirrored" / path.relative_to(place / "pictures")
        mirrored.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)

    def answers(*arguments: str) -> np.ndarray:
        lines = here(capsys, "predict", "run", *arguments, "--top", "2", "--format", "jsonl").out.splitlines()
        tops = [sorted(json.loads(line)["top"], key=lambda one: one["label"]) for line in lines]
        return np.array([[one["probability"] for one in top] for top in tops])

    plain = answers("pictures")
    assert (answers("pictures", "--tta", "none") == plain).all()
    both = answers("pictures", "--tta", "flip")
    assert np.allclose(both, (plain + answers("mirrored")) / 2, atol=1e-6)
    assert not np.allclose(both, plain, atol=1e-4)
    found = {tta: json.loads(here(capsys, "evaluate", "run", "pictures", "--json", "--tta", tta).out) for tta in TTA}
    assert {tta: one["tta"] for tta, one in found.items()} == {tta: tta for tta in TTA}
    assert json.loads(here(capsys, "evaluate", "run", "pictures", "--json").out) == found["none"]
    targets = np.array([0] * 6 + [1] * 6)
    for tta in TTA:
        expected = -np.log(answers("pictures", "--tta", tta)[np.arange(12), targets]).mean()
        assert found[tta]["log_loss"]["value"] == pytest.approx(expected, rel=1e-5)


def test_evaluate_takes_the_test_split_and_what_is_asked(run: Path, place: Path, capsys: Capture) -> None:
    for split, count in (("train", 3), ("test", 2)):
        write_pictures(place / "splits" / split, count=count)
    found = json.loads(here(capsys, "evaluate", "run", "splits", "--json").out)
    assert (found["split"], found["pictures"]) == ("test", 4)
    found = json.loads(here(capsys, "evaluate", "run", "splits", "--split", "train", "--json").out)
    assert (found["split"], found["pictures"]) == ("train", 6)
    assert "it has train, test" in here(capsys, "evaluate", "run", "splits", "--split", "validation").sentence


def test_evaluate_counts_the_pictures_that_the_run_has_seen(run: Path, capsys: Capture) -> None:
    drawn, _ = assign_splits(striate.open_dataset("pictures"), seed=0)
    learned = [name for name, split in zip(drawn.names, drawn.splits, strict=True) if split == "train"]
    words = "are among those that the run learned from, so the figures are too good"
    note = f"{len(learned)} of these 12 pictures {words}"
    assert note in here(capsys, "evaluate", "run", "pictures").out
    assert note in json.loads(here(capsys, "evaluate", "run", "pictures", "--json").out)["notes"][0]
    # Under other names and among others they are the same pictures.
    write_pictures(Path("others"), count=5, size=9)
    assert words not in here(capsys, "evaluate", "run", "others").out
    shutil.copy(Path("pictures") / learned[0], "others/a/copy.png")
    assert f"1 of these 11 pictures {words}" in here(capsys, "evaluate", "run", "others").out
    # A run of an early version has noted nothing, and a broken note is said to be one.
    (run / "seen.safetensors").write_bytes(b"no tensors")
    assert "seen.safetensors: cannot be read" in here(capsys, "evaluate", "run", "pictures").sentence
    (run / "seen.safetensors").unlink()
    assert words not in here(capsys, "evaluate", "run", "pictures").out


def test_evaluate_gives_no_interval_where_resampling_finds_no_spread(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, run: Path
) -> None:
    model = striate.load(run)
    monkeypatch.chdir(run.parent)
    answers = {one.name: one.label for one in model.predict(["pictures"])}
    for number, (name, label) in enumerate(sorted(answers.items())):
        place = Path("right") / label / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, place)
    lines = here(capsys, "evaluate", "run", "right").out.splitlines()
    accuracy = next(line for line in lines if line.startswith("accuracy"))
    balanced = next(line for line in lines if line.startswith("balanced"))
    assert "100.00 % (95 % interval" in accuracy  # Wilson's has a width always
    assert balanced.split()[-2:] == ["100.00", "%"]
    found = json.loads(here(capsys, "evaluate", "run", "right", "--json").out)
    assert found["balanced_accuracy"]["low"] is found["balanced_accuracy"]["high"] is None
    assert any("every answer is right" in note for note in found["notes"])


def test_evaluate_names_and_counts_what_it_leaves_out(run: Path, capsys: Capture) -> None:
    Path("pictures/a/zero.png").write_bytes(b"")
    said = here(capsys, "evaluate", "run", "pictures", "--json")
    found = json.loads(said.out)
    assert found["pictures"] == 12
    assert [one["path"] for one in found["left_out"]] == ["a/zero.png"]
    assert "a/zero.png" in said.err


def test_runs_lists_the_best_first_and_the_broken_as_broken(run: Path, place: Path, capsys: Capture) -> None:
    folder = place / "runs"
    for number, value in (("1", 0.25), ("2", 0.75), ("10", 0.75)):
        shutil.copytree("run", folder / f"x-{number}")
        path = folder / f"x-{number}/metrics.json"
        metrics = json.loads(path.read_text())
        metrics["test"]["accuracy"]["value"] = value
        path.write_text(json.dumps(metrics))
    shutil.copytree("run", folder / "stopped")
    (folder / "stopped/metrics.json").unlink()
    for name, content in {"text": "no JSON", "list": "[]", "odd": '{"test": {"accuracy": {"value": "high"}}}'}.items():
        shutil.copytree("run", folder / f"broken-{name}")
        (folder / f"broken-{name}/metrics.json").write_text(content)
    (folder / "no run").mkdir()
    (folder / "file").write_text("")
    listed = json.loads(here(capsys, "runs", "--json").out)
    assert [Path(one["run"]).name for one in listed][:3] == ["x-2", "x-10", "x-1"]
    assert {Path(one["run"]).name: one["state"] for one in listed[3:]} == {
        "broken-list": "broken",
        "broken-odd": "broken",
        "broken-text": "broken",
        "stopped": "unfinished",
    }
    lines = here(capsys, "runs").out.splitlines()
    assert lines[0].split() == ["run", "network", "source", "accuracy", "took"]
    assert len(lines) == 8
    assert "75.00 %" in lines[1]
    assert "linear" in lines[1]
    assert here(capsys, "runs", "runs/x-1", "--json").out.count('"run"') == 1


def of_task(place: Path, name: str, **evaluation: object) -> None:
    """A copy of the run with another evaluation."""
    shutil.copytree("run", place / name)
    path = place / name / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["test"] = metrics["validation"] = {"n": 20, **evaluation}
    path.write_text(json.dumps(metrics))


def test_runs_are_listed_under_what_their_figures_are(run: Path, place: Path, capsys: Capture) -> None:
    folder = place / "numbers"
    for name, value in (("far", -3.5), ("near", 0.75), ("exact", 1.0)):
        of_task(folder, name, task="regression", r2={"value": value, "low": value, "high": value}, mae={"value": 1e9})
    of_task(folder, "none", task="regression", r2=None)
    lines = here(capsys, "runs", folder).out.splitlines()
    assert lines[0].split() == ["run", "network", "source", "R2", "took"]
    assert [line.split()[3] for line in lines[1:]] == ["1.0000", "0.7500", "-3.5000", "finished"]
    of_task(folder, "labels", task="multilabel", mean_average_precision={"value": 0.5, "low": 0.4, "high": 0.6})
    of_task(folder, "classes", accuracy={"value": 0.25, "low": None, "high": None})
    lines = here(capsys, "runs", folder).out.splitlines()
    assert lines[0].split() == ["run", "network", "source", "figure", "took"]
    assert "  accuracy 25.00 %  " in lines[1]
    assert "  mAP 0.5000 (95 % interval 0.4000 to 0.6000)  " in lines[2]
    assert "  R2 1.0000  " in lines[3]
    listed = json.loads(here(capsys, "runs", folder, "--json").out)
    assert [one["figure"] for one in listed[1:]] == ["mean_average_precision", "r2", "r2", "r2", None]
    assert (listed[0]["accuracy"], listed[0]["value"], listed[1]["accuracy"]) == (0.25, 0.25, None)
    of_task(folder, "odd", task="segmentation")
    assert json.loads(here(capsys, "runs", folder, "--json").out)[-1]["state"] == "broken"


def test_runs_where_there_are_none(place: Path, capsys: Capture) -> None:
    assert "no such folder" in here(capsys, "runs").sentence
    (place / "runs").mkdir()
    said = here(capsys, "runs")
    assert said.code == 0
    assert said.out == "no runs in runs yet; striate train SOURCE makes one\n"
    assert json.loads(here(capsys, "runs", "--json").out) == []


@pytest.mark.parametrize(
    "asked",
    [
        "evaluate run pictures",
        "runs .",
        "describe run",
        "describe lenet5 --size 28 --channels 1 --classes 10",
        "networks",
        "inspect pictures --out page.html",
        "resume run --epochs 3",
        "train pictures --out other " + " ".join(QUICK),
    ],
)
def test_json_is_one_value_on_stdout(asked: str, run: Path, capsys: Capture) -> None:
    said = here(capsys, *asked.split(), "--json")
    assert said.code == 0, said.err

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    json.loads(said.out, parse_constant=refuse)
    assert said.out.count("\n") == 1


def test_weights_that_are_no_numbers_are_refused(run: Path, capsys: Capture) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file("run/model.safetensors")
    name = next(iter(weights))
    weights[name] = np.full_like(weights[name], np.nan)
    save_file(weights, "run/model.safetensors")
    assert f"the weights in {name} hold what is no finite number" in here(capsys, "predict", "run", "pictures").sentence


def test_overwrite_gives_up_a_run_only_when_the_new_one_learns(run: Path, place: Path, capsys: Capture) -> None:
    from command import snapshot

    before = snapshot(run, times=False)
    Path("run/notes.txt").write_text("mine")
    write_pictures(place / "one", classes=("a",))
    here(capsys, "train", "one", "--out", "run", "--overwrite", *QUICK).sentence  # noqa: B018 - that it is one
    Path("run/notes.txt").unlink()
    assert snapshot(run, times=False) == before
    Path("run/notes.txt").write_text("mine")
    assert here(capsys, "train", "pictures", "--out", "run", "--overwrite", "--seed", "5", *QUICK).code == 0
    assert Path("run/notes.txt").read_text() == "mine"
    assert "seed = 5" in Path("run/recipe.toml").read_text()
    assert sorted(path.name for path in run.iterdir() if path.name.startswith(".")) == []


def test_a_run_is_put_where_the_next_number_is_free(place: Path, capsys: Capture) -> None:
    write_pictures(place / "my pictures!")
    for number in (1, 2):
        said = here(capsys, "train", "my pictures!", "--json", *QUICK)
        assert said.code == 0
        assert json.loads(said.out)["run"] == f"runs/my-pictures-{number}"


def test_describe_of_a_run_takes_no_size_of_ones_own(run: Path, capsys: Capture) -> None:
    assert here(capsys, "describe", "run", "--size", "64").sentence == "run: a run has its own size; leave --size away"
    assert "channels and classes" in here(capsys, "describe", "run", "--channels", "1", "--classes", "4").sentence


def test_report_names_the_page_that_it_made(run: Path, place: Path, capsys: Capture) -> None:
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert here(capsys, "report", "run").out == f"page   {Path('run') / 'report.html'}\n"
    assert len((run / "report.html").read_bytes()) > 0.9 * len(before)
    assert here(capsys, "train", "pictures", "--out", "more", "--from", "run", "--epochs", "1").code == 0
    said = here(capsys, "report", "run", "more", "--out", "page.html", "--json")
    told = json.loads(said.out)
    assert told["page"] == "page.html"
    assert [(one["first"], one["second"]) for one in told["comparisons"]] == [("run", "more")]
    assert "2 runs" in (place / "page.html").read_text()
