"""Runs that were killed go on bit for bit; finished ones go further; changed pictures are refused."""

from __future__ import annotations

import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import striate
from striate.errors import InputError
from striate.training.checkpoint import read_progress
from striate.training.recipe_file import read_recipe

# The command, with checkpoints as often as a test needs them.
COMMAND = (
    "import sys; from striate.training import loop; loop.CHECKPOINT_SECONDS = float(sys.argv[1]);"
    "from striate.cli.main import main; main(sys.argv[2:])"
)
ARGUMENTS = ["--network", "lenet5", "--batch-size", "8", "--device", "cpu", "--threads", "1", "--seed", "3"]
# Of longer runs this is chosen by a measurement, which can come out either way for so small a step.
ARGUMENTS += ["--precision", "float32", "--layout", "channels-last"]


class Stop(striate.Observer):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, record):
        if record["step"] == self.step:
            raise KeyboardInterrupt


def results(run) -> tuple[dict[str, torch.Tensor], list[dict[str, str]], bytes]:
    with (run / "history.csv").open(newline="") as file:
        history = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    return load_file(run / "model.safetensors"), history, (run / "predictions.csv").read_bytes()


def assert_same(run, other) -> None:
    weights, history, predictions = results(run)
    other_weights, other_history, other_predictions = results(other)
    assert history == other_history
    assert weights.keys() == other_weights.keys()
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)
    assert predictions == other_predictions


def train(pictures, out, *, epochs=3, observer=None, **settings):
    settings = {
        "network": "lenet5",
        "batch_size": 8,
        "device": "cpu",
        "threads": 1,
        "seed": 3,
        "precision": "float32",
        "layout": "channels-last",
        **settings,
    }
    return striate.train(pictures, out=out, epochs=epochs, observer=observer or striate.Observer(), **settings)


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory):
    return train(pictures, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr("striate.training.loop.CHECKPOINT_SECONDS", 0.0)


@pytest.mark.usefixtures("often")
def test_a_run_that_was_stopped_in_the_middle_of_an_epoch_goes_on_bit_for_bit(pictures, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(pictures, tmp_path / "run", observer=Stop(8))
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert read_progress(tmp_path / "run" / "checkpoints" / "last.safetensors").step_in_epoch > 0
    striate.resume(tmp_path / "run")
    assert_same(tmp_path / "run", whole.folder)


def test_a_run_that_was_stopped_before_its_first_checkpoint_starts_again(pictures, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(pictures, tmp_path / "run", observer=Stop(2))
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    striate.resume(tmp_path / "run")
    assert_same(tmp_path / "run", whole.folder)


def test_a_finished_run_goes_further_only_when_asked(pictures, whole, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "run")
    with pytest.raises(InputError, match="came to its end; to train further, say how far"):
        striate.resume(tmp_path / "run")
    with pytest.raises(InputError, match="has 3 epochs; name more than that, got 3"):
        striate.resume(tmp_path / "run", epochs=3)
    striate.resume(tmp_path / "run", epochs=5)
    _, history, _ = results(tmp_path / "run")
    _, before, _ = results(whole.folder)
    assert [row["epoch"] for row in history] == ["1", "2", "3", "4", "5"]
    assert history[:3] == before
    with pytest.raises(InputError, match="came to its end"):
        striate.resume(tmp_path / "run")


@pytest.mark.parametrize("broken", ["cut", "gone"])
def test_a_finished_run_that_cannot_go_further_stays_as_it_is(pictures, tmp_path, broken):
    run = train(pictures, tmp_path / "run", epochs=1)
    checkpoints = run.folder / "checkpoints"
    if broken == "cut":
        for path in checkpoints.iterdir():
            path.write_bytes(path.read_bytes()[:1000])
    else:
        shutil.rmtree(checkpoints)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file() and path.name != "log.txt"}
    with pytest.raises(InputError, match="broken" if broken == "cut" else "has no checkpoint to go on from"):
        striate.resume(run, epochs=2)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.usefixtures("often")
def test_going_further_can_be_stopped_and_resumed_too(pictures, whole, tmp_path):
    for name in ("run", "twice"):
        shutil.copytree(whole.folder, tmp_path / name)
    striate.resume(tmp_path / "run", epochs=5)
    total = read_progress(whole.folder / "checkpoints" / "last.safetensors").step
    with pytest.raises(KeyboardInterrupt):
        striate.resume(tmp_path / "twice", epochs=5, observer=Stop(total + 3))
    striate.resume(tmp_path / "twice")
    assert_same(tmp_path / "twice", tmp_path / "run")


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("change", ["pixels", "label", "one more"])
def test_pictures_that_have_changed_since_are_refused(make_pictures, tmp_path, change):
    source = make_pictures(tmp_path / "source", count=10)
    with pytest.raises(KeyboardInterrupt):
        train(source, tmp_path / "run", observer=Stop(4))
    before = (tmp_path / "run" / "checkpoints" / "last.safetensors").read_bytes()
    if change == "pixels":
        Image.new("L", (12, 12), 7).save(source / "dark" / "3.png")
    elif change == "label":
        (source / "dark" / "3.png").rename(source / "light" / "99.png")
    else:
        shutil.copy(source / "dark" / "3.png", source / "dark" / "99.png")
    with pytest.raises(InputError, match=r"are not those that .*run began with"):
        striate.resume(tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").read_bytes() == before


@pytest.mark.usefixtures("often")
def test_a_kill_between_two_names_leaves_the_previous_checkpoint(pictures, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(pictures, tmp_path / "run", observer=Stop(8))
    checkpoints = tmp_path / "run" / "checkpoints"
    last = read_progress(checkpoints / "last.safetensors").step
    assert read_progress(checkpoints / "previous.safetensors").step == last - 1
    (checkpoints / "last.safetensors").unlink()
    (checkpoints / ".last.safetensors.0123.part").write_bytes(b"half of it")
    striate.resume(tmp_path / "run")
    assert_same(tmp_path / "run", whole.folder)
    assert not list(checkpoints.glob(".*"))


@pytest.mark.usefixtures("often")
def test_a_run_is_resumed_from_another_folder_and_with_moved_pictures(pictures, whole, tmp_path, monkeypatch):
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    shutil.copytree(pictures, tmp_path / "here" / "patterns")
    monkeypatch.chdir(tmp_path / "here")
    for run in ("run", "moved"):
        with pytest.raises(KeyboardInterrupt):
            train("patterns", run, observer=Stop(4))
    monkeypatch.chdir(tmp_path / "elsewhere")
    striate.resume("../here/run")
    assert_same(tmp_path / "here" / "run", whole.folder)
    (tmp_path / "here" / "patterns").rename(tmp_path / "away")
    with pytest.raises(InputError, match=r"patterns: .*striate resume \.\./here/moved --source FOLDER"):
        striate.resume("../here/moved")
    striate.resume("../here/moved", source="../away")
    assert_same(tmp_path / "here" / "moved", whole.folder)


@pytest.mark.usefixtures("often")
def test_a_run_that_is_being_trained_is_left_to_who_trains_it(pictures, tmp_path):
    class Second(striate.Observer):
        def on_step(self, record):
            if record["step"] == 3:
                before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
                for second in (
                    lambda: striate.resume(tmp_path / "run"),
                    lambda: striate.verify(tmp_path / "run"),
                    lambda: train(pictures, tmp_path / "run"),
                    lambda: train(pictures, tmp_path / "run", overwrite=True),
                ):
                    with pytest.raises(InputError, match="another process is training into this run"):
                        second()
                assert before == {path: path.read_bytes() for path in before}
                refused.append(len(before))

    refused: list[int] = []
    assert train(pictures, tmp_path / "run", epochs=1, observer=Second()).finished
    assert refused


def test_what_is_no_run_or_a_broken_one_is_refused(pictures, whole, tmp_path):
    with pytest.raises(InputError, match="no run to go on with"):
        striate.resume(tmp_path)
    shutil.copytree(whole.folder, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    last = tmp_path / "run" / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:100])
    with pytest.raises(InputError, match=r"last\.safetensors: the checkpoint is broken"):
        striate.resume(tmp_path / "run")


# -- real kills ---------------------------------------------------------------------------------


def command(*arguments: object, every: float = 0.15) -> list[str]:
    return [sys.executable, "-c", COMMAND, str(every), *map(str, arguments)]


def killed_after(arguments: list[str], seconds: float, started) -> bool:
    """Run, and kill so many seconds after `started()` turns true. Whether it was still running."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while not started() and process.poll() is None:
            time.sleep(0.01)  # nothing else tells of another process's progress
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
        assert process.returncode == 0, said
        return False
    finally:
        process.kill()
        process.wait()


def kill_and_resume(pictures, folder, *, epochs: int, kills: int, seed: int, longest: float) -> None:
    """A run that is never stopped and one that is killed `kills` times come to the same end."""
    train(pictures, folder / "whole", epochs=epochs)
    run, last = folder / "killed", folder / "killed" / "checkpoints" / "last.safetensors"
    draws = random.Random(seed)
    arguments = command("train", pictures, "--out", run, "--epochs", epochs, *ARGUMENTS)
    steps, done = [], 0
    for _ in range(kills):
        size = last.stat().st_mtime_ns if last.exists() else None

        def training(size=size) -> bool:
            return last.exists() and last.stat().st_mtime_ns != size

        if not killed_after(arguments, draws.uniform(0, longest), training):
            break
        steps.append(read_progress(last).step)
        assert steps[-1] >= done, "what a checkpoint holds is never lost"
        done = steps[-1]
        arguments = command("resume", run)
    assert len(steps) == kills, f"killed at steps {steps}, then it was done"
    subprocess.run(command("resume", run), check=True, capture_output=True)
    assert_same(run, folder / "whole")
    assert json.loads((run / "metrics.json").read_text())["test"]["accuracy"]["value"] > 0.5


def test_three_kills_change_no_bit(pictures, tmp_path):
    kill_and_resume(pictures, tmp_path, epochs=60, kills=3, seed=0, longest=0.3)


@pytest.mark.long
def test_twenty_kills_change_no_bit(pictures, tmp_path):
    kill_and_resume(pictures, tmp_path, epochs=600, kills=20, seed=1, longest=0.4)


def test_a_run_planned_for_minutes_goes_further_in_whole_epochs(pictures, whole, tmp_path):
    run = striate.train(
        pictures, out=tmp_path / "run", network="lenet5", batch_size=8, threads=1, device="cpu", minutes=0.04
    )
    with (run.folder / "history.csv").open(newline="") as file:
        done = len(list(csv.DictReader(file)))
    with (whole.folder / "history.csv").open(newline="") as file:  # the same pictures in the same batches
        per_epoch = int(next(csv.DictReader(file))["step"])
    _, resolved = read_recipe(run.folder / "recipe.toml")
    assert resolved["epochs"] == done  # also where it was planned anew
    striate.resume(run, epochs=done + 2)
    with (run.folder / "history.csv").open(newline="") as file:
        assert int(list(csv.DictReader(file))[-1]["step"]) == (done + 2) * per_epoch
