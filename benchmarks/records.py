"""Records of runs, one line of JSON a run in benchmarks/results/, and what each says of where it came from."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
RECORDS = Path(__file__).resolve().parent / "results"


def read_records(path: Path) -> list[dict[str, Any]]:
    """One record a line, in the order in which they were made; none where there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def write_record(path: Path, one: Mapping[str, Any]) -> None:
    """Add a line."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(one) + "\n")


def of_newest_version(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last record of each (set or kind and minutes, seed) of the version that was recorded last."""
    if not records:
        return []
    current = records[-1]["version"]
    last = {
        (one.get("set"), one.get("kind"), one.get("minutes"), one["seed"]): one
        for one in records
        if one["version"] == current
    }
    return list(last.values())


def by_set(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """The runs of each set that has some, in the order of the names, by seed."""
    of = {name: sorted((one for one in records if one["set"] == name), key=lambda one: one["seed"]) for name in names}
    return {name: runs for name, runs in of.items() if runs}


def version() -> str:
    """The version of Striate: what a recorded run counts for."""
    import striate

    return striate.__version__


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    from striate.machine import description

    return description.versions()


def commit() -> str:
    """The commit that ran, "+" where files of the source differ from it; "" outside a repository."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        return name + ("+" if _git("status", "--porcelain", "--", "src") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return done.stdout.strip()
