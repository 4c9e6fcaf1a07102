"""Does bfloat16 cost accuracy? The same training in float32 and in bfloat16, over several seeds.

    python benchmarks/precision.py                 scikit-learn's digits, seeds 0 1 2
    python benchmarks/precision.py --mnist         MNIST of the data pack, three epochs, too

The two take turns, so that both meet the same machine. What came out is written to benchmarks/results/precision.json:
each run, mean and standard deviation of test accuracy and log loss, machine and versions. The difference is within the
noise where it is smaller than two standard errors of it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import striate
from striate.machine.description import describe_machine, versions
from striate.machine.threads import usable_cores

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results" / "precision.json"
FORMATS = ("float32", "bfloat16")
FIGURES = ("accuracy", "log_loss")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", action="store_true", help="also MNIST of the data pack, three epochs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="seeds [0 1 2]")
    given = parser.parse_args(arguments)
    sets: dict[str, tuple[Any, dict[str, Any]]] = {"digits": (digits(), {})}
    if given.mnist:
        shared = Path(os.environ.get("STRIATE_SHARED", REPOSITORY.parent / "shared")) / "data"
        sets["mnist"] = (shared / "mnist", {"epochs": 3})
    found = {name: compare(source, settings, given.seeds) for name, (source, settings) in sets.items()}
    for name, one in found.items():
        print(f"{name}: {one['words']}")
    written = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": "python benchmarks/precision.py" + " --mnist" * given.mnist,
        "machine": describe_machine("cpu", usable_cores()),
        "versions": versions(),
        "sets": found,
    }
    RESULTS.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {RESULTS}")
    return 0


def digits() -> tuple[Any, Any]:
    """scikit-learn's 1,797 digits as pictures (N, 8, 8) and labels."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    return (loaded.images * (255 / 16)).round().astype("uint8"), loaded.target


def compare(source: Any, settings: dict[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """Runs of both formats in turn, and how far they are apart."""
    runs = []
    for seed in seeds:
        for precision in FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                began = time.monotonic()
                run = striate.train(source, out=Path(folder) / "run", seed=seed, precision=precision, **settings)
                figures = {name: run.metrics["test"][name]["value"] for name in FIGURES}
                seconds = {"seconds": time.monotonic() - began, "training": run.metrics["seconds"]["training"]}
                runs.append({"seed": seed, "precision": precision, **figures, **seconds})
                print(runs[-1], flush=True)
    told: dict[str, Any] = {"settings": settings, "runs": runs}
    words = []
    for name in FIGURES:
        values = {one: [run[name] for run in runs if run["precision"] == one] for one in FORMATS}
        differences = [less - full for full, less in zip(values["float32"], values["bfloat16"], strict=True)]
        error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
        told[name] = {one: {"mean": statistics.mean(v), "values": v} for one, v in values.items()}
        told[name]["difference"] = {"mean": statistics.mean(differences), "standard_error": error}
        words.append(f"{name} {statistics.mean(differences):+.4f} +/- {error:.4f} (bfloat16 less float32)")
    return {**told, "words": ", ".join(words)}


if __name__ == "__main__":
    raise SystemExit(main())
