"""Striate touches only its own: no network, no program, nothing written but into the run, the cache folder and --out.

In a process where everything else is refused, by a script without a main guard. Root may write anywhere, so a place is
made read-only by an audit hook; that nothing was written past it, by a library's own code, the folders tell.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SOURCE = Path(__file__).resolve().parent.parent / "src"
GUARD = Path(__file__).resolve().with_name("guard.py")

# All there is to a user's script: no main guard.
QUICK = """
import striate

run = striate.train("pictures", out="out/run", network="small-conv", epochs=1, keep_epochs=1)
assert len(striate.predict(run, ["pictures/a", "pictures/b/0.jpg"]).answers) == 13
assert striate.evaluate(run, "pictures").pictures == 24
assert striate.explain(run, "pictures/a/1.png", method="grad-cam", out="out/why").page.is_file()
"""
ALL = """
import os
from striate.cli.main import status

assert striate.explain(run, "pictures/a/1.png", method="all", out="out/why-all").page.is_file()
assert striate.inspect("pictures", out="out/inspect.html", augment=True).used == 24
assert striate.look(run, out="out/look.html").found
striate.dream(run, out="out/dream.png", steps=2)
assert striate.export(run, out="out/run.onnx").proof.held_out
assert len(striate.show_batch(run)) == 16
assert striate.report(run).is_file()
assert status(["train", "pictures", "--out", "out/second", "--from", "out/run", "--epochs", "1"]) == 0
assert status(["resume", "out/second", "--epochs", "2", "--tensorboard", "out/logs"]) == 0
assert status(["export", "out/run", "--to", "torch-export", "--out", "out/run.pt2"]) == 0
assert status(["report", "out/run", "out/second", "--out", "out/both.html"]) == 0

# Without a place of its own the cache folder would be in the home, which is read-only.
del os.environ["STRIATE_CACHE"]
run = striate.train("pictures", out="out/third", network="small-conv", epochs=1)
assert striate.look(run, out="out/third.html").found
"""


def everything(place: Path) -> dict[str, object]:
    """Names, bytes and times of all that lies in a folder."""
    found: dict[str, object] = {}
    for path in sorted(place.rglob("*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(place))] = (content, path.lstat().st_mtime_ns, path.lstat().st_mode)
    return found


@pytest.mark.parametrize("script", [QUICK, pytest.param(QUICK + ALL, marks=pytest.mark.long)], ids=["quick", "all"])
def test_nothing_but_its_own_is_touched(script: str, tmp_path: Path) -> None:
    mine, own = tmp_path / "mine", tmp_path / "own"
    for name in ("home", "work"):
        (mine / name).mkdir(parents=True)
    work = mine / "work"
    for name in ("out", "cache", "temporary", "told"):
        (own / name).mkdir(parents=True)
    (work / "out").symlink_to(own / "out")
    for number in range(24):
        place = work / "pictures" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 120, (16, 16, 3)) + 100 * (number % 2)
        kind = "jpg" if number == 1 else "png"
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number // 2}.{kind}")
    (work / "script.py").write_text(script, encoding="utf-8")
    before = everything(mine)
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-B", str(GUARD), "script.py"],  # -B: what Python itself would write beside modules
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
        env={
            **environment,
            "PYTHONPATH": str(SOURCE),
            "HOME": str(mine / "home"),
            "TMPDIR": str(own / "temporary"),
            "STRIATE_CACHE": str(own / "cache"),
            "OMP_NUM_THREADS": "1",
            "GUARD_ALLOWED": json.dumps([str(own / name) for name in ("out", "cache", "temporary")]),
            "GUARD_TOLD": str(own / "told" / "tried.json"),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    tried = json.loads((own / "told" / "tried.json").read_text(encoding="utf-8"))
    # Only the cache folder, where no place was named for it, may be tried for at home.
    elsewhere = [one for one in tried if script is QUICK or str(mine / "home") not in one["arguments"]]
    assert elsewhere == []
    assert everything(mine) == before
    # Python writes a file there and removes it, to see whether it can, when torch's exporter asks for the place.
    assert list((own / "temporary").iterdir()) == []
    assert (own / "out" / "run" / "report.html").is_file()
