"""Writing files: the old one or the new one, never half of one; and the sentence where the system refuses."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from striate.errors import InputError
from striate.machine.files import refused, write_atomically


def test_the_new_content_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"one", "zwei \udcff ü", b""):
        write_atomically(path, content)
        expected = content if isinstance(content, bytes) else "zwei \\udcff ü".encode()
        assert path.read_bytes() == expected
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_who_has_the_old_file_open_keeps_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with path.open("rb") as old:
        write_atomically(path, b"new and longer")
        assert old.read() == b"old"


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone/file", "not there"),
        ("file/inside", "a file, not a folder"),
        ("x" * 300, "too long"),
        ("folder", "folder"),
    ],
)
def test_places_that_cannot_be_written(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=words):
        write_atomically(tmp_path / name, b"new")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_what_the_system_never_refuses_for_is_our_defect() -> None:
    with pytest.raises(OSError, match="descriptor"):
        refused(Path("x"), OSError(errno.EBADF, "bad descriptor"))


KILLED = """
import os, sys
from pathlib import Path
from striate.machine.files import write_atomically
path = Path(sys.argv[1])
content = bytes(sys.argv[2], "ascii") * 2_000_000
print("ready", flush=True)
while True:
    write_atomically(path, content)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_kill_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(one for one in sys.path if one)}
    for letter, seconds in (("a", 0.05), ("b", 0.033), ("c", 0.071)):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), letter], env=environment, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(seconds)
        child.kill()
        child.wait()
        child.stdout.close()
        if path.exists():
            held = path.read_bytes()
            assert len(held) == 2_000_000
            assert len(set(held)) == 1
