"""The README, each of its commands and Python blocks, and the Python page of the documentation: run from top to bottom
in a folder with a few pictures.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import numpy as np
import pytest
from PIL import Image

from striate.cli import push_command
from striate.cli.flags import Parser
from striate.cli.main import COMMANDS, status

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
MAKEFILE = REPOSITORY / "Makefile"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks, in their order."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos/ (bars that stand, lie or lean: small grey pictures, quickly learned) and new.jpg."""
    monkeypatch.chdir(tmp_path)
    # Tests run side by side: a second thread would wait for the first one's core at every step.
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    bars = {"standing": np.eye(1, 8, 3).repeat(8, 0), "lying": np.eye(1, 8, 4).repeat(8, 0).T, "leaning": np.eye(8)}
    for seed, (name, bar) in enumerate(bars.items()):
        place = tmp_path / "photos" / name
        place.mkdir(parents=True)
        noise = np.random.default_rng(seed)
        for number in range(8):
            pixels = 180 * bar + noise.integers(0, 60, (8, 8))
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    Image.fromarray((200 * np.eye(8)).astype(np.uint8)).save(tmp_path / "new.jpg")
    return tmp_path


def test_every_command_and_every_python_block_of_the_readme_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []
    before = snapshot(folder / "photos")
    for language, text in blocks(README):
        if language == "python":
            exec(compile(text, str(README), "exec"), {"__name__": "__main__"})
            ran.append("python")
            continue
        for line in text.splitlines():
            words = shlex.split(line)
            if words[:2] == ["striate", "serve"]:
                serve_until_ctrl_c(words[1:])
                ran.append(words[1])
            elif words[:2] == ["striate", "push"]:
                parser = Parser(prog="striate push")  # that it pushes, to a Hub of its own, is seen in cli/test_hub.py
                push_command.add_arguments(parser)
                assert parser.parse_strictly(words[2:]).address == "hf://me/photos"
                ran.append(words[1])
            elif words[0] == "striate":
                assert status(words[1:]) == 0, (line, capsys.readouterr().err)
                ran.append(words[1])
            elif words[0] == "make":
                assert re.search(rf"^{words[1]}:", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE), line
            else:
                assert line == "pip install .", f"the README has a command that nothing here runs: {line}"
    assert set(ran) == {*COMMANDS, "python"}
    assert "leaning" in capsys.readouterr().out
    assert snapshot(folder / "photos") == before


def test_every_block_of_the_python_page_runs(folder: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    parts = [text for language, text in blocks(REPOSITORY / "docs" / "python.md") if language == "python"]
    assert len(parts) >= 8
    for text in parts:
        exec(compile(text, "docs/python.md", "exec"), names)
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["arrays", "first", "own", "second", "watched"]
    assert len(names["curve"].epochs) == 2  # type: ignore[attr-defined]


def test_every_block_of_the_scikit_learn_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    parts = [text for language, text in blocks(REPOSITORY / "docs" / "scikit-learn.md") if language == "python"]
    for text in parts:
        exec(compile(text, "docs/scikit-learn.md", "exec"), {"__name__": "__main__"})
    assert len(parts) == 2
    assert float(capsys.readouterr().out) > 0.8


def test_the_run_folder_holds_each_file_that_the_readme_names(folder: Path) -> None:
    named = re.findall(r"`([\w.]+\.\w+)`", section("What comes out"))
    assert len(named) >= 9
    assert status(["train", "photos", "--epochs", "1", "--out", "run"]) == 0
    assert [name for name in named if not (folder / "run" / name).is_file()] == []


def test_the_readme_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(re.findall(r"^\| `(\w+)", section("Commands"), re.MULTILINE)) == set(COMMANDS)


def test_the_pictures_of_the_readme_are_there_and_light() -> None:
    named = re.findall(r'(?:src|srcset)="([^"]+)"', README.read_text(encoding="utf-8"))
    assert len(named) == 2
    for name in named:
        assert (REPOSITORY / name).stat().st_size < 300_000, name


def serve_until_ctrl_c(arguments: list[str]) -> None:
    """On a port that is free, until it answers; then it is stopped as by a person."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answered = threading.Event()
    direct = build_opener(ProxyHandler({}))  # whatever proxy the machine has
    end = time.monotonic() + 120

    def stop() -> None:
        while not answered.is_set() and time.monotonic() < end:
            with suppress(OSError), direct.open(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
                assert answer.status == 200
                answered.set()
            answered.wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    assert status([*arguments, "--port", str(port)]) == 130
    thread.join(30)
    assert answered.is_set()


def section(title: str) -> str:
    """What stands below a heading of the README."""
    text = README.read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def snapshot(place: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and time."""
    files = [path for path in place.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}
