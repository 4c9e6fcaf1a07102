"""From a cold process to 99.0 % test accuracy on MNIST: whole processes, start-up, report and all included.

    python benchmarks/mnist_cold.py

Striate trains for the smallest number of epochs that reaches 99.0 % on its own validation split, found before anything
is timed; the test pictures only confirm. The peers' scripts are their own examples with their own networks, optimizers
and rates, and may stop where the test pictures (which Striate does not look at) reach 99.0 %. A script that is not
there after the limit is stopped, and counts as if it had arrived then.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pictures
from commands import run
from harness import BEST, ORDINARY, STRIATE, Contender, carry_out, options, peer, striate_command, workplace
from judging import Goal
from page import Column, Compared

NAME = "mnist_cold"
WANTED = 0.99
MOST_EPOCHS = 6
LIMIT = 90.0  # seconds
NETWORKS = ("default", "lenet5")
EXAMPLES = ("PyTorch's example", "Keras's example", "fastai's book")
BY_HAND = "hand-written bfloat16 loop"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record."""
    given = options(__doc__, rounds=2, minutes=8).parse_args(arguments)
    with workplace() as folder:
        few: dict[str, int] = {"training": 2000, "testing": 500} if given.quick else {}
        root, files = pictures.mnist_raw(folder / "raw", **few), pictures.mnist_png(folder / "png", **few)
        source, out = root / "MNIST" / "raw", folder / "run"
        chosen = {network: 1 if given.quick else enough(source, network, out) for network in NETWORKS}
        once = [1] if given.quick else []
        striate = {
            network: Contender(
                name=f"striate, {network}",
                way=STRIATE,
                note=f"--epochs {epochs}",
                measure=lambda network=network, epochs=epochs: train(source, network, epochs, out),
            )
            for network, epochs in chosen.items()
            if epochs is not None
        }
        contenders = [
            *striate.values(),
            Contender(name=BY_HAND, way=BEST, measure=peer("cold_ram", root)),
            Contender(
                name=EXAMPLES[0], way=ORDINARY, most_rounds=1, measure=peer("cold_pytorch", root, *once, limit=LIMIT)
            ),
            Contender(
                name=EXAMPLES[1], way=ORDINARY, most_rounds=1, measure=peer("cold_keras", root, *once, limit=LIMIT)
            ),
            Contender(
                name=EXAMPLES[2], way=ORDINARY, most_rounds=1, measure=peer("cold_fastai", files, *once, limit=LIMIT)
            ),
        ]
        fastest = "striate, default"
        common: dict[str, Any] = {"figure": "seconds", "contender": fastest, "inverted": True}
        goals = (
            Goal(words="≥ 15x as fast as the fastest peer", against=EXAMPLES, at_least=15.0, **common),
            Goal(words="faster than the hand-written bfloat16 loop", against=(BY_HAND,), at_least=1.0, **common),
            Goal(words="test accuracy ≥ 99.0 %", figure="test_accuracy", contender=fastest, at_least=WANTED),
        )
        return carry_out(
            NAME,
            contenders,
            given=given,
            columns=(
                Column("seconds", "whole process, s"),
                Column("test_accuracy", "test accuracy", percent=True),
                Column("epochs", "epochs"),
            ),
            goals=goals,
            compared=Compared("seconds", fastest, inverted=True),
        )


def train(source: Path, network: str, epochs: int, out: Path) -> Mapping[str, Any]:
    """`striate train mnist --epochs N`: its seconds and its accuracy on validation and test."""
    named = [] if network == "default" else ["--network", network]
    command = [striate_command(), "train", source, *named, "--epochs", str(epochs)]
    done = run([*command, "--out", out, "--overwrite"], said=False)
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    accuracies = {f"{split}_accuracy": metrics[split]["accuracy"]["value"] for split in ("validation", "test")}
    return {"seconds": done["seconds"], "epochs": epochs, **accuracies}


def enough(source: Path, network: str, out: Path) -> int | None:
    """The smallest number of epochs that reaches what is wanted on validation; None where none does."""
    for epochs in range(1, MOST_EPOCHS + 1):
        found = train(source, network, epochs, out)
        print(f"{network}, {epochs} epochs: {found['validation_accuracy']:.4f} on validation", file=sys.stderr)
        if found["validation_accuracy"] >= WANTED:
            return epochs
    return None


if __name__ == "__main__":
    sys.exit(main())
