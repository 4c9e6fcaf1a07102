"""Is the time left that the display shows true? Trainings whose every step notes it, against their real end.

    python benchmarks/time_left.py                    every training, then benchmarks/results/time_left.json
    python benchmarks/time_left.py --only mnist       one of them

The goal: within 15 % of what was really left, once 5 % of the run is done. What is compared is the end of the training
itself, for that is what is estimated; the results are written after it. In the last seconds 15 % are a fraction of a
second, so an estimate that is less than half a second off counts as right (the display shows whole seconds).
The pictures: the shared data pack, `../shared` beside the repository or the folder that STRIATE_SHARED names.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import striate

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results" / "time_left.json"
TRAININGS: dict[str, tuple[str, dict[str, Any]]] = {
    "mnist": ("mnist", {"epochs": 3}),
    "cifar10-jpeg": ("cifar10-jpeg", {"epochs": 3}),
    "hymenoptera, resnet18": ("hymenoptera", {"network": "resnet18", "epochs": 5}),
}
AFTER, WITHIN = 0.05, 0.15  # of the run, of what was left
ROUNDING = 0.5  # seconds


class Notes(striate.Observer):
    """When each step ended, how far the run was, and what it said was left."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float, float]] = []  # share of the steps, second, seconds left
        self.end = 0.0

    def on_step(self, record: Mapping[str, float]) -> None:
        self.steps.append((record["step"] / record["steps"], time.monotonic(), record["seconds_left"]))

    def on_epoch(self, record: Mapping[str, float]) -> None:
        self.end = time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TRAININGS, metavar="NAME", help=", ".join(TRAININGS))
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="[0]")
    given = parser.parse_args(arguments)
    shared = Path(os.environ.get("STRIATE_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not shared.is_dir():
        print(f"{shared}: the data pack is not there; say where with STRIATE_SHARED=FOLDER", file=sys.stderr)
        return 2
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for name in given.only or TRAININGS:
        source, settings = TRAININGS[name]
        notes = Notes()
        with tempfile.TemporaryDirectory(prefix="striate-time-left-") as folder:
            run = striate.train(shared / source, out=Path(folder) / "run", seed=given.seed, observer=notes, **settings)
            machine, versions = run.metrics["machine"], run.config["versions"]
        found[name] = {
            "settings": {"source": source, "seed": given.seed, **settings},
            **compared(notes.steps, notes.end),
            "machine": machine,
            "versions": versions,
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        }
        print(f"{name}: {words(found[name])}", flush=True)
        RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def compared(steps: Sequence[tuple[float, float, float]], end: float) -> dict[str, Any]:
    """The errors of the estimates (share done, second, seconds left) of a training that ended at the second `end`.

    Signed: above 0 is too long. `worst` are the five largest, with the share of the run at which they were made.
    """
    judged = []
    for share, second, said in steps:
        left = end - second
        if share >= AFTER and left > 0:
            off = said - left
            judged.append((0.0 if abs(off) <= ROUNDING else off / left, share, said, left))
    errors = [one[0] for one in judged]
    worst = sorted(judged, key=lambda one: -abs(one[0]))[:5]
    return {
        "steps": len(errors),
        "seconds": round(end - steps[0][1], 2),
        "share_within": round(sum(abs(error) <= WITHIN for error in errors) / len(errors), 4),
        "median_error": round(statistics.median(map(abs, errors)), 4),
        "worst": [
            {"error": round(error, 3), "at": round(share, 3), "said": round(said, 2), "left": round(left, 2)}
            for error, share, said, left in worst
        ],
    }


def words(found: Mapping[str, Any]) -> str:
    """One line for a person."""
    worst = found["worst"][0]
    return (
        f"{found['share_within']:.1%} of {found['steps']:,} steps within {WITHIN:.0%}, "
        f"median {found['median_error']:.1%} off, worst {worst['error']:+.0%} at {worst['at']:.0%} of the steps "
        f"(said {worst['said']:.1f} s, {worst['left']:.1f} s were left)"
    )


if __name__ == "__main__":
    sys.exit(main())
