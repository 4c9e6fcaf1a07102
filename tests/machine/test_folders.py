"""Caches of libraries lie in ours, and where ours cannot be made nothing of theirs is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, os
from pathlib import Path
from striate.machine.folders import REDIRECTED, redirect_caches

redirect_caches()
for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
    Path(os.environ[name]).mkdir(parents=True)
print(json.dumps({name: os.environ.get(name) for name in REDIRECTED}))
"""


def places(cache: Path, temporary: Path, **more: str) -> dict[str, str | None]:
    """Where libraries keep things in a process of its own."""
    plain = {name: value for name, value in os.environ.items() if not name.endswith(("_CACHE_DIR", "_HOME"))}
    environment = {**plain, "STRIATE_CACHE": str(cache), "TMPDIR": str(temporary), **more}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    found: dict[str, str | None] = json.loads(done.stdout)
    return found


def test_caches_of_libraries_lie_in_ours_but_where_the_user_has_placed_them(tmp_path: Path) -> None:
    found = places(tmp_path / "cache", tmp_path, HF_HOME="elsewhere")
    assert found["TORCH_HOME"] == str(tmp_path / "cache" / "torch")
    assert found["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "cache" / "torchinductor")
    assert found["HF_HOME"] == "elsewhere"


def test_without_a_cache_folder_the_compiler_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder can be made below it")
    (tmp_path / "temporary").mkdir()
    found = places(tmp_path / "file" / "cache", tmp_path / "temporary")
    assert found["TORCH_HOME"] is None
    assert str(found["TORCHINDUCTOR_CACHE_DIR"]).startswith(str(tmp_path / "temporary"))
    assert list((tmp_path / "temporary").iterdir()) == []
