"""A few photographs a class and the pretrained EfficientNet-Lite0: from a cold process to the final model.

    python benchmarks/few_photos.py [--sets caltech101-20 hymenoptera]

Striate runs `striate train SET`, report included; fastai its quick start's `fine_tune(3)`; the third way is a linear
head on frozen features. All start from the same published weights, and are judged on the same test pictures.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pictures
from commands import run
from harness import BEST, ORDINARY, STRIATE, Contender, carry_out, options, peer, striate_command, workplace
from judging import Goal
from page import Column, Compared

NAME = "few_photos"
SETS = ("caltech101-20", "hymenoptera")
FROZEN = "frozen features + logistic regression"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record: a table a set."""
    parser = options(__doc__, rounds=1, minutes=6)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS, metavar="SET", help=", ".join(SETS))
    given = parser.parse_args(arguments)
    with workplace() as folder:
        sets = given.sets[:1] if given.quick else given.sets
        return max(measure(folder, name, given) for name in sets)


def measure(folder: Path, name: str, given: Any) -> int:
    """All contenders on one set."""
    source = pictures.data_pack() / name
    if given.quick:
        source = pictures.photo_folders(folder / "few", 44, size=200)
    epochs = [1] if given.quick else []
    contenders = [
        Contender(name="striate", way=STRIATE, note="default settings", measure=lambda: train(source, folder / "run")),
        Contender(name="fastai, fine_tune", way=ORDINARY, measure=peer("few_fastai", source, *epochs)),
        Contender(name="fastai, fine_tune, best", way=BEST, measure=peer("few_fastai", source, *epochs, "best")),
        Contender(name=FROZEN, way=ORDINARY, measure=peer("few_frozen", source)),
        Contender(name=f"{FROZEN}, best", way=BEST, measure=peer("few_frozen", source, "best")),
    ]
    time: dict[str, Any] = {"figure": "seconds", "contender": "striate", "inverted": True}
    accuracy: dict[str, Any] = {"figure": "test_accuracy", "contender": "striate"}
    goals = (
        Goal(words="≤ 1/5 of the time of fastai's fine_tune", against=("fastai, fine_tune",), at_least=5.0, **time),
        Goal(
            words="an accuracy above frozen features", against=(FROZEN,), at_least=math.nextafter(1.0, 2.0), **accuracy
        ),
    )
    return carry_out(
        f"{NAME}_{name}",
        contenders,
        given=given,
        columns=(Column("seconds", "whole process, s"), Column("test_accuracy", "test accuracy", percent=True)),
        goals=goals,
        compared=Compared("seconds", "striate", inverted=True),
        program=NAME,
    )


def train(source: Path, out: Path) -> Mapping[str, Any]:
    """`striate train SET`."""
    done = run([striate_command(), "train", source, "--out", out, "--overwrite"], said=False)
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return {"seconds": done["seconds"], "test_accuracy": metrics["test"]["accuracy"]["value"]}


if __name__ == "__main__":
    sys.exit(main())
