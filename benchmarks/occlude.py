"""Striate's occlusion, timed as its peers are. NETWORK REFERENCE SIZE PRECISION [whole]: the plain way."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from striate.views.occlusion import occlusion, over_pixels

sys.path.append(str(Path(__file__).resolve().parent / "peers"))


def main(name: str, reference: str, size: str, precision: str, *way: str) -> None:
    """Time one occlusion after one forward pass."""
    from occluded import SQUARE, STRIDE, TARGET, network, picture, say

    model, given = network(name), picture(int(size))
    with torch.no_grad():
        model(given)
    began = time.perf_counter()
    found = occlusion(
        model, given, TARGET, size=SQUARE, stride=STRIDE, precision=precision, incremental="whole" not in way
    )
    seconds = time.perf_counter() - began
    fall = found.clean_score[..., None, None] - found.score
    say(seconds, over_pixels(fall, found.squares, found.picture_size)[0, 0], reference)


if __name__ == "__main__":
    main(*sys.argv[1:])
