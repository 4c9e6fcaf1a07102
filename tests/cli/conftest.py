"""One small finished run, made once, and copies of it; disks that are full or read-only."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import QUICK, write_pictures

from striate.cli.main import status


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pictures/` and `run/`, the finished run on them."""
    place = tmp_path_factory.mktemp("finished")
    write_pictures(place / "pictures")
    assert status(["train", str(place / "pictures"), "--out", str(place / "run"), *QUICK]) == 0
    return place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(finished: Path, place: Path) -> Path:
    """A copy of the run in the working folder, with the pictures beside it."""
    shutil.copytree(finished / "run", place / "run")
    shutil.copytree(finished / "pictures", place / "pictures")
    return place / "run"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`disk("size=1m")`: a small disk of its own, mounted for the test; remount it with `remount(path, "ro")`."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        able = os.geteuid() == 0 and shutil.which("mount") is not None
        if not able or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a small disk (root, outside of most containers)")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


@pytest.fixture
def read_only(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """`read_only(folder)`: the folder (with what it holds) where nothing can be written; where it lies then."""
    opened: list[Path] = []

    def protect(folder: Path) -> Path:
        if os.geteuid() != 0:
            for one in (folder, *folder.rglob("*")):
                if one.is_dir():
                    one.chmod(0o555)
                    opened.append(one)
            return folder
        # Permissions mean nothing to root: a disk that is mounted read-only does.
        disk = request.getfixturevalue("disk")("size=16m")
        shutil.copytree(folder, disk, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
        return Path(disk)

    yield protect
    for one in opened:
        with contextlib.suppress(OSError):
            one.chmod(0o755)
