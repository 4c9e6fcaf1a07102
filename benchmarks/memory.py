"""How much memory a training holds: ResNet-18 at 128 pixels on a folder of JPEGs, against the plain loop.

    python benchmarks/memory.py

Memory is what a process and its workers hold of their own at the peak; pages that files stand behind (which the
system can take back) are counted apart. Striate may hold its decoded pictures beside that: as many bytes as the
training pictures have pixels. A second run of 20 epochs on a few pictures tells whether memory grows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pictures
from harness import BEST, ORDINARY, STRIATE, Contender, carry_out, options, own, peer, workplace
from judging import Goal
from page import Column, Compared
from resnet18_folder import BATCH, TRAINING, settings

NAME = "memory"
SIZE = 128
EARLY, LATE = 3, 20  # epochs between which it must not grow
FEW = 256  # pictures of that run: enough that the first checkpoint, after five seconds, lies before EARLY
BEYOND = "beyond_store"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record."""
    given = options(__doc__, rounds=1, minutes=3).parse_args(arguments)
    epochs = 2
    with workplace() as folder:
        source = pictures.photo_folders(folder / "photos", 64 if given.quick else TRAINING[SIZE])
        few = pictures.photo_folders(folder / "few", BATCH if given.quick else FEW)
        store = decoded(source / "train")
        common = (source, SIZE, epochs, BATCH)
        watched = own("watched_run", source, "--out", folder / "a", "--settings", settings(SIZE, epochs), memory=True)
        long = own("watched_run", few, "--out", folder / "b", "--settings", settings(SIZE, LATE))
        plain, best = (peer("folder_torchvision", *common, *more, memory=True) for more in ((), ("best",)))
        contenders = [
            Contender(name="striate", way=STRIATE, measure=less(watched, store)),
            Contender(name="torchvision", way=ORDINARY, measure=less(plain, 0.0)),
            Contender(name="torchvision, best", way=BEST, measure=less(best, 0.0)),
            Contender(name=f"striate, {LATE} epochs", way=STRIATE, measure=lambda: growth(long())),
        ]
        peak: dict[str, Any] = {"figure": BEYOND, "contender": "striate"}
        words = "peak ≤ the decoded pictures + 1.5x the plain loop's"
        flat = f"after epoch {LATE} within 5 % of after epoch {EARLY}"
        goals = (
            Goal(words=words, against=("torchvision",), at_most=1.5, **peak),
            Goal(words=flat, figure="growth", contender=f"striate, {LATE} epochs", at_most=1.05),
        )
        return carry_out(
            NAME,
            contenders,
            given=given,
            columns=(
                Column("memory", "peak of its own, MB"),
                Column("mapped", "peak of mapped pages, MB"),
                Column(BEYOND, "own less the decoded pictures, MB"),
                Column("growth", f"after epoch {LATE} / after epoch {EARLY}"),
            ),
            goals=goals,
            compared=Compared(BEYOND, "striate"),
            facts=(f"The decoded training pictures are {store:,.0f} MB (10^6 bytes) at their full size.",),
        )


def less(measured: Callable[[], Mapping[str, Any]], store: float) -> Callable[[], dict[str, Any]]:
    """The same with the peak less the store, MB."""

    def measure() -> dict[str, Any]:
        found = dict(measured())
        return {**found, BEYOND: found["memory"] - store}

    return measure


def growth(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same with what is held after a late epoch over what is held after an early one."""
    held = found["memory_after_epochs"]
    return {**found, "memory": max(held), "growth": held[LATE - 1] / held[EARLY - 1]}


def decoded(folder: Path) -> float:
    """MB of the pictures as `uint8`."""
    from PIL import Image

    total = 0
    for path in folder.rglob("*.jpg"):
        with Image.open(path) as picture:
            total += 3 * picture.width * picture.height
    return total / 1e6


if __name__ == "__main__":
    sys.exit(main())
