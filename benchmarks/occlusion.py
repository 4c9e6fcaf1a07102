"""Occlusion at 224 pixels, a square of 32 every 8 (625 places), in ResNet-18 and VGG-16 with random weights.

    python benchmarks/occlusion.py [--networks resnet18 vgg16]

What is timed is the occlusion alone, after one forward pass, in a process of its own. captum's default computes one
covered picture at a time. Every contender is compared with the maps of captum.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import BEST, ORDINARY, STRIATE, Contender, carry_out, options, own, peer, workplace
from judging import Goal
from page import Column, Compared

NAME = "occlusion"
# How many times as fast as captum's default, in float32 and in bfloat16.
NETWORKS = {"resnet18": (3.0, 5.0), "vgg16": (6.0, 10.0)}
CAPTUM = "captum"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record: a table a network."""
    parser = options(__doc__, rounds=2, minutes=12)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS, metavar="NAME")
    given = parser.parse_args(arguments)
    with workplace() as folder:
        return max(measure(folder, name, given) for name in (given.networks[:1] if given.quick else given.networks))


def measure(folder: Path, network: str, given: argparse.Namespace) -> int:
    """All contenders on one network."""
    size = 64 if given.quick else 224
    what = (network, folder / f"{network}.npy", size)
    contenders = [
        Contender(name=CAPTUM, way=ORDINARY, note="one at a time", measure=peer("occlusion_captum", *what, 1)),
        Contender(name="striate", way=STRIATE, measure=own("occlude", *what, "float32")),
        Contender(
            name="striate, bfloat16",
            way=STRIATE,
            note="precision=bfloat16",
            measure=own("occlude", *what, "bfloat16"),
        ),
        Contender(
            name="striate, whole pictures",
            way=STRIATE,
            note="incremental=False",
            most_rounds=1,
            measure=own("occlude", *what, "float32", "whole"),
        ),
        Contender(name="captum, 16 at once", way=BEST, most_rounds=1, measure=peer("occlusion_captum", *what, 16)),
        Contender(name="hand-written loop", way=ORDINARY, most_rounds=1, measure=peer("occlusion_loop", *what, 16)),
        Contender(
            name="hand-written loop, best",
            way=BEST,
            note="bfloat16, channels last",
            most_rounds=1,
            measure=peer("occlusion_loop", *what, 16, "best"),
        ),
    ]
    full, half = NETWORKS[network]
    time: dict[str, Any] = {"figure": "occlusion", "against": (CAPTUM,), "inverted": True}
    goals = (
        Goal(words=f"float32: ≥ {full:g}x as fast as captum's default", contender="striate", at_least=full, **time),
        Goal(
            words=f"bfloat16: ≥ {half:g}x as fast as captum's default",
            contender="striate, bfloat16",
            at_least=half,
            **time,
        ),
        Goal(words="float32 equals captum to 1e-4", figure="difference", contender="striate", at_most=100.0),
    )
    return carry_out(
        f"{NAME}_{network}",
        contenders,
        given=given,
        columns=(
            Column("occlusion", "occlusion, s"),
            Column("difference", "largest difference from captum, millionths of the largest value"),
        ),
        goals=goals,
        compared=Compared("occlusion", "striate", inverted=True),
        program=NAME,
    )


if __name__ == "__main__":
    sys.exit(main())
