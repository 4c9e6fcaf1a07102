"""The command as a process: exit status, signals, pipes, encodings, terminals, and a defect of ours."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import QUICK, environment, process, write_pictures

STRIATE = [sys.executable, "-m", "striate"]


def test_statuses_of_real_processes(run: Path) -> None:
    done = process("predict", "run", "pictures/a")
    assert done.code == 0
    assert len(done.out.splitlines()) == 7
    assert done.err == ""
    done = process("predict", "run", "gone.png")
    assert done.sentence.startswith("gone.png: no such file")
    assert process("predict", "run", "--tpo", "3").sentence == "no option '--tpo'; did you mean '--top'?"


DEFECT = """
import striate.actions.predict as action
def broken(*arguments, **named):
    raise ZeroDivisionError("planted")
action.find_pictures = broken
from striate.cli.main import main
main(["predict", "run", "pictures"])
"""


def test_a_defect_of_ours_is_a_traceback_and_status_1(run: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DEFECT], env=environment(), capture_output=True, check=False)
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert done.stderr.strip().endswith(b"ZeroDivisionError: planted")
    assert done.stdout == b""


def started_training(place: Path, *more: str) -> subprocess.Popen[bytes]:
    """A training that would take hours, when its first checkpoint is there."""
    write_pictures(place / "pictures", count=40, size=16)
    # Many steps an epoch: a line for each of thousands of epochs would fill the pipe, which nobody reads meanwhile.
    command = [*STRIATE, "train", "pictures", "--out", "run", "--network", "linear", "--batch-size", "1"]
    child = subprocess.Popen(
        [*command, "--epochs", "50000", *more],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 90
    while not (place / "run/checkpoints/last.safetensors").exists():
        assert child.poll() is None, child.stderr.read() if child.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.05)
    return child


def test_ctrl_c_ends_with_a_sentence_and_resume_goes_on(place: Path) -> None:
    child = started_training(place)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert out == b""
    lines = err.decode().splitlines()
    assert lines[-1] == "striate: stopped; go on where its last checkpoint stands: striate resume run"
    assert b"Traceback" not in err
    recipe = place / "run/recipe.toml"
    # So that it comes to its end soon.
    text = re.sub(r"(?m)^epochs = 50000$", "epochs = 1", recipe.read_text())
    recipe.write_text(re.sub(r"(?m)^steps = \d+$", "steps = 1", text))
    done = process("resume", "run", "--json")
    assert done.code == 0, done.err
    assert re.search(r"going on after step [1-9]", done.err)
    assert json.loads(done.out)["test"]["n"] > 0


def test_ctrl_c_before_the_first_checkpoint_says_so(place: Path) -> None:
    write_pictures(place / "pictures", count=40, size=16)
    child = subprocess.Popen(
        [*STRIATE, "train", "pictures", "--out", "my run", "--network", "linear", "--epochs", "50000"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 90
    # The first checkpoint is written after five seconds of training.
    while not (place / "my run/recipe.toml").exists():
        assert child.poll() is None, child.stderr.read() if child.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert err.decode().splitlines()[-1] == (
        "striate: stopped; it had no checkpoint yet; begin it again: striate resume 'my run'"
    )


def test_nobody_reads_the_output(run: Path) -> None:
    shell = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m striate train --help | head -n 1"],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert shell.stdout.startswith(b"usage: striate train")
    assert shell.stderr == b""
    # Longer than a pipe holds, so that the writer meets the closed end.
    many = " ".join(["pictures"] * 900)
    shell = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m striate predict run {many} --json | head -n 1"],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert json.loads(shell.stdout)["path"] == "pictures/a/0.png"
    assert shell.stderr == b""


def test_nobody_reads_the_progress_and_the_training_ends_well(place: Path) -> None:
    write_pictures(place / "pictures")
    quick = " ".join(QUICK)
    shell = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m striate train pictures --out run {quick} 2>&1 >result | head -n 1"],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert shell.stdout.decode().count("\n") == 1
    until = time.monotonic() + 30
    while not (place / "run/report.html").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


ALL_CLOSED = ">&- 2>&- <&-"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ALL_CLOSED])
def test_closed_streams(closed: str, run: Path) -> None:
    # Answers once with all of them closed, for torch takes seconds to start; the light command with each.
    asked = "predict run pictures --format csv" if closed == ALL_CLOSED else "runs ."
    command = f"'{sys.executable}' -m striate {asked} {closed}"
    shell = subprocess.run(["sh", "-c", command], env=environment(), capture_output=True, check=False)
    assert shell.returncode == 0, shell.stderr
    assert shell.stderr == b""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems keep no names that are no UTF-8")
@pytest.mark.parametrize("more", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}])
def test_names_that_the_output_cannot_hold(more: dict[str, str], run: Path) -> None:
    odd = [os.fsencode("pictures/日本 é.png"), b"pictures/\xff\xfe.png"]
    for name in odd:
        shutil.copy("pictures/a/0.png", name)
    listed = b"\n".join(odd) + b"\n"
    done = process("predict", "run", "-", "--format", "csv", more=more, input=listed)
    assert done.code == 0, done.err
    assert done.err == ""
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert len(rows) == 2
    assert rows[1]["path"] == r"pictures/\xff\xfe.png"
    done = process("runs", "日本", more=more)
    assert "there is no such folder" in done.sentence


def on_a_terminal(*arguments: str, more: dict[str, str]) -> tuple[int, str, str]:
    """Exit status, stdout (a pipe) and what a terminal at stderr received."""
    import pty

    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [*STRIATE, *arguments],
        env=environment(COLUMNS="100", LINES="30", **more),
        stdout=subprocess.PIPE,
        stderr=theirs,
        stdin=theirs,
    )
    os.close(theirs)
    received = b""
    while True:
        ready, _, _ = select.select([ours], [], [], 60)
        try:
            data = os.read(ours, 65536) if ready else b""
        except OSError:  # the other side has gone
            data = b""
        if not data:
            break
        received += data
    os.close(ours)
    assert child.stdout is not None
    out = child.stdout.read().decode()
    child.stdout.close()
    return child.wait(timeout=60), out, received.decode("utf-8")


CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("more", [{"TERM": "xterm-256color"}, {"TERM": "xterm-256color", "NO_COLOR": "1"}])
def test_live_display_on_a_terminal(more: dict[str, str], place: Path) -> None:
    write_pictures(place / "pictures", count=20)
    code, out, shown = on_a_terminal(
        "train", "pictures", "--out", "run", *QUICK, "--batch-size", "1", "--epochs", "30", more=more
    )
    assert code == 0, shown
    assert "━" in shown
    assert " left" in shown
    colours = set(COLOUR.findall(shown)) - {"\x1b[0m"}
    assert bool(colours & {"\x1b[36m", "\x1b[33m"}) == ("NO_COLOR" not in more)
    assert "\x1b" not in out
    # When it is over the bar is gone, the cursor is back, and the log lines stand.
    assert shown.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in shown[-40:]
    assert "epoch  30" in CONTROL.sub("", shown)


@pytest.mark.parametrize("more", [{"TERM": "dumb"}])
def test_a_dumb_terminal_gets_plain_lines(more: dict[str, str], place: Path) -> None:
    write_pictures(place / "pictures")
    code, _, shown = on_a_terminal("train", "pictures", "--out", "run", *QUICK, more=more)
    assert code == 0
    assert "\x1b" not in shown
    assert "━" not in shown
