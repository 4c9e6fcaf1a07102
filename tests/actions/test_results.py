"""What a run says about itself, against what `evaluate`, a brute-force search and a count by hand say."""

from __future__ import annotations

import csv
import html
import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.actions import results, trained_page
from striate.actions.job import Material, Trained, fingerprint
from striate.data.sources import open_dataset
from striate.models.model import Model

SETTINGS = {
    "network": "lenet5",
    "epochs": 2,
    "device": "cpu",
    "threads": 1,
    "seed": 1,
    "batch_size": 16,
    "precision": "float32",
}
SCRIPT = "<script>"
CLASSES = (SCRIPT, "a,b", "dark")


def write_source(folder: Path, side: int = 12) -> Path:
    """Train and test folders, 14 and 8 grey pictures for each of three classes that are hard to tell apart, and two
    files that are no pictures, one in each split."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 14), ("test", 8)):
        for number, name in enumerate(CLASSES):
            place = folder / split / name
            place.mkdir(parents=True)
            for index in range(count):
                pixels = rng.uniform(0, 200, (side, side)) + 20 * number
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{split}-{index}.png")
        (folder / split / "dark" / f"broken & {split}.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return write_source(tmp_path_factory.mktemp("results") / "what is it")


@pytest.fixture(scope="module")
def kept(source, tmp_path_factory):
    """A run, and the trained model with its material as `write_results` was given them."""
    seen: list[tuple[object, Trained]] = []
    with pytest.MonkeyPatch.context() as patch:
        real = results.write_results

        def write(job, trained):
            seen.append((job, trained))
            real(job, trained)

        patch.setattr("striate.actions.work.write_results", write)
        run = striate.train(source, out=tmp_path_factory.mktemp("runs") / "a run", **SETTINGS)
    return run, *seen[0]


def test_predictions_are_those_of_evaluate(kept, source):
    run, *_ = kept
    with (run.folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "target", "prediction", "probability", *[f"p({name})" for name in CLASSES]]
    evaluated = striate.evaluate(run, source)
    assert evaluated.split == "test"
    assert [row[0] for row in rows[1:]] == list(evaluated.names)
    told = np.array([[float(value) for value in row[4:]] for row in rows[1:]])
    assert told == pytest.approx(evaluated.probabilities, abs=2e-6)
    for row, target, probabilities in zip(rows[1:], evaluated.targets, evaluated.probabilities, strict=True):
        assert row[1] == CLASSES[target] == Path(row[0]).parent.name
        assert row[2] == CLASSES[int(probabilities.argmax())]
        assert float(row[3]) == pytest.approx(probabilities.max(), abs=1e-6)
    right = np.mean([row[1] == row[2] for row in rows[1:]])
    assert run.metrics["test"]["accuracy"]["value"] == pytest.approx(right)
    figures = evaluated.to_json()
    for name, figure in run.metrics["test"].items():
        if isinstance(figure, dict) and "value" in figure:
            assert figures[name]["value"] == pytest.approx(figure["value"], nan_ok=True, abs=1e-6)


def test_counts_add_up_with_what_was_left_out(kept):
    metrics = kept[0].metrics
    counts = metrics["counts"]
    assert counts["found"] == 3 * (14 + 8) + 2
    assert counts["left_out"] == len(metrics["left_out"]) == 2
    assert counts["used"] == counts["found"] - counts["left_out"] == sum(counts["by_split"].values())
    assert counts["by_split"]["test"] == 24
    assert {one["path"] for one in metrics["left_out"]} == {
        "train/dark/broken & train.png",
        "test/dark/broken & test.png",
    }
    assert all(one["reason"] for one in metrics["left_out"])
    assert metrics["seconds"]["total"] >= metrics["seconds"]["training"]
    log = (kept[0].folder / "log.txt").read_text()
    assert "68 pictures found = 66 used + 2 left out" in log


def test_the_report_names_what_was_left_out_and_the_command_and_runs_no_class_name(kept, source):
    run, *_ = kept
    page = run.report.read_text()
    text = html.unescape(page)
    for split in ("train", "test"):
        assert f"broken &amp; {split}.png" in page
        assert f"broken & {split}.png" not in page
    command = f"striate train {shlex.quote(str(source))} --recipe {shlex.quote(str(run.folder / 'recipe.toml'))}"
    assert command in text
    assert shlex.split(command)[2] == str(source)
    assert "&lt;script&gt;" in page
    # Scripts of the page's own may be there; none that opens where the name of a class stands.
    assert f">{SCRIPT}<" not in page
    assert f"p({SCRIPT})" not in page
    for outside in ("http://", "https://"):
        assert f'src="{outside}' not in page
        assert f"url({outside}" not in page


def test_the_card_is_there_and_says_the_same_figure(kept):
    run, *_ = kept
    card = (run.folder / "README.md").read_text()
    assert card.startswith("---\n")
    accuracy = run.metrics["test"]["accuracy"]["value"]
    assert f"{100 * accuracy:.1f}" in card
    assert SCRIPT not in card.split("---\n", 2)[2].replace(f"`{SCRIPT}`", "")


def test_the_command_of_the_report_repeats_the_run(kept, source, tmp_path):
    run, *_ = kept
    again = striate.train(source, out=tmp_path / "again", recipe=run.folder / "recipe.toml")
    assert (again.folder / "predictions.csv").read_bytes() == (run.folder / "predictions.csv").read_bytes()
    assert again.config["data"]["fingerprint"] == run.config["data"]["fingerprint"]


def test_mistakes_stand_beside_their_nearest_training_pictures(kept, source):
    run, _, trained = kept
    model, samples = striate.load(run), trained.material.samples
    opened = open_dataset(source)
    rows = {name: row for row, name in enumerate(opened.names)}

    def features(name: str) -> torch.Tensor:
        with Image.open(source / name) as picture:
            pixels = np.asarray(picture)[:, :, None]
        with torch.no_grad():
            prepared = model.input_spec.normalize(model.prepare(pixels)[None])
            return torch.nn.functional.normalize(model.network.features(prepared).flatten(1).double())[0]

    answers = model.answer(trained.material.held_back["test"]).numpy()
    mistakes = trained_page._mistakes(trained, "test", answers)
    training = [name for name, split in zip(samples.names, samples.splits, strict=True) if split == "train"]
    known = torch.stack([features(name) for name in training])
    assert mistakes
    assert [one.probability for one in mistakes] == sorted((one.probability for one in mistakes), reverse=True)
    for mistake in mistakes:
        assert mistake.target != mistake.prediction
        assert mistake.target == opened.class_names[opened.targets[rows[mistake.name]]]
        distances = 1 - known @ features(mistake.name)
        order = distances.argsort(stable=True)[: trained_page.NEIGHBOURS]
        assert [one.distance for one in mistake.neighbours] == pytest.approx(distances[order].tolist(), abs=1e-5)
        for neighbour in mistake.neighbours:
            assert neighbour.name in training
            assert neighbour.label == Path(neighbour.name).parent.name
            assert float(distances[training.index(neighbour.name)]) == pytest.approx(neighbour.distance, abs=1e-5)


def test_the_least_sure_answers_are_the_least_sure(kept):
    _, _, trained = kept
    answers = trained.model.answer(trained.material.held_back["test"]).numpy()
    unsure = trained_page._unsure(trained, "test", answers)
    told = [one.top[0][1] for one in unsure]
    assert told == pytest.approx(sorted(answers.max(axis=1))[: trained_page.MOST_PICTURES])
    assert all(list(one.top) == sorted(one.top, key=lambda top: -top[1]) for one in unsure)


def test_the_fingerprint_is_that_of_pixels_labels_and_splits(kept):
    material: Material = kept[2].material
    samples = material.samples
    before = fingerprint(material)
    assert fingerprint(replace(material, checksums=material.checksums.copy(), held_back={})) == before
    other = material.checksums.copy()
    other[3] ^= np.uint64(1)
    swapped = material.checksums.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    targets = samples.targets.copy()
    targets[5] = (targets[5] + 1) % 3
    splits = samples.splits.copy()
    splits[7] = "validation" if splits[7] != "validation" else "train"
    changed = [
        replace(material, checksums=other),
        replace(material, checksums=swapped),
        replace(material, samples=replace(samples, targets=targets)),
        replace(material, samples=replace(samples, splits=splits)),
        replace(material, samples=replace(samples, class_names=("a,b", SCRIPT, "dark"))),
    ]
    found = [fingerprint(one) for one in changed]
    assert len({before, *found}) == 1 + len(found)


def test_the_fingerprint_follows_the_files(source, kept, tmp_path):
    again = write_source(tmp_path / "again")
    run = striate.train(again, out=tmp_path / "same", **{**SETTINGS, "epochs": 1})
    assert run.config["data"]["fingerprint"] == kept[0].config["data"]["fingerprint"]
    one = again / "train" / "dark" / "train-3.png"
    with Image.open(one) as picture:
        pixels = np.asarray(picture).copy()
    pixels[4, 4] ^= 1
    Image.fromarray(pixels).save(one)
    run = striate.train(again, out=tmp_path / "pixel", **{**SETTINGS, "epochs": 1})
    assert run.config["data"]["fingerprint"] != kept[0].config["data"]["fingerprint"]


def test_pictures_that_could_not_be_used_are_counted_in_words(kept, tmp_path):
    assert "2 pictures could not be used" in kept[0].report.read_text()
    source = write_source(tmp_path / "one broken")
    (source / "test" / "dark" / "broken & test.png").unlink()
    run = striate.train(source, out=tmp_path / "run", **{**SETTINGS, "epochs": 1})
    assert "1 picture could not be used" in run.report.read_text()


def test_everything_is_json_and_the_model_card_of_the_folder_is_complete(kept):
    run, *_ = kept
    for name in ("metrics.json", "config.json"):
        # NaN and Infinity are no JSON.
        json.loads((run.folder / name).read_text(), parse_constant=pytest.fail)
    assert isinstance(striate.load(run), Model)
    assert run.config["data"]["pictures"] == run.metrics["counts"]["by_split"]
