"""Training on streamed shards from end to end: it learns, goes on after a kill bit for bit, and names what is lost."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time

import fsspec
import pytest
import torch
from safetensors.torch import load_file

import striate
from shards import shards, write_shards
from striate.actions.streamed import must_stream
from striate.data.splits import assign_splits
from striate.errors import InputError
from striate.training.recipe_file import read_recipe

SETTINGS = {
    "network": "lenet5",
    "batch_size": 8,
    "device": "cpu",
    "threads": 1,
    # Of runs that a busy machine makes long the number format is measured, which can come out either way.
    "precision": "float32",
    "layout": "channels-last",
    "seed": 3,
    "learning_rate": 0.05,
}


def results(folder):
    with (folder / "history.csv").open(newline="") as file:
        history = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    return load_file(folder / "model.safetensors"), history, (folder / "predictions.csv").read_bytes()


def assert_same(one, other) -> None:
    weights, history, predictions = results(one)
    other_weights, other_history, other_predictions = results(other)
    assert history == other_history
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)
    assert predictions == other_predictions


class Stop(striate.Observer):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, record):
        if record["step"] == self.step:
            raise KeyboardInterrupt


class Listening(striate.Observer):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, text):
        self.said.append(text)

    def warn(self, text):
        self.warned.append(text)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("streamed") / "shards", count=9)


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    return striate.train(source, out=tmp_path_factory.mktemp("whole") / "run", stream=True, epochs=6, **SETTINGS)


def test_a_streamed_run_learns_and_says_so(whole):
    assert whole.metrics["test"]["accuracy"]["value"] > 0.9
    log = (whole.folder / "log.txt").read_text()
    assert "the training pictures are streamed (as asked)" in log
    assert "was decided by the first 126 pictures" in log
    _, resolved = read_recipe(whole.folder / "recipe.toml")
    assert resolved["buffer"] == 126
    assert whole.metrics["counts"] == {"found": 180, "used": 180, "left_out": 0} | {
        "by_split": whole.metrics["counts"]["by_split"]
    }


def test_what_is_decided_is_what_is_decided_for_decoded_pictures(source, whole, tmp_path):
    # All of these pictures are among the first, so that all decisions are the same, too.
    decoded = striate.train(source, out=tmp_path / "run", epochs=1, **SETTINGS)
    _, resolved = read_recipe(decoded.folder / "recipe.toml")
    _, of_stream = read_recipe(whole.folder / "recipe.toml")
    assert "buffer" not in resolved
    for name in ("network", "channels", "height", "width", "augment", "batch_size", "learning_rate", "seed"):
        assert resolved[name] == of_stream[name]
    input_of = [json.loads((run.folder / "config.json").read_text())["input"] for run in (decoded, whole)]
    assert input_of[0] == input_of[1]


def test_a_stopped_run_goes_on_bit_for_bit(source, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("striate.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        striate.train(source, out=tmp_path / "run", stream=True, epochs=6, observer=Stop(37), **SETTINGS)
    striate.resume(tmp_path / "run")
    assert_same(tmp_path / "run", whole.folder)


COMMAND = (
    "import sys; from striate.training import loop; loop.CHECKPOINT_SECONDS = 0.0;"
    "from striate.cli.main import main; main(sys.argv[1:])"
)


def test_a_killed_run_goes_on_bit_for_bit(source, whole, tmp_path):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    command = ["train", str(source), "--out", str(tmp_path / "run"), "--stream", "--epochs=6", *flags]
    process = subprocess.Popen([sys.executable, "-c", COMMAND, *command], stderr=subprocess.DEVNULL)
    last = tmp_path / "run" / "checkpoints" / "last.safetensors"
    end = time.monotonic() + 120
    while not last.exists() and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)  # leaves the core to the run
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    striate.resume(tmp_path / "run")
    assert_same(tmp_path / "run", whole.folder)


def test_a_run_from_an_address_is_that_from_a_folder(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    memory = fsspec.filesystem("memory")
    for name, data in shards(count=9).items():
        memory.pipe(f"/remote/{name}", data)
    try:
        run = striate.train("memory://remote/part-{000..008}.tar", epochs=6, **SETTINGS)
        assert "streamed (they are behind an address)" in (run.folder / "log.txt").read_text()
        assert_same(run.folder, whole.folder)
        evaluated = striate.evaluate(run, "memory://remote")
        assert evaluated.pictures == 180
        assert striate.inspect("memory://remote", out=tmp_path / "page.html").used == 180
    finally:
        memory.rm("/remote", recursive=True)


def test_compressed_shards_are_streamed_too(tmp_path):
    source = write_shards(tmp_path / "shards", count=9, compressed=True)
    listening = Listening()
    run = striate.train(source, out=tmp_path / "run", stream=True, epochs=6, observer=listening, **SETTINGS)
    assert run.metrics["test"]["accuracy"]["value"] > 0.9


def test_held_back_pictures_that_memory_cannot_hold_are_decoded_for_every_use(source, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("striate.actions.streamed.HELD_SHARE", 0.0)
    run = striate.train(source, out=tmp_path / "run", stream=True, epochs=6, **SETTINGS)
    assert "test pictures are decoded anew for every use" in (run.folder / "log.txt").read_text()
    assert_same(run.folder, whole.folder)
    again = striate.train(source, out=tmp_path / "decoded", epochs=1, **SETTINGS)
    assert "validation pictures are decoded anew" in (again.folder / "log.txt").read_text()


def lose(source) -> None:
    """Break three pictures of a shard: their bytes are zeros."""
    samples = striate.open_dataset(source)
    path = source / "part-004.tar"
    data = bytearray(path.read_bytes())
    for number in (3, 4, 11):
        offset, size = samples.pictures.places[80 + number, 1:].tolist()
        data[offset : offset + size] = bytes(size)
    path.write_bytes(data)


def test_broken_pictures_are_named_counted_and_left_out(tmp_path, monkeypatch):
    # Only a few are looked at beforehand, so that the broken ones are found while training.
    monkeypatch.setattr("striate.data.streaming.FIRST", 5)
    source = write_shards(tmp_path / "shards", count=9)
    lose(source)
    listening = Listening()
    run = striate.train(source, out=tmp_path / "run", stream=True, epochs=4, observer=listening, **SETTINGS)
    names = {f"part-004.tar/004-{number:04}.png" for number in (3, 4, 11)}
    assert {one["path"] for one in run.metrics["left_out"]} == names
    counts = run.metrics["counts"]
    assert (counts["found"], counts["used"], counts["left_out"]) == (180, 177, 3)
    assert sum(counts["by_split"].values()) == 177
    for name in names:
        assert sum(name in line for line in listening.warned) == 1
    with pytest.raises(InputError, match="leave --strict away"):
        striate.train(source, out=tmp_path / "strict", stream=True, strict=True, epochs=1, **SETTINGS)
    # What was found before a run was stopped is not forgotten.
    monkeypatch.setattr("striate.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        striate.train(source, out=tmp_path / "stopped", stream=True, epochs=4, observer=Stop(59), **SETTINGS)
    resumed = striate.resume(tmp_path / "stopped")
    assert_same(resumed.folder, run.folder)
    assert resumed.metrics["left_out"] == run.metrics["left_out"]


def test_a_set_too_large_for_memory_and_disk_is_streamed_unasked(source, tmp_path):
    samples, _ = assign_splits(striate.open_dataset(source), seed=0)
    assert must_stream(samples, 1.0) == (False, "decoded, they fit into memory")
    stream, why = must_stream(samples, 1e18)
    assert stream
    assert "GiB of memory for them and" in why
    listening = Listening()
    striate.train(source, out=tmp_path / "no", epochs=1, observer=listening, **SETTINGS)
    assert not any("streamed" in line for line in listening.said)


def test_two_processes_share_streamed_shards(tmp_path):
    source = write_shards(tmp_path / "shards", count=9)
    lose(source)
    run = striate.train(source, out=tmp_path / "run", stream=True, epochs=2, processes=2, **SETTINGS)
    names = {f"part-004.tar/004-{number:04}.png" for number in (3, 4, 11)}
    assert {one["path"] for one in run.metrics["left_out"]} == names
    assert sum(run.metrics["counts"]["by_split"].values()) == 177
    again = striate.train(source, out=tmp_path / "again", stream=True, epochs=2, processes=2, **SETTINGS)
    assert_same(run.folder, again.folder)
