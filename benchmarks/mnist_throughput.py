"""How many MNIST pictures a second train, LeNet-5, batches of 128: Striate, the bare step, and its peers.

    python benchmarks/mnist_throughput.py

Striate runs with its default settings, which vary every picture (rotation, scale, shift); the peers and the bare step
vary nothing. Rates are those of training alone, from the second epoch on: Striate's epochs are timed from the end of
one validation to the last step of the next epoch, the peers train without validation, on the first 12,800 pictures.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import pictures
from bare import best_flags
from harness import BARE, BEST, ORDINARY, STRIATE, Contender, carry_out, options, own, peer, workplace
from judging import Goal
from page import Column, Compared

NAME = "mnist_throughput"
RATE = "pictures_per_second"
SHAPE = ("--network", "lenet5", "--size", "28", "--channels", "1", "--classes", "10", "--batch", "128")
LIBRARIES = ("torchvision", "fastai", "keras", "lightning", "skorch")
PLAIN, FASTEST = "bare step, float32", "bare step, fastest"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record."""
    given = options(__doc__, rounds=2, minutes=6).parse_args(arguments)
    count, epochs, seconds = (2_000, 2, 0.3) if given.quick else (12_800, 3, 3.0)
    with workplace() as folder:
        root = pictures.mnist_raw(folder, training=count if given.quick else 60_000)
        files = pictures.mnist_png(folder / "png", training=count, testing=128)
        flags, _, multiply_adds = best_flags(SHAPE, seconds / 6, compiled=not given.quick, small=True)
        peak = own("bare", "--peak")()
        recipe = {"network": "lenet5", "batch_size": 128, "epochs": epochs}
        run = ("watched_run", root / "MNIST" / "raw", "--out", folder / "run", "--settings")
        plain_recipe = {**recipe, "augment": {"name": "none"}}
        contenders = [
            Contender(name="striate", way=STRIATE, note="default settings", measure=own(*run, json.dumps(recipe))),
            Contender(
                name="striate, pictures as they are",
                way=STRIATE,
                note="--augment none",
                most_rounds=1,
                measure=own(*run, json.dumps(plain_recipe)),
            ),
            Contender(name=PLAIN, way=BARE, measure=own("bare", *SHAPE, "--seconds", seconds)),
            Contender(
                name=FASTEST, way=BARE, note=" ".join(flags), measure=own("bare", *SHAPE, *flags, "--seconds", seconds)
            ),
            Contender(name="hand-written loop", way=ORDINARY, measure=peer("mnist_ram", root, count, epochs)),
            Contender(name="hand-written loop, best", way=BEST, measure=peer("mnist_ram", root, count, epochs, "best")),
            Contender(
                name="hand-written loop, best, one thread",
                way=BEST,
                measure=peer("mnist_ram", root, count, epochs, "best", "threads=1"),
            ),
        ]
        for library in LIBRARIES:
            place = files if library == "fastai" else root
            # PNG files one by one are several times slower than anything else here.
            slow = 1 if library == "fastai" else None
            plain = peer(f"mnist_{library}", place, count, 2 if library == "fastai" else epochs)
            best = peer(f"mnist_{library}", root, count, epochs, "best")
            contenders += [
                Contender(name=library, way=ORDINARY, most_rounds=slow, measure=plain),
                Contender(name=f"{library}, best", way=BEST, measure=best),
            ]
        # A hand-written loop is nobody's library; it is judged with the best settings.
        best_ways = tuple(one.name for one in contenders if one.way == BEST)
        goals = (
            Goal(words="≥ 0.95 of the fastest bare step", against=(FASTEST,), at_least=0.95, **_striate()),
            Goal(words="≥ 1.5x the plain bare step", against=(PLAIN,), at_least=1.5, **_striate()),
            Goal(words="≥ 1.5x the fastest peer's ordinary way", against=LIBRARIES, at_least=1.5, **_striate()),
            Goal(words="≥ 1.1x the fastest peer's best setting", against=best_ways, at_least=1.1, **_striate()),
        )
        return carry_out(
            NAME,
            contenders,
            given=given,
            columns=(Column(RATE, "pictures/s"), Column("seconds", "whole process, s")),
            goals=goals,
            compared=Compared(RATE, "striate"),
            facts=(arithmetic(peak, multiply_adds),),
        )


def _striate() -> dict[str, str]:
    return {"figure": RATE, "contender": "striate"}


def arithmetic(peak: dict[str, float], multiply_adds: int) -> str:
    """A sentence: the machine's peak, and at how many pictures a second a training step would reach it."""
    # Forward, and backward with respect to inputs and to weights: two operations a multiply-add, three times.
    operations = 6e-9 * multiply_adds
    words = ", ".join(
        f"{peak[f'gflops_{name}']:,.0f} GFLOP/s in {name} ({peak[f'gflops_{name}'] / operations:,.0f} pictures/s)"
        for name in ("float32", "bfloat16")
    )
    return f"A large matrix product reaches {words} at {multiply_adds / 1e6:,.2f} million multiply-adds a picture."


if __name__ == "__main__":
    sys.exit(main())
