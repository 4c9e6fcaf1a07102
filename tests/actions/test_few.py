"""Few photographs: a head on the pretrained network, and its last stages fine-tuned where validation gains by it."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import striate
from striate.actions import fine_tuning
from striate.actions.fine_tuning import PreparedPictures
from striate.errors import InputError
from striate.models.input_spec import InputSpec
from striate.networks import build_network
from striate.training.recipe_file import read_recipe

SETTINGS = {"size": 64, "device": "cpu", "threads": 1, "seed": 1}
SHAPES = ("disc", "frame", "stripes")


def photograph(kind: str, rng: np.random.Generator, grey: bool) -> np.ndarray:
    """(130, 170, 3) or (130, 170): a shape of any colour at any place in coloured noise."""
    coarse = Image.fromarray(rng.integers(40, 200, (13, 17, 3)).astype(np.uint8)).resize((170, 130))
    pixels = np.asarray(coarse).astype(float) + rng.normal(0, 8, (130, 170, 3))
    rows, columns = np.mgrid[:130, :170]
    row, column = rng.integers(50, 80), rng.integers(50, 120)
    distance = np.hypot(rows - row, columns - column)
    inside = {
        "disc": distance < 42,
        "frame": (np.abs(rows - row) < 45) & (np.abs(columns - column) < 45) & (distance > 38),
        "stripes": (columns // 8) % 2 == 0,
    }[kind]
    pixels[inside] = rng.uniform(0, 255, 3)
    pixels = pixels.clip(0, 255).astype(np.uint8)
    return pixels.mean(axis=2).astype(np.uint8) if grey else pixels


def write_photographs(folder: Path, kinds=SHAPES, count: int = 8, *, grey: bool = False) -> Path:
    rng = np.random.default_rng(3)
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(photograph(kind, rng, grey)).save(folder / kind / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("few") / "photographs")


def predictions(run) -> list[dict[str, str]]:
    with (run.folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "model.safetensors")


def equal(one, other) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def assert_consistent(run, source: Path) -> None:
    """The loaded model answers as `predictions.csv` says, and `metrics.json` counts as that does."""
    model = striate.load(run)
    told = predictions(run)
    answered = striate.predict(model, [source / row["path"] for row in told])
    for answer, row in zip(answered.answers, told, strict=True):
        assert answer.label == row["prediction"]
        for name, probability in zip(model.class_names, answer.probabilities, strict=True):
            assert float(row[f"p({name})"]) == pytest.approx(probability, abs=1e-5)
    right = np.mean([row["target"] == row["prediction"] for row in told])
    assert run.metrics["test"]["accuracy"]["value"] == pytest.approx(right)
    assert run.finished


# -- the frozen way -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frozen(photographs, tmp_path_factory):
    return striate.train(photographs, out=tmp_path_factory.mktemp("frozen") / "run", **SETTINGS)


def test_a_head_on_the_pretrained_network_comes_of_few_photographs(frozen, photographs):
    assert_consistent(frozen, photographs)
    _, resolved = read_recipe(frozen.folder / "recipe.toml")
    assert resolved["method"] == "frozen"
    assert resolved["network"] == "efficientnet-lite0"
    assert (resolved["height"], resolved["width"], resolved["fit"]) == (64, 64, "squash")
    assert not resolved["fine_tune"]
    assert resolved["fingerprint"] == frozen.config["data"]["fingerprint"]
    log = (frozen.folder / "log.txt").read_text()
    assert "fine-tuning not tried" in log
    assert "24 pictures found, all of them used" in log
    # Everything but the head and what normalises its features is as published.
    published = build_network("efficientnet-lite0", num_outputs=3, channels=3, size=64, pretrained=True, seed=0)
    before, after = published.network.state_dict(), weights(frozen)
    assert all(torch.equal(after[name], before[name]) for name in after if name.startswith("features."))


def test_validation_is_out_of_fold_and_says_so(frozen):
    metrics = frozen.metrics
    assert "validation" not in metrics
    counts = metrics["counts"]["by_split"]
    known = counts["train"] + counts["validation"]
    assert counts["test"] == len(predictions(frozen)) == 24 - known
    found = metrics["cross_validation"]
    assert found["n"] == known
    with (frozen.folder / "history.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["validation_accuracy"]) == pytest.approx(found["accuracy"]["value"])
    # Shapes against noise are nothing for chance: the head has learned something.
    assert found["accuracy"]["value"] > 0.6


def test_the_configuration_rebuilds_the_network_and_loads_what_was_written(frozen):
    described = json.loads((frozen.folder / "config.json").read_text())["network"]
    assert described["name"] == "efficientnet-lite0"
    assert described["arguments"] == {"centre": True, "normalized": True, "dropout": 0.2}
    network = build_network(
        described["name"], num_outputs=3, channels=3, size=64, arguments=described["arguments"], seed=5
    ).network
    network.load_state_dict(weights(frozen), strict=True)
    loaded = striate.load(frozen).network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())


def test_its_recipe_repeats_it_and_other_pictures_are_refused(frozen, photographs, tmp_path):
    again = striate.train(photographs, out=tmp_path / "again", recipe=frozen.folder / "recipe.toml")
    assert equal(again, frozen)
    assert predictions(again) == predictions(frozen)
    other = write_photographs(tmp_path / "other", count=7)
    with pytest.raises(InputError, match="are not those that the recipe has resolved"):
        striate.train(other, out=tmp_path / "refused", recipe=frozen.folder / "recipe.toml")
    assert not (tmp_path / "refused").exists()


def test_a_head_is_fitted_on_the_network_of_an_earlier_run(frozen, photographs, tmp_path):
    """The earlier run's network differs from the published one in one weight, as after fine-tuning."""
    earlier = striate.Run(Path(shutil.copytree(frozen.folder, tmp_path / "earlier")))
    changed = weights(earlier)
    name = next(name for name in changed if name.startswith("features.top") and changed[name].dim() == 4)
    changed[name] = changed[name] * 1.01
    save_file(changed, earlier.folder / "model.safetensors")
    source = write_photographs(tmp_path / "two", kinds=("disc", "stripes"), count=7)
    run = striate.train(source, out=tmp_path / "run", from_run=earlier, device="cpu", threads=1, seed=1)
    _, resolved = read_recipe(run.folder / "recipe.toml")
    assert resolved["method"] == "frozen"
    assert run.config["input"] == earlier.config["input"]  # the size of 64 pixels with it
    after = weights(run)
    assert all(torch.equal(after[one], changed[one]) for one in after if one.startswith("features."))
    assert after["head.weight"].shape[0] == 2
    assert_consistent(run, source)
    log = (run.folder / "log.txt").read_text()
    assert f"as {earlier} left it" in log
    assert "the head is fitted anew" in log
    # On the same pictures with another seed, what is tested now was learned from then.
    again = striate.train(photographs, out=tmp_path / "again", from_run=earlier, device="cpu", threads=1, seed=2)
    assert re.search(
        r"warning: \d+ of the \d+ test pictures were learned from by", (again.folder / "log.txt").read_text()
    )
    assert "from which this run started: the figure is too good" in again.report.read_text()


def test_settings_that_play_no_part_are_named(photographs, tmp_path):
    said: list[str] = []

    class Watch(striate.Observer):
        def warn(self, text: str) -> None:
            said.append(text)

    striate.train(
        photographs,
        out=tmp_path / "run",
        observer=Watch(),
        learning_rate=0.3,
        class_weights="balanced",
        augment={"rotation": 10.0},
        **SETTINGS,
    )
    (named,) = (text for text in said if "no part" in text)
    for name in ("learning_rate", "class_weights", "augment"):
        assert name in named
    assert "seed" not in named
    assert "epochs" in named  # how to have them play theirs


def test_grey_photographs_of_two_classes(tmp_path):
    source = write_photographs(tmp_path / "grey", SHAPES[:2], count=6, grey=True)
    run = striate.train(source, out=tmp_path / "run", **SETTINGS)
    assert_consistent(run, source)
    assert striate.load(run).input_spec.channels == 3


def test_without_any_test_picture(photographs, tmp_path):
    """All test pictures are broken: nothing is said of a test, and what was learned is kept."""
    source = tmp_path / "source"
    for kind in SHAPES:
        (source / "train").mkdir(parents=True, exist_ok=True)
        (source / "train" / kind).symlink_to(photographs / kind)
        (source / "test" / kind).mkdir(parents=True)
        (source / "test" / kind / "0.png").write_bytes(b"no picture")
    run = striate.train(source, out=tmp_path / "run", **SETTINGS)
    assert run.finished
    assert not (run.folder / "predictions.csv").exists()
    assert "test" not in run.metrics
    assert run.metrics["cross_validation"]["accuracy"]["value"] > 0.6
    assert run.metrics["counts"]["left_out"] == 3
    assert "0.png" in run.report.read_text()
    assert striate.load(run).class_names == SHAPES


# -- fine-tuned ---------------------------------------------------------------------------------


@pytest.fixture
def tuned_early(monkeypatch):
    """Fine-tuning of a dozen pictures."""
    monkeypatch.setattr(fine_tuning, "FEWEST_TO_TUNE", 10)
    monkeypatch.setattr(fine_tuning, "FEWEST_HELD_BACK", 2)
    monkeypatch.setattr(fine_tuning, "PASSES", 100)
    monkeypatch.setattr(fine_tuning, "MOST_EPOCHS", 2)


@pytest.fixture(scope="module")
def more(tmp_path_factory) -> Path:
    """Enough for one batch of 32 in training."""
    return write_photographs(tmp_path_factory.mktemp("more") / "photographs", SHAPES[:2], count=26)


class Stop(striate.Observer):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, record):
        if record["step"] == self.step:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("tuned_early")
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "not kept"])
def test_fine_tuning_leaves_a_run_that_fits_together_whether_it_is_kept_or_not(more, tmp_path, monkeypatch, kept):
    # By how many standard errors validation must gain.
    monkeypatch.setattr(fine_tuning, "SIGNIFICANT", -1e9 if kept else 1e9)
    precision = "float32" if kept else "bfloat16"
    run = striate.train(more, out=tmp_path / "run", precision=precision, **SETTINGS)
    assert_consistent(run, more)
    log = (run.folder / "log.txt").read_text()
    assert ("fine-tuning is kept" in log) is kept
    assert ("the network stays as it was" in log) is not kept
    _, values = read_recipe(run.folder / "recipe.toml")
    assert values["fine_tune"]
    assert values["precision"] == precision
    assert striate.load(run).precision == "float32"  # answers always are
    assert ("validation" in run.metrics) is kept
    assert ("cross_validation" in run.metrics) is not kept
    published = build_network("efficientnet-lite0", num_outputs=2, channels=3, size=64, pretrained=True, seed=0)
    before, after = published.network.state_dict(), weights(run)
    moved = {name for name in after if name.startswith("features.") and not torch.equal(after[name], before[name])}
    assert bool(moved) is kept
    # Only the last stages, and no normalisation's statistics.
    allowed = [f"features.stages.{stage}." for stage in range(fine_tuning.TUNED_FROM, 7)]
    assert all(name.startswith((*allowed, "features.top.")) for name in moved)
    assert not any("running" in name for name in moved)
    with (run.folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (values["epochs"] if kept else 1)


@pytest.mark.usefixtures("tuned_early")
def test_fine_tuning_is_resumed_bit_for_bit_and_not_with_other_pictures(more, tmp_path, monkeypatch):
    monkeypatch.setattr(fine_tuning, "SIGNIFICANT", -1e9)
    source = shutil.copytree(more, tmp_path / "source")
    computed = {"precision": "float32", "layout": "channels-last"}
    whole = striate.train(source, out=tmp_path / "whole", **SETTINGS, **computed)
    monkeypatch.setattr("striate.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        striate.train(source, out=tmp_path / "run", observer=Stop(2), **SETTINGS, **computed)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    before = (tmp_path / "run" / "checkpoints" / "last.safetensors").read_bytes()
    (source / "disc" / "3.png").rename(source / "frame" / "99.png")
    with pytest.raises(InputError, match=r"are not those that .*run began with"):
        striate.resume(tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").read_bytes() == before
    (source / "frame" / "99.png").rename(source / "disc" / "3.png")
    resumed = striate.resume(tmp_path / "run")
    assert equal(resumed, whole)
    assert predictions(resumed) == predictions(whole)


# -- prepared pictures --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_prepared_pictures_are_batched_as_they_are(kind, channels):
    prepared = (255 * torch.rand(6, channels, 4, 5, generator=torch.Generator().manual_seed(0))).to(kind)
    pictures = PreparedPictures(prepared)
    assert len(pictures) == 6
    assert pictures.uniform
    assert pictures.shapes.tolist() == [[4, 5, channels]] * 6
    rows = np.array([4, 0, 4])
    block = pictures.block(rows)
    assert block.shape == (3, 4, 5, channels)
    assert block.dtype == prepared.numpy().dtype
    for number, row in enumerate(rows):
        assert np.array_equal(block[number], pictures.pixels(int(row)))
        assert np.array_equal(block[number].transpose(2, 0, 1), prepared[row].numpy())
        # Prepared once more they stay what they are.
        spec = InputSpec(channels=channels, height=4, width=5, mean=(0.5,) * channels, deviation=(1.0,) * channels)
        assert torch.equal(spec.prepare(pictures.pixels(int(row))), prepared[row])
