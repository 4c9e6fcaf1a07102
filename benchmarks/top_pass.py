"""One pass of ResNet-18 over pictures in memory: forward alone, or with the strongest nine pictures of every unit.

    python benchmarks/top_pass.py forward|look FOLDER --pictures 10000 --size 128

FOLDER: photographs, enlarged to the size, shifted and mirrored until there are enough. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BATCH, CLASSES = 32, 1000


def main() -> int:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=("forward", "look"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=10_000, metavar="N")
    parser.add_argument("--size", type=int, default=128, metavar="PIXELS")
    given = parser.parse_args()
    import torch

    from striate.machine.threads import usable_cores
    from striate.networks import build_network

    torch.set_num_threads(usable_cores())
    size = (given.size, given.size)
    network = build_network("resnet18", num_outputs=CLASSES, channels=3, size=size, seed=0).network.eval()
    pictures = load(given.folder, given.pictures, given.size)
    found = forward(network, pictures) if given.way == "forward" else look(network, pictures)
    print(json.dumps(found))
    return 0


def load(folder: Path, count: int, size: int) -> Any:
    """(count, 3, size, size) uint8."""
    import numpy as np
    import torch
    from PIL import Image

    pictures = torch.empty((count, 3, size, size), dtype=torch.uint8)
    files = sorted(folder.rglob("*.jpg"))
    for number in range(count):
        turn, which = divmod(number, len(files))
        if turn == 0:
            with Image.open(files[which]) as picture:
                pixels = np.array(picture.convert("RGB").resize((size, size)))
            pictures[number] = torch.from_numpy(pixels).permute(2, 0, 1)
        else:
            earlier = pictures[which].roll((7 * turn, 11 * turn), dims=(1, 2))
            pictures[number] = earlier.flip(2) if turn % 2 else earlier
    return pictures


def batches(pictures: Any) -> Iterator[Any]:
    """What the network is given: normalised, channels last."""
    import torch

    from striate.views.one_pass import Batch

    for start in range(0, len(pictures), BATCH):
        part = (pictures[start : start + BATCH].float() / 255 - 0.45) / 0.23
        rows = torch.arange(start, start + len(part))
        yield Batch(part.contiguous(memory_format=torch.channels_last), rows, rows % CLASSES)


def forward(network: Any, pictures: Any) -> dict[str, float]:
    """The forward passes alone."""
    import torch

    started = time.perf_counter()
    with torch.inference_mode():
        for batch in batches(pictures):
            network(batch.pictures)
    seconds = time.perf_counter() - started
    return {"pass_seconds": seconds, "pictures_per_second": len(pictures) / seconds}


def look(network: Any, pictures: Any) -> dict[str, float]:
    """All units of the stem, of every block and of the head; then the second look, which finds them kept."""
    from striate.machine.folders import cache_place
    from striate.views.top_index import LOOKS, Index, content_of, look_through

    blocks = [f"features.layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    layers = ["features.relu", *blocks, "head"]
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        index = Index(content_of(network, "benchmark", {}))
        found = look_through(network, lambda: batches(pictures), layers, classes=CLASSES, index=index)
        seconds.append(time.perf_counter() - started)
    kept = sum(path.stat().st_size for path in cache_place(LOOKS).iterdir())
    return {
        "pass_seconds": seconds[0],
        "pictures_per_second": len(pictures) / seconds[0],
        "again_seconds": seconds[1],
        "units": sum(len(one.top.rows) for one in found.values()),
        "index": kept / 1e6,
    }


if __name__ == "__main__":
    sys.exit(main())
