"""A run that is killed at any moment and resumed gives the bits of the run that was never stopped.

The moments: while pictures are read and kept decoded, inside the write of a checkpoint, in the final evaluation and
the report (at the n-th time that a file of that phase is opened, renamed or removed), and after so many seconds of
work, wherever that is.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from striate.models.run import Run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# A process that has imported everything, and forks for each command: its child is watched, and killed when it is time.
FORKS = """
import json, os, resource, signal, sys, traceback
import torch
import striate.actions.resume, striate.actions.train, striate.actions.work, striate.cli.result, striate.reports.pages
from striate.actions import fine_tuning, measured_steps
from striate.cli.main import status
from striate.data import kept
from striate.training import loop

loop.CHECKPOINT_SECONDS = 0.0
measured_steps.LEAST_RUN = float("inf")  # nothing is measured: on a busy machine it can come out either way
fine_tuning.FEWEST_TO_TUNE, fine_tuning.FEWEST_HELD_BACK = 20, 2
kept.KEEP_FROM = 0.0
seen = {}

def watch(places, kill):
    def hook(event, arguments):
        if event not in ("open", "os.rename", "os.remove") or not isinstance(arguments[0], (str, os.PathLike)):
            return
        name = os.fspath(arguments[0])
        phase = next((phase for phase, folder in places if name.startswith(folder)), None)
        seen[phase] = seen.get(phase, 0) + 1
        if kill == [phase, seen[phase]]:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

for line in sys.stdin:
    arguments, places, kill, note = json.loads(line)
    child = os.fork()
    if child == 0:
        output = os.open(note + ".said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        watch(places, kill)
        if kill and kill[0] == "moment":
            signal.setitimer(signal.ITIMER_PROF, kill[1])
        code = 1
        try:
            code = status(arguments)
            used = resource.getrusage(resource.RUSAGE_SELF)
            with open(note, "w") as file:
                json.dump({**{str(name): count for name, count in seen.items()},
                           "moment": used.ru_utime + used.ru_stime}, file)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, ended = os.waitpid(child, 0)
    print(ended, flush=True)
"""


class Commands:
    """Runs `striate` commands, and kills them: the status of each as `os.waitpid` gives it."""

    def __init__(self, place: Path) -> None:
        self.note = place / "note"
        self.cache = place / "cache"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "STRIATE_CACHE": str(self.cache)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, arguments: list[str], places: list[tuple[str, str]], kill: list[Any] | None = None) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([arguments, places, kill, str(self.note)]), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def said(self) -> str:
        return Path(f"{self.note}.said").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> Iterator[Commands]:
    made = Commands(tmp_path_factory.mktemp("commands"))
    with made.process:  # which closes its input, and waits
        yield made
    assert made.process.returncode == 0


def results(run: Path) -> tuple[object, ...]:
    """All that must be equal bit for bit; times are left out."""
    with (run / "history.csv").open(newline="") as file:
        history = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["seconds"], metrics["page"]["created"]
    same = [(run / name).read_bytes() for name in ("model.safetensors", "predictions.csv", "config.json")]
    return (history, metrics, *same)


def phases(run: Path, pictures: Path, cache: Path) -> list[tuple[str, str]]:
    """Where the files of each phase begin; the first that fits counts."""
    named = ["model", "config", "metrics", "predictions", "README", "report", "history"]
    return [
        ("checkpoint", str(run / "checkpoints")),
        *[("results", str(run / begin)) for one in named for begin in (one, f".{one}")],
        ("reading", str(pictures)),
        ("store", str(cache)),
    ]


def kill_and_resume(
    commands: Commands, pictures: Path, place: Path, more: list[str], kills: list[str], seed: int, least: int = 1
):
    """`kills` names the phase of each kill; when in the phase is drawn."""
    train = ["train", str(pictures), "--device", "cpu", "--seed", "3", *more, "--out"]
    whole, run = place / "whole", place / "killed"
    assert commands.run([*train, str(whole)], phases(whole, pictures, commands.cache)) == 0, commands.said()
    counts = json.loads(commands.note.read_text())
    draws = random.Random(seed)
    shutil.rmtree(commands.cache)  # what the first run has decoded
    killed = 0
    for phase in kills:
        if Run(run).finished:  # the last kill came after the last file
            break
        # The report reads pictures too; and of checkpoints fewer are written by a run that has less to do.
        share = 1 / len(kills) if phase in ("checkpoint", "moment") else 1
        when = draws.uniform(0.1, share * counts[phase]) if phase == "moment" else None
        most = 60 if phase == "reading" else max(1, int(share * counts[phase]))
        kill = [phase, when if when is not None else draws.randint(1, most)]
        arguments = ["resume", str(run)] if (run / "recipe.toml").exists() else [*train, str(run)]
        ended = commands.run(arguments, phases(run, pictures, commands.cache), kill)
        if not os.WIFSIGNALED(ended):  # what was left to do ended before that moment
            assert ended == 0, (kill, commands.said())
            break
        assert os.WTERMSIG(ended) in (signal.SIGKILL, signal.SIGPROF)
        killed += 1
    assert killed >= least
    if not Run(run).finished:
        assert commands.run(["resume", str(run)], phases(run, pictures, commands.cache)) == 0, commands.said()
    assert results(run) == results(whole)
    assert not [path for path in run.rglob(".*") if path.is_file()], "what was half written is gone"


MUCH = ["--network", "small-conv", "--width", "16", "--threads", "1", "--epochs", "4", "--batch-size", "8"]
CASES = {
    "sgd, one-cycle, averaging, mixup, cutmix": [
        *MUCH,
        *("--averaging", "0.9", "--augment.mixup", "0.4", "--augment.cutmix", "1", "--augment.rotation", "10"),
    ],
    "sgd, cosine, clip, weighted classes": [
        *MUCH,
        *("--schedule", "cosine", "--averaging", "0", "--clip", "1", "--class-weights", "balanced"),
        *("--augment.erasing", "0.5"),
    ],
    "adamw, constant, early stopping": [
        *("--network", "lenet5", "--threads", "1", "--epochs", "40", "--batch-size", "8", "--patience", "2"),
        *("--optimizer", "adamw", "--schedule", "constant", "--learning-rate", "0.01"),
    ],
    "a network of torchvision with batch norm, threads as the machine has them": [
        *("--network", "mobilenet_v3_small", "--epochs", "2", "--batch-size", "8", "--size", "32"),
    ],
    "the pretrained network, fine-tuned": ["--network", "efficientnet-lite0", "--size", "32", "--threads", "1"],
}


def test_three_kills_change_no_bit(commands, pictures, tmp_path):
    case = CASES["sgd, one-cycle, averaging, mixup, cutmix"]
    kill_and_resume(commands, pictures, tmp_path, case, ["store", "checkpoint", "results"], seed=0, least=3)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_many_kills_change_no_bit(commands, pictures, tmp_path, case, seed):
    kills = ["reading", "checkpoint", "moment", "reading", "checkpoint", "moment", "results", "results"]
    if "fine-tuned" not in case:  # which keeps nothing decoded
        kills.insert(1, "store")
    kill_and_resume(commands, pictures, tmp_path, CASES[case], kills, seed)
