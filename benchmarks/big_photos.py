"""A folder of 300 photographs of 12 megapixels, five epochs of ResNet-18 at 224 pixels: whole processes.

    python benchmarks/big_photos.py [--pictures 300]

The photographs are small ones enlarged to 4000x3000 (JPEG quality 90): what matters is what it costs to read them. The
peers read every one anew in every epoch. In its best setting torchvision's loop decodes at a reduced scale too.
timm's and fastai's loaders read files as torchvision's plain loop does; --libraries runs them as well.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pictures
from harness import BEST, ORDINARY, STRIATE, Contender, carry_out, options, own, peer, workplace
from judging import Goal
from page import Column, Compared
from resnet18_folder import BATCH, EPOCHS, LIBRARIES, RATE, settings

NAME = "big_photos"
SIZE = 224
PIXELS = (4000, 3000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record."""
    parser = options(__doc__, rounds=1, minutes=6)
    parser.add_argument("--libraries", nargs="+", default=["torchvision"], choices=LIBRARIES, metavar="NAME")
    parser.add_argument("--pictures", type=int, default=300, metavar="N", help="for training [300]")
    given = parser.parse_args(arguments)
    count, epochs = (22, 2) if given.quick else (given.pictures, EPOCHS)
    with workplace() as folder:
        source = pictures.photo_folders(folder / "photos", count, size=PIXELS)
        common = (source, SIZE, epochs, 16 if given.quick else BATCH)
        cache = folder / "cache"
        again = own(
            *("watched_run", source, "--out", folder / "run", "--settings", settings(SIZE, epochs)),
            environment={"STRIATE_CACHE": str(cache)},
        )

        def cold() -> Mapping[str, Any]:
            shutil.rmtree(cache, ignore_errors=True)
            return again()

        contenders = [
            Contender(name="striate", way=STRIATE, measure=cold),
            Contender(name="striate, a second run", way=STRIATE, note="with the cache of the first", measure=again),
            *(
                Contender(name=library, way=ORDINARY, measure=peer(f"folder_{library}", *common))
                for library in given.libraries
            ),
            Contender(name="torchvision, best", way=BEST, measure=peer("folder_torchvision", *common, "best")),
        ]
        common_goal = {"figure": "seconds", "contender": "striate", "inverted": True}
        goals = (Goal(words="≥ 4x as fast as the plain loops", against=LIBRARIES, at_least=4.0, **common_goal),)
        return carry_out(
            NAME,
            contenders,
            given=given,
            columns=(Column("seconds", "whole process, s"), Column(RATE, "pictures/s from the second epoch on")),
            goals=goals,
            compared=Compared("seconds", "striate", inverted=True),
            facts=(f"{count} training pictures of {PIXELS[0]}x{PIXELS[1]} pixels, {epochs} epochs.",),
        )


if __name__ == "__main__":
    sys.exit(main())
