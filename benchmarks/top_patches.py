"""The strongest nine of 10,000 pictures for every unit of ResNet-18, against the forward passes alone.

    python benchmarks/top_patches.py

Pictures of 128 pixels lie in memory, so that nothing but the passes counts. The units are those of the stem, of all
eight blocks and of the head; their maxima, means, classes and twins are found in the same pass.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pictures
from harness import BARE, STRIATE, Contender, carry_out, options, own, workplace
from judging import Goal
from page import Column, Compared

NAME = "top_patches"
COUNT, SIZE = 10_000, 128
ALONE = "forward passes alone"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record."""
    given = options(__doc__, rounds=2, minutes=8).parse_args(arguments)
    count = 200 if given.quick else COUNT
    with workplace() as folder:
        photos = pictures.photo_list(folder / "photos", min(count, 900), longer_side=160)
        common = (photos, "--pictures", count, "--size", SIZE)
        contenders = [
            Contender(name="striate", way=STRIATE, measure=own("top_pass", "look", *common)),
            Contender(name=ALONE, way=BARE, measure=own("top_pass", "forward", *common)),
        ]
        goals = (
            Goal(
                words="within 1.3x of the forward passes alone",
                figure="pass_seconds",
                contender="striate",
                against=(ALONE,),
                at_most=1.3,
            ),
            Goal(words="index < 200 MB", figure="index", contender="striate", at_most=200),
        )
        return carry_out(
            NAME,
            contenders,
            given=given,
            columns=(
                Column("pass_seconds", "pass, s"),
                Column("pictures_per_second", "pictures/s"),
                Column("again_seconds", "second look, s"),
                Column("index", "index, MB"),
                Column("units", "units"),
            ),
            goals=goals,
            compared=Compared("pass_seconds", "striate", inverted=True),
            facts=(f"{count:,} pictures at {SIZE}x{SIZE}, in batches of 32.",),
        )


if __name__ == "__main__":
    sys.exit(main())
