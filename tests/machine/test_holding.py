"""One process at a time holds a folder, and a kill lets go of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from striate.errors import InputError
from striate.machine.holding import hold

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows locks no folders")

HOLDER = """
import sys
from pathlib import Path
from striate.machine.holding import hold
held = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="another process is training into this run"):
            hold(tmp_path)
        child.send_signal(signal.SIGKILL)
        child.wait()
    hold(tmp_path).let_go()
    assert list(tmp_path.iterdir()) == []


def test_it_is_let_go_once_and_for_all(tmp_path: Path) -> None:
    first = hold(tmp_path)
    first.let_go()
    second = hold(tmp_path)
    first.let_go()
    with pytest.raises(InputError):
        hold(tmp_path)
    second.let_go()
