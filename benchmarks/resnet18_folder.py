"""ResNet-18 on a folder of JPEG photographs, random resized crop and flip: Striate, the bare step, and its peers.

    python benchmarks/resnet18_folder.py [--sizes 128 224]

The folder holds photographs of 22 classes, 500 pixels long as ImageNet's are. Every contender trains with SGD, batches
of 32, for five epochs, and looks at a few validation pictures after each. Its rate is that of training alone from the
second epoch on; its seconds are those of the whole process, with an empty cache folder: start-up, decoding, and
Striate's report included. Crops keep at least 8 % of a picture, as torchvision's do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pictures
from bare import best_flags
from harness import BARE, BEST, ORDINARY, STRIATE, Contender, carry_out, options, own, peer, workplace
from judging import Goal
from page import Column, Compared

NAME = "resnet18_folder"
RATE = "pictures_per_second"
LIBRARIES = ("torchvision", "timm", "fastai")
BATCH, EPOCHS, CLASSES = 32, 5, 22
# What is to be reached against the peers' plain ways: from the second epoch on, and over five epochs from cold.
TIMES = {128: (1.8, 1.5), 224: (2.5, 2.0)}
# Larger pictures take longer, so fewer are needed to measure as well.
TRAINING = {128: 384, 224: 192}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record: a table a size."""
    parser = options(__doc__, rounds=1, minutes=10)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(TIMES), choices=list(TIMES), metavar="PIXELS")
    given = parser.parse_args(arguments)
    with workplace() as folder:
        return max(measure(folder, size, given) for size in given.sizes)


def settings(size: int, epochs: int) -> str:
    """The recipe of Striate: what the peers do, said in its words."""
    return json.dumps(
        {
            "network": "resnet18",
            "size": size,
            "epochs": epochs,
            "batch_size": BATCH,
            "learning_rate": 0.05,
            "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 1e-4},
            "augment": {"random_resized_crop": 0.08, "flip_horizontal": True},
        }
    )


def bare_shape(size: int) -> tuple[object, ...]:
    """The bare step of it."""
    shape = ("--network", "resnet18", "--channels", 3, "--classes", CLASSES)
    return (*shape, "--batch", BATCH, "--size", size)


def measure(folder: Path, size: int, given: Any) -> int:
    """All contenders at one size."""
    epochs = 2 if given.quick else EPOCHS
    source = pictures.photo_folders(folder / f"photos-{size}", 64 if given.quick else TRAINING[size])
    seconds = 1.0 if given.quick else 8.0
    flags, _, multiply_adds = best_flags(bare_shape(size), 1.0, compiled=False, small=False)
    plain, fastest = "bare step, float32", "bare step, fastest"
    contenders = [
        Contender(
            name="striate",
            way=STRIATE,
            measure=own("watched_run", source, "--out", folder / "run", "--settings", settings(size, epochs)),
        ),
        Contender(name=plain, way=BARE, measure=own("bare", *bare_shape(size), "--seconds", seconds)),
        Contender(
            name=fastest,
            way=BARE,
            note=" ".join(flags),
            measure=own("bare", *bare_shape(size), *flags, "--seconds", seconds),
        ),
    ]
    for library in LIBRARIES:
        common = (source, size, epochs, BATCH)
        best = peer(f"folder_{library}", *common, "best")
        contenders += [
            Contender(name=library, way=ORDINARY, measure=peer(f"folder_{library}", *common)),
            Contender(name=f"{library}, best", way=BEST, measure=best),
        ]
    bests = tuple(f"{library}, best" for library in LIBRARIES)
    steady, cold = TIMES[size]
    ours: dict[str, Any] = {"figure": RATE, "contender": "striate"}
    whole: dict[str, Any] = {"figure": "seconds", "contender": "striate", "inverted": True, "against": LIBRARIES}
    goals = (
        Goal(words="≥ 0.95 of the fastest bare step", against=(fastest,), at_least=0.95, **ours),
        Goal(words=f"≥ {steady}x the peers' plain loops", against=LIBRARIES, at_least=steady, **ours),
        Goal(words="≥ 1.1x theirs with autocast and channels last", against=bests, at_least=1.1, **ours),
        Goal(words=f"whole process, {EPOCHS} epochs from cold: ≥ {cold}x as fast", at_least=cold, **whole),
    )
    return carry_out(
        f"{NAME}_{size}",
        contenders,
        given=given,
        columns=(Column(RATE, "pictures/s"), Column("seconds", "whole process, s")),
        goals=goals,
        compared=Compared(RATE, "striate"),
        facts=(
            f"{TRAINING[size]} training pictures at {size}x{size}; {multiply_adds / 1e6:,.0f} million multiply-adds "
            "a picture.",
        ),
        program=NAME,
    )


if __name__ == "__main__":
    sys.exit(main())
