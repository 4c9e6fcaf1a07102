"""One run of Striate with an eye on its epochs: how fast each trains, and how much memory is held after it.

    python benchmarks/watched_run.py SOURCE --out RUN [--settings '{"network": "lenet5", "epochs": 3}']

The settings are those of `striate.train`; everything else is as the command does it. An epoch is timed from the end of
the one before (validation and checkpoint included there) to its last step. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

from commands import resident
from striate.observer import Observer


class Watch(Observer):
    """Notes when epochs begin and when their last steps end."""

    def __init__(self) -> None:
        self.began = self.last = 0.0
        self.first_step = self.step = 0
        self.seconds: list[float] = []
        self.steps: list[int] = []
        self.memory: list[dict[str, float]] = []
        self.accuracy: list[float] = []

    def on_step(self, record: Mapping[str, float]) -> None:
        """After a step."""
        self.last, self.step = time.monotonic(), int(record["step"])

    def on_epoch(self, record: Mapping[str, float]) -> None:
        """After an epoch and its validation."""
        self.seconds.append(self.last - self.began)
        self.steps.append(self.step - self.first_step)
        self.memory.append(resident())
        self.accuracy.append(record.get("validation_accuracy", float("nan")))
        self.began, self.first_step = time.monotonic(), self.step


def main() -> int:
    """Train, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("--out", required=True, metavar="RUN")
    parser.add_argument("--settings", default="{}", metavar="JSON")
    given = parser.parse_args()
    # As the command does before torch is imported.
    from striate.machine.folders import redirect_caches
    from striate.machine.threads import wait_briefly

    wait_briefly()
    redirect_caches()
    import striate

    watch = Watch()
    run = striate.train(given.source, out=given.out, overwrite=True, observer=watch, **json.loads(given.settings))
    with (Path(str(run)) / "recipe.toml").open("rb") as file:
        batch = tomllib.load(file)["resolved"]["batch_size"]
    # The first epoch pays for what is done once.
    later = slice(1, None) if len(watch.seconds) > 1 else slice(None)
    found = {
        "epochs": len(watch.seconds),
        "pictures_per_second": batch * sum(watch.steps[later]) / sum(watch.seconds[later]),
        "memory_after_epochs": [round(one["memory"], 1) for one in watch.memory],
    }
    if not math.isnan(watch.accuracy[-1]):
        found["validation_accuracy"] = watch.accuracy[-1]
    metrics = run.metrics
    if "test" in metrics:
        found["test_accuracy"] = metrics["test"]["accuracy"]["value"]
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
