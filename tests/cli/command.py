"""What the tests of the command line share: pictures, the command in this process, and what a place holds."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.cli.main import status
from striate.machine.folders import REDIRECTED

# Nothing of how a step is computed is left to a measurement, which can come out either way.
COMPUTED = ("--threads", "1", "--precision", "float32", "--layout", "channels-last")
QUICK = ("--network", "linear", "--epochs", "1", *COMPUTED)


def write_pictures(folder: Path, classes: Sequence[str] = ("a", "b"), count: int = 6, size: int = 8) -> Path:
    """`count` PNG files a class in class folders, `size` pixels wide and high, each different, brighter by class."""
    for number, name in enumerate(classes):
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        draws = np.random.default_rng([number, size])
        for index in range(count):
            pixels = draws.integers(0, 100, (size, size, 3)) + 100 * (number % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{index}.png")
    return folder


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()

    @property
    def sentence(self) -> str:
        """The one sentence of a mistake; fails where it is not exactly one, last, and alone on stdout's side."""
        assert self.code == 2, self
        assert self.out == "", self.out
        assert "Traceback" not in self.err
        assert self.lines[-1].startswith("striate: "), self.err
        assert sum(line.startswith("striate: ") for line in self.lines) == 1, self.err
        return self.lines[-1].removeprefix("striate: ")


def here(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Said:
    """A command in this process."""
    capsys.readouterr()
    code = status([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return Said(code, out, err)


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: one thread, and this source tree."""
    apart = ("NO_COLOR", "FORCE_COLOR", "TERM", "STRIATE_CACHE", *REDIRECTED)
    plain = {name: value for name, value in os.environ.items() if name not in apart}
    source = str(Path(__file__).resolve().parents[2] / "src")
    return {**plain, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", **more}


def process(*arguments: str | Path, more: Mapping[str, str] | None = None, **options: object) -> Said:
    """A command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "striate", *map(os.fspath, arguments)],
        capture_output=True,
        env=environment(**(more or {})),
        check=False,
        **options,  # type: ignore[call-overload]
    )
    return Said(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))


def snapshot(place: Path, times: bool = True) -> dict[str, object]:
    """Everything in a folder: names, bytes, links, and when each was changed (folders, too, with `times`)."""
    found: dict[str, object] = {}
    for path in sorted(Path(place).rglob("*")):
        told = path.lstat()
        if path.is_symlink():
            what: object = path.readlink()
        elif path.is_file():
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            what = "folder" if path.is_dir() else "other"
        found[repr(path)] = (what, told.st_mode, told.st_mtime_ns if times or not path.is_dir() else None)
    return found
