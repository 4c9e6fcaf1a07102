"""What answering several views of each picture gains, and what it costs: `--tta` on sets of the data pack.

python benchmarks/many_views.py [--sets SET ...] [--rounds N] [--quick]

A round trains with the default recipe, but for what SETS says, and a seed of its own, and evaluates that run on the
test split in each way. The pictures of CIFAR-10 are its lossy copy, see the README of the data pack.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import page
from harness import STRIATE, Contender, carry_out, options, workplace
from judging import Goal
from pictures import data_pack

# So short that a round takes minutes.
SETS: dict[str, dict[str, Any]] = {"cifar10-jpeg": {"epochs": 1}, "hymenoptera": {"size": 160}}


def main() -> int:
    """The exit status."""
    from striate.models.many_views import TTA

    parser = options(__doc__ or "", rounds=3, minutes=12)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS, metavar="SET", help=", ".join(SETS))
    given = parser.parse_args()
    trained: dict[str, int] = {}

    def measure(folder: Path, name: str, tta: str) -> Mapping[str, float]:
        import striate

        if tta == "none":  # the first of a round
            trained[name] = trained.get(name, -1) + 1
            settings = {"network": "linear", "epochs": 1} if given.quick else SETS[name]
            striate.train(
                data_pack() / name, out=folder / f"{name}-{trained[name]}", seed=trained[name], device="cpu", **settings
            )
        began = time.process_time()
        found = striate.evaluate(
            folder / f"{name}-{trained[name]}", data_pack() / name, split="test", tta=tta, device="cpu"
        )
        spent = time.process_time() - began
        return {
            "accuracy": found.evaluation.accuracy.value,
            "log_loss": found.evaluation.log_loss.value,
            "ms": 1000 * spent / found.pictures,
        }

    def of_set(folder: Path, name: str) -> int:
        return carry_out(
            f"many_views_{name}",
            [Contender(name=tta, way=STRIATE, measure=partial(measure, folder, name, tta)) for tta in TTA],
            given=given,
            columns=[
                page.Column("accuracy", "test accuracy", percent=True),
                page.Column("log_loss", "log loss"),
                page.Column("ms", "processor ms a picture, reading and all"),
            ],
            goals=[
                Goal(
                    words=f"{tta}: at least as often right as one view",
                    contender=tta,
                    figure="accuracy",
                    at_least=1.0,
                    against=("none",),
                )
                for tta in TTA
                if tta != "none"
            ],
            compared=None,
            program="many_views",
            peers=False,
        )

    with workplace() as folder:
        return max(of_set(folder, name) for name in given.sets)


if __name__ == "__main__":
    sys.exit(main())
