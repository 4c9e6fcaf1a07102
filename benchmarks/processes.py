"""Two processes on two cores against one process with two threads: `striate train mnist`, whole processes.

    python benchmarks/processes.py

Pictures a second are those of the epochs after the first, validation included. There is no goal: whichever is faster is
what `--processes auto` is meant to pick.
"""

from __future__ import annotations

import csv
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pictures
from commands import run
from harness import STRIATE, Contender, carry_out, options, striate_command, workplace
from page import Column, Compared

NAME = "processes"
NETWORKS = ("small-conv", "lenet5")
WAYS = {
    "two processes": ("--processes", "2"),
    "one process, two threads": ("--processes", "1", "--threads", "2"),
    "as Striate chooses": (),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record."""
    given = options(__doc__, rounds=1, minutes=3).parse_args(arguments)
    epochs = 2
    networks = NETWORKS[1:] if given.quick else NETWORKS
    with workplace() as folder:
        source = pictures.data_pack() / "mnist"
        if given.quick:
            source = pictures.mnist_raw(folder, training=4000, testing=500) / "MNIST" / "raw"
        contenders = [
            Contender(
                name=f"{network}, {way}",
                way=STRIATE,
                note=" ".join(flags),
                measure=lambda network=network, flags=flags: train(source, network, epochs, flags, folder / "run"),
            )
            for network in networks
            for way, flags in WAYS.items()
        ]
        return carry_out(
            NAME,
            contenders,
            given=given,
            columns=(
                Column("pictures_per_second", "pictures/s, validation included"),
                Column("seconds", "whole process, s"),
                Column("test_accuracy", "test accuracy", percent=True),
            ),
            goals=(),
            compared=Compared("pictures_per_second", contenders[0].name),
        )


def train(source: Path, network: str, epochs: int, flags: Sequence[str], out: Path) -> Mapping[str, Any]:
    """`striate train mnist`: its rate from what it wrote into the run."""
    command = [striate_command(), "train", source, "--network", network, "--epochs", epochs]
    done = run([*command, *flags, "--out", out, "--overwrite"], said=False)
    with (out / "history.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (out / "recipe.toml").open("rb") as file:
        batch = tomllib.load(file)["resolved"]["batch_size"]
    steps, seconds = (float(rows[-1][name]) - float(rows[0][name]) for name in ("step", "seconds"))
    return {"seconds": done["seconds"], "pictures_per_second": batch * steps / seconds, **accuracy(out)}


def accuracy(out: Path) -> dict[str, float]:
    """Of the test split."""
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return {"test_accuracy": metrics["test"]["accuracy"]["value"]}


if __name__ == "__main__":
    sys.exit(main())
