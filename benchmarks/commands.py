"""Running one contender as a process of its own: how long it takes, what it says, and how much memory it holds.

A contender is timed from before its start to after its end. What it found inside, it prints as the last line of its
standard output, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SAMPLED = 0.1  # seconds between looks at the memory
# What a shell may set and a person's plain process would not have.
UNSET = (
    "PYTHONDONTWRITEBYTECODE",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "STRIATE_CACHE",
)


class FailedError(Exception):
    """A contender that ended with an error or said nothing; the text is its last line."""


class TooLongError(Exception):
    """A contender that was stopped at its limit, in seconds."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"stopped after {limit:.0f} s")
        self.limit = limit


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    limit: float | None = None,
    memory: bool = False,
    said: bool = True,
) -> dict[str, Any]:
    """`seconds` of the whole process beside what it said; with `memory` also the peaks of its resident memory, MB.

    limit: seconds after which it is stopped, TooLongError. said: whether it says figures at all. Raises FailedError.
    """
    with tempfile.TemporaryDirectory() as cache:
        # Cold: an empty cache folder and no remembered choices, in every run.
        own = {name: value for name, value in os.environ.items() if name not in UNSET}
        own |= {"STRIATE_CACHE": cache, **(environment or {})}
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=own,
            start_new_session=True,
        )
        watch = _Memory(process.pid) if memory else None
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _stop(process)
            raise TooLongError(limit or 0.0) from None
        except BaseException:
            _stop(process)
            raise
        finally:
            peaks = watch.stop() if watch is not None else {}
        seconds = time.perf_counter() - began
    if process.returncode != 0:
        raise FailedError(_last_line(errors) or f"exit status {process.returncode}")
    return {**(figures_in(output) if said else {}), **peaks, "seconds": seconds}


def figures_in(output: str) -> dict[str, Any]:
    """The last line that is a JSON object. Raises FailedError where there is none."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            found: dict[str, Any] = json.loads(line)
            return found
    raise FailedError(f"it printed no figures: {_last_line(output)}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _stop(process: subprocess.Popen[str]) -> None:
    """End the process and what it started: it leads a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


class _Memory:
    """Looks at a process and its descendants from a thread. Pages that several share are counted in shares (PSS)."""

    def __init__(self, root: int) -> None:
        self.root, self.peaks, self.gone = root, {"memory": 0.0, "mapped": 0.0}, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def stop(self) -> dict[str, float]:
        """Peaks in MB (10^6 bytes): `memory` of its own, `mapped` of pages that files or shared memory stand behind."""
        self.gone.set()
        self.thread.join()
        return self.peaks

    def _watch(self) -> None:
        while not self.gone.wait(SAMPLED):
            own = mapped = 0.0
            for identifier in _family(self.root):
                found = resident(identifier)
                own, mapped = own + found["memory"], mapped + found["mapped"]
            self.peaks = {"memory": max(own, self.peaks["memory"]), "mapped": max(mapped, self.peaks["mapped"])}


def resident(process: int | str = "self") -> dict[str, float]:
    """Resident memory of one process, MB: `memory` of its own and `mapped`; zeros where it has gone."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {"memory": 0.0, "mapped": 0.0}
    found = {line.split(":")[0]: line.split()[1] for line in text.splitlines()[1:] if ":" in line}
    own, whole = float(found.get("Pss_Anon", 0)), float(found.get("Pss", 0))
    return {"memory": own * 1024 / 1e6, "mapped": (whole - own) * 1024 / 1e6}


def _family(root: int) -> list[int]:
    found, open_ = [], [root]
    while open_:
        one = open_.pop()
        found.append(one)
        for path in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                open_ += [int(child) for child in path.read_text(encoding="ascii").split()]
    return found
