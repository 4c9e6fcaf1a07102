"""Places that cannot be written: a full disk at several moments of a training, and places that are read-only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from command import QUICK, environment, here, process, snapshot, write_pictures

import striate
from striate.training.checkpoint import read_progress

Disk = Callable[[str], Path]
ReadOnly = Callable[[Path], Path]

PAGE = 4096


def fill(disk: Path, pages_left: int) -> Path:
    """A file on the disk that leaves so many pages free."""
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    with ballast.open("wb") as file:
        for _ in range(free.f_bavail * free.f_frsize // PAGE - pages_left):
            file.write(bytes(PAGE))
    return ballast


# A run on these pictures takes some twenty pages: from none at all to all but the last file.
@pytest.mark.parametrize("pages", [0, 1, 2, 4, 6, 8, 10, 12, 14, 17])
def test_full_disk(pages: int, disk: Disk, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = disk("size=1m")
    write_pictures(place / "pictures")
    (full / "thesis.tex").write_text("years of work")
    ballast = fill(full, pages)
    source, others = snapshot(place / "pictures"), snapshot(full, times=False)
    sentence = here(capsys, "train", "pictures", "--out", full / "run", *QUICK).sentence
    assert "the disk is full; make room and try again" in sentence
    assert str(full / "run") in sentence
    assert snapshot(place / "pictures") == source
    after = snapshot(full, times=False)
    assert {name: after[name] for name in others} == others
    # No half of a file: what is there under its own name is whole, and what was begun goes on when there is room.
    left = list((full / "run").rglob("*.part")) if (full / "run").exists() else []
    assert not left
    ballast.unlink()
    if (full / "run").exists():
        assert here(capsys, "resume", full / "run").code == 0
    else:
        assert here(capsys, "train", "pictures", "--out", full / "run", *QUICK).code == 0
    assert here(capsys, "predict", full / "run", "pictures").code == 0


def test_a_save_that_fails_keeps_the_checkpoints_that_are_there(
    disk: Disk, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.training.loop.CHECKPOINT_SECONDS", 0.0)
    full = disk("size=4m")
    write_pictures(place / "pictures", count=20)
    computed = {"threads": 1, "precision": "float32", "layout": "channels-last"}
    settings = {"network": "linear", "epochs": 4, "batch_size": 8, **computed}
    whole = striate.train(place / "pictures", out=place / "whole", **settings)

    class Fuller(striate.Observer):
        def on_step(self, record: Mapping[str, float]) -> None:
            if record["step"] == 5:
                fill(full, 0)

    with pytest.raises(striate.InputError, match="the disk is full; make room and try again"):
        striate.train(place / "pictures", out=full / "run", observer=Fuller(), **settings)
    checkpoints = full / "run/checkpoints"
    assert [read_progress(checkpoints / f"{name}.safetensors").step for name in ("previous", "last")] == [3, 4]
    assert not list(full.rglob("*.part"))
    (full / "ballast").unlink()
    striate.resume(full / "run")
    weights = [(run / "model.safetensors").read_bytes() for run in (whole.folder, full / "run")]
    assert weights[0] == weights[1]


def test_full_disk_while_a_run_is_given_up(disk: Disk, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = disk("size=1m")
    write_pictures(place / "pictures")
    assert here(capsys, "train", "pictures", "--out", full / "run", *QUICK).code == 0
    before = snapshot(full / "run", times=False)
    ballast = fill(full, 1)
    assert "full" in here(capsys, "train", "pictures", "--out", full / "run", "--overwrite", *QUICK).sentence
    ballast.unlink()
    assert snapshot(full / "run", times=False) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("asked", ["--help", "networks", "predict run pictures", "runs ."])
def test_output_that_is_full(asked: str, run: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "striate", *asked.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[-1].endswith("the disk is full; make room and try again")
    assert b"Traceback" not in done.stderr


def test_an_explanation_that_found_no_room_can_be_asked_for_again(
    disk: Disk, finished: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = disk("size=1m")
    write_pictures(place / "pictures")
    picture = next((place / "pictures").rglob("*.png"))
    asked = ("explain", finished / "run", picture, "--method", "gradient", "--out", full / "why")
    ballast = fill(full, 4)
    assert "the disk is full; make room and try again" in here(capsys, *asked).sentence
    assert [path.name for path in full.iterdir()] == ["ballast"]
    ballast.unlink()
    assert here(capsys, *asked).code == 0


def test_read_only_places(read_only: ReadOnly, finished: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = read_only(finished)
    before = snapshot(there)
    for out in (there / "new", there / "deep/new"):
        sentence = here(capsys, "train", finished / "pictures", "--out", out, *QUICK).sentence
        assert "--out" in sentence
        assert "read-only" in sentence or "no permission" in sentence
    sentence = here(capsys, "train", finished / "pictures", "--out", there / "run", "--overwrite", *QUICK).sentence
    assert "read-only" in sentence or "no permission" in sentence
    sentence = here(capsys, "resume", there / "run", "--epochs", "2").sentence
    assert "read-only" in sentence or "no permission" in sentence
    assert snapshot(there) == before


def test_everything_is_read_from_read_only_places(
    read_only: ReadOnly, finished: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = read_only(finished)
    assert here(capsys, "predict", there / "run", there / "pictures").code == 0
    assert here(capsys, "evaluate", there / "run", there / "pictures").code == 0
    assert here(capsys, "runs", there).code == 0
    assert here(capsys, "train", there / "pictures", "--out", place / "run", *QUICK).code == 0


# Refuses every socket, and notes every file that is opened for writing.
WATCH = """
import os, socket, sys

class Refused(socket.socket):
    def __init__(self, *arguments, **named):
        raise RuntimeError("a socket was asked for")

socket.socket = Refused
note = os.open(os.environ["NOTE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if not isinstance(path, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            os.write(note, os.fsencode(path) + b"\\n")
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "shutil.copyfile"):
        os.write(note, os.fsencode(str(arguments[1 if event == "os.rename" else 0])) + b"\\n")
    elif event.startswith("socket.") and event not in ("socket.gethostname",):
        os.write(note, b"SOCKET " + event.encode() + b"\\n")

sys.addaudithook(watch)
"""


def test_no_socket_and_no_write_but_into_the_run_and_the_cache(
    read_only: ReadOnly, finished: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = read_only(finished)
    hook, home, cache, note = place / "hook", place / "home", place / "cache", place / "note"
    for folder in (hook, home, cache):
        folder.mkdir()
    (hook / "sitecustomize.py").write_text(WATCH)
    home.chmod(0o555)
    more = {
        "PYTHONPATH": f"{hook}{os.pathsep}{Path(__file__).resolve().parents[2] / 'src'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "STRIATE_CACHE": str(cache),
        "NOTE": str(note),
    }
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TORCH_HOME", "HF_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    pictures = there / "pictures"
    (place / "work").mkdir()
    asked = [
        ["train", pictures, "--out", place / "run", *QUICK],
        ["train", pictures, "--out", place / "pretrained", "--threads", "1", "--size", "32"],
        ["predict", place / "run", pictures],
        ["evaluate", place / "run", pictures, "--json"],
        ["describe", place / "run"],
        ["runs", place],
    ]
    program = f"""
from striate.cli.main import status
for arguments in {[list(map(str, one)) for one in asked]!r}:
    assert status(arguments) == 0, arguments
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(**more), cwd=place / "work", capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    written = [place / "work" / line for line in note.read_text().splitlines() if not line.startswith("/dev/")]
    allowed = [place / name for name in ("run", "pretrained", "cache")]
    assert written
    assert not [path for path in written if not any(path.is_relative_to(folder) for folder in allowed)]
    assert not list((place / "work").iterdir())
    assert not list(home.iterdir())
    assert json.loads((place / "run/metrics.json").read_text())["counts"]["used"] == 12


def test_no_home_at_all(finished: Path, place: Path) -> None:
    asked = ("train", finished / "pictures", "--out", place / "run", *QUICK)
    said = process(*asked, more={"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}, cwd=place)
    assert said.code == 0, said.err
    assert "warning" not in said.err.casefold()


@pytest.mark.parametrize(
    "command",
    ["look run", "look run --list", "dream run", "explain run pictures/a/0.png", "inspect pictures", "export run"],
)
def test_a_place_that_is_read_only_is_named_before_the_work(
    command: str,
    read_only: ReadOnly,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path_factory.mktemp("cache")))
    there = read_only(finished)
    before = snapshot(there)
    with monkeypatch.context() as inside:  # whoever stays there holds the disk
        inside.chdir(there)
        said = here(capsys, *command.split())
    if command.endswith("--list"):
        assert said.code == 0
    else:
        assert "read-only, or no permission" in said.sentence
        assert "maps:" not in said.err
        assert "looking" not in said.err
        assert "graph" not in said.err
    assert snapshot(there) == before
