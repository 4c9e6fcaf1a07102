"""How long a person waits for an explanation of one photograph by EfficientNet-Lite0: whole commands.

    python benchmarks/explain.py

The network is named by --network, so its weights come from the installation. What is imported is in the file cache and
compiled to bytecode.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pictures
from commands import run
from harness import ORDINARY, STRIATE, Contender, carry_out, options, striate_command, workplace
from judging import Goal
from page import Column, Compared

NAME = "explain"
GRADIENTS = (
    *("gradient", "input-x-gradient", "smoothgrad", "integrated-gradients", "guided-backpropagation"),
    *("deconvolution", "grad-cam", "grad-cam++", "guided-grad-cam"),
)
EVERY = "all gradient methods"
TORCH = "import torch, in Striate's environment"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record."""
    given = options(__doc__, rounds=5, minutes=3).parse_args(arguments)
    with workplace() as folder:
        photo = next(pictures.photo_list(folder / "photo", 1).glob("*.jpg"))
        contenders = [
            explained(EVERY, folder, photo, "--method", ",".join(GRADIENTS)),
            explained("default methods, with occlusion", folder, photo),
            explained("all methods", folder, photo, "--method", "all"),
            Contender(
                name=TORCH, way=ORDINARY, measure=lambda: run([sys.executable, "-c", "import torch"], said=False)
            ),
        ]
        for one in contenders * (not given.quick):
            one.measure()  # bytecode and file cache
        goal = Goal(
            words="all gradient methods of one photograph < 5 s, start-up included",
            figure="seconds",
            contender=EVERY,
            at_most=5.0,
        )
        return carry_out(
            NAME,
            contenders,
            given=given,
            columns=(Column("seconds", "whole process, s"),),
            goals=(goal,),
            compared=Compared("seconds", EVERY, inverted=True),
            facts=(
                f"All gradient methods are {', '.join(GRADIENTS)}; each is judged by deletion and insertion against "
                "random maps, and the page, PNG files and arrays are written.",
            ),
        )


def explained(name: str, folder: Path, photo: Path, *others: str) -> Contender:
    """`striate explain` into a new folder each time."""
    made = iter(range(1_000_000))

    def measure() -> Mapping[str, Any]:
        out = folder / f"{name.replace(' ', '-')}-{next(made)}"
        words = [striate_command(), "explain", "--network", "efficientnet-lite0", photo, *others, "--out", out]
        return run(words, said=False)

    return Contender(name=name, way=STRIATE, measure=measure)


if __name__ == "__main__":
    sys.exit(main())
