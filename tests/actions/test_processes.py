"""`--processes N` and torchrun: one training of several processes, and how it ends when one of them does."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import striate
from striate.errors import InputError

# No dropout and no batch norm, which are drawn and counted by each process for itself.
SETTINGS = {
    "network": "lenet5",
    "batch_size": 8,
    "device": "cpu",
    "threads": 1,
    "precision": "float32",
    "layout": "channels-last",
    "seed": 3,
    "epochs": 3,
}
FLAGS = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
SOURCE = str(Path(striate.__file__).resolve().parents[1])


def environment(**more: str) -> dict[str, str]:
    apart = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NO_COLOR", "FORCE_COLOR", "TERM")
    plain = {name: value for name, value in os.environ.items() if name not in apart}
    return {**plain, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1", **more}


def history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open(newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def assert_equal_bits(run: Path, other: Path) -> None:
    assert history(run) == history(other)
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (run / "predictions.csv").read_bytes() == (other / "predictions.csv").read_bytes()


class Watch(striate.Observer):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps = 0

    def say(self, text):
        self.lines.append(text)

    def on_step(self, record):
        self.steps += 1


@pytest.fixture(scope="module")
def alone(pictures, tmp_path_factory) -> Path:
    return striate.train(pictures, out=tmp_path_factory.mktemp("alone") / "run", **SETTINGS).folder


@pytest.fixture(scope="module")
def two(pictures, tmp_path_factory) -> Path:
    watch = Watch()
    run = striate.train(pictures, out=tmp_path_factory.mktemp("two") / "run", processes=2, observer=watch, **SETTINGS)
    assert watch.steps == len(history(run.folder)) * 5
    assert any(line.startswith("2 processes share the work") for line in watch.lines)
    return run.folder


def test_two_processes_do_what_one_does(alone, two):
    assert len(history(two)) == 3
    for one, other in zip(history(two), history(alone), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-4)
        assert one["validation_accuracy"] == other["validation_accuracy"]
    metrics = [json.loads((run / "metrics.json").read_text()) for run in (alone, two)]
    assert metrics[0]["counts"] == metrics[1]["counts"]
    assert metrics[0]["test"]["n"] == metrics[1]["test"]["n"] == metrics[0]["counts"]["by_split"]["test"]
    assert len((two / "predictions.csv").read_text().splitlines()) == 1 + metrics[0]["counts"]["by_split"]["test"]
    log = (two / "log.txt").read_text()
    assert log.count("epoch   1") == 1
    assert "processes = 2" in (two / "recipe.toml").read_text()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_two_processes_learn_labels_and_numbers_as_one_does(kind, tmp_path):
    generator = np.random.default_rng(2)
    bright = generator.random((60, 2))
    pictures = generator.random((60, 12, 12)) * 60
    for k in range(2):
        pictures[:, 6 * k : 6 * k + 5] += 190 * bright[:, k, None, None]
    told = (bright > 0.5).astype(int) if kind == "multilabel" else bright * [1, 400] + [2, 0]
    source = (pictures.astype(np.uint8), told)
    one = striate.train(source, out=tmp_path / "one", **SETTINGS)
    two = striate.train(source, out=tmp_path / "two", processes=2, **SETTINGS)
    assert one.config["task"]["name"] == kind
    assert "processes = 2" in (two.folder / "recipe.toml").read_text()
    ours, theirs = history(two.folder), history(one.folder)
    names = ["loss", *(name for name in ours[0] if name.startswith("validation_"))]
    assert len(names) == 3
    for row, other in zip(ours, theirs, strict=True):
        assert [row[name] for name in names] == pytest.approx([other[name] for name in names], abs=1e-4)
    metrics = [run.metrics["test"] for run in (one, two)]
    for name in ("log_loss", "mean_average_precision") if kind == "multilabel" else ("r2",):
        assert metrics[1][name]["value"] == pytest.approx(metrics[0][name]["value"], abs=1e-4)


def test_mistakes_are_one_sentence(pictures, tmp_path):
    with pytest.raises(InputError, match=r"2 processes cannot share batches of 1 .* at least 2"):
        striate.train(pictures, out=tmp_path / "run", processes=2, **{**SETTINGS, "batch_size": 1})
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="cannot be handed to other processes"):
        striate.train(pictures, out=tmp_path / "run", processes=2, network=torch.nn.Flatten())
    with pytest.raises(InputError, match=r"processes must be a whole number.*got .many."):
        striate.train(pictures, out=tmp_path / "run", processes="many")


# -- started by hand, as a cluster does -------------------------------------------------------------


def ranks(count: int, arguments: list[list[str]], cwd: Path) -> list[subprocess.CompletedProcess[str]]:
    """The command in `count` processes that find each other by the environment."""
    from striate.actions.launch import _free_port

    port = str(_free_port())
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "striate", *arguments[rank]],
            env=environment(
                RANK=str(rank),
                WORLD_SIZE=str(count),
                LOCAL_RANK=str(rank),
                LOCAL_WORLD_SIZE=str(count),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=port,
                GLOO_SOCKET_IFNAME="lo",
            ),
            cwd=cwd,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(count)
    ]
    said = [process.communicate(timeout=120) for process in started]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *text)
        for process, text in zip(started, said, strict=True)
    ]


@pytest.mark.long
def test_ranks_with_different_settings_are_refused(pictures, tmp_path):
    command = ["train", str(pictures), "--out", "run", *FLAGS]
    first, second = ranks(2, [command, [*command, "--learning-rate", "0.5"]], tmp_path)
    assert (first.returncode, second.returncode) == (2, 2)
    assert first.stderr.splitlines()[-1] == (
        "striate: process 1 was started with --learning-rate 0.5, process 0 left open; "
        "start all of them by the same command, with the same versions"
    )
    assert second.stderr == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_more_ranks_than_pictures(make_pictures, tmp_path):
    source = make_pictures(tmp_path / "few", count=1)
    for name in ("dark", "light", "striped"):
        (source / "train" / name).mkdir(parents=True)
        (source / name / "0.png").rename(source / "train" / name / "0.png")
        for split in ("validation", "test"):
            (source / split / name).mkdir(parents=True)
            (source / split / name / "1.png").write_bytes((source / "train" / name / "0.png").read_bytes())
        (source / name).rmdir()
    said = ranks(4, [["train", "few", "--out", "run", *FLAGS]] * 4, tmp_path)
    assert [one.returncode for one in said] == [2] * 4
    assert "4 processes cannot share 3 training pictures; start 3 at most" in said[0].stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


# -- how it ends --------------------------------------------------------------------------------------


COMMAND = (
    "import sys; from striate.training import loop; loop.CHECKPOINT_SECONDS = 0.0;"
    "from striate.cli.main import main; main(sys.argv[1:])"
)


def children(parent: int) -> list[int]:
    """The processes that `parent` started, in the order of their ranks."""
    return [int(text) for text in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def started(source: Path, place: Path, *more: str) -> subprocess.Popen[str]:
    """A training of two processes that would take hours, when its first checkpoint is there."""
    arguments = ["train", str(source), "--out", "run", *FLAGS, "--epochs", "50000", "--processes", "2", *more]
    process = subprocess.Popen(
        [sys.executable, "-m", "striate", *arguments],
        env=environment(),
        cwd=place,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 120
    while not (place / "run/checkpoints/last.safetensors").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the children in /proc")
def test_a_process_that_is_killed_ends_all_and_the_run_goes_on(pictures, tmp_path):
    process = started(pictures, tmp_path)
    first, second = children(process.pid)
    os.kill(second, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("striate: process 1 of 2 was ended by SIGKILL"), err
    assert last.endswith("striate resume run")
    assert not Path(f"/proc/{first}").exists()
    recipe = tmp_path / "run/recipe.toml"
    text = re.sub(r"(?m)^epochs = 50000$", "epochs = 1", recipe.read_text())
    recipe.write_text(re.sub(r"(?m)^steps = \d+$", "steps = 1", text))
    done = subprocess.run(
        [sys.executable, "-m", "striate", "resume", "run"],
        env=environment(),
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "going on after step" in done.stderr
    assert "2 processes share the work" in done.stderr


@pytest.mark.long
def test_ctrl_c_ends_all(pictures, tmp_path):
    process = started(pictures, tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "striate: stopped; go on where its last checkpoint stands: striate resume run"


@pytest.mark.long
def test_torchrun_does_the_same(pictures, two, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "striate", "train", str(pictures), "--out", "run", *FLAGS),
        ],
        env=environment(GLOO_SOCKET_IFNAME="lo"),
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    assert_equal_bits(tmp_path / "run", two)


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the children in /proc")
def test_torchrun_starts_a_killed_process_anew_and_no_bit_is_lost(pictures, tmp_path):
    def torchrun(place: Path) -> subprocess.Popen[str]:
        place.mkdir()
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
                *("--max-restarts", "1", "-m", "striate", "train", str(pictures), "--out", "run", *FLAGS),
                *("--epochs", "600"),
            ],
            env=environment(GLOO_SOCKET_IFNAME="lo"),
            cwd=place,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    killed = torchrun(tmp_path / "killed")
    until = time.monotonic() + 120
    while not (tmp_path / "killed/run/checkpoints/last.safetensors").exists():
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(children(killed.pid)[1], signal.SIGKILL)
    _, said = killed.communicate(timeout=300)
    assert killed.returncode == 0, said
    assert "going on after step" in said
    never = torchrun(tmp_path / "never")
    _, said = never.communicate(timeout=300)
    assert never.returncode == 0, said
    assert_equal_bits(tmp_path / "killed/run", tmp_path / "never/run")
