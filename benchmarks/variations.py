"""What each part of augmentation costs, on a processor: 128 pictures made into a batch with it, and as they are.

python benchmarks/variations.py [--rounds N] [--quick]

Digits: 28x28 grey, all of one size. Photographs: as they are, about 400 pixels long, brought to 224x224. One thread.
The figure is processor time, so that work of others on the machine counts little. Strengths are those that `inspect
--augment` shows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

import page
from harness import STRIATE, Contender, carry_out, options
from pictures import data_pack, photographs

PICTURES = 128
LEAST_SECONDS = 0.15  # of a measurement: batches are made until then
KINDS = ("digits", "photographs")


def digits() -> tuple[np.ndarray, Any]:
    """The first of MNIST, and the input that `striate train` brings them to."""
    import gzip

    from striate.models.input_spec import InputSpec

    packed = (data_pack() / "mnist" / "train-images-idx3-ubyte.gz").read_bytes()
    pixels = np.frombuffer(gzip.decompress(packed), dtype=np.uint8, offset=16)[: PICTURES * 784]
    return pixels.reshape(-1, 28, 28, 1).copy(), InputSpec(
        channels=1, height=28, width=28, mean=(0.13,), deviation=(0.31,)
    )


def photos() -> tuple[list[np.ndarray], Any]:
    """Photographs of many classes."""
    from striate.data.decode import decode
    from striate.models.input_spec import InputSpec

    chosen = photographs()[:PICTURES]
    pictures = [decode(file.read_bytes()) for file, _ in chosen]
    return pictures, InputSpec(channels=3, height=224, width=224, mean=(0.5,) * 3, deviation=(0.25,) * 3)


def milliseconds(pictures: Sequence[np.ndarray] | np.ndarray, frame: Any, settings: Mapping[str, Any]) -> float:
    """Processor time of one batch; the least of several, each in another epoch."""
    from striate.data.augment import apply
    from striate.data.augmentation import Augmentation
    from striate.data.drawing import draw
    from striate.data.mixing import mix

    augmentation = Augmentation(**settings)
    rows = np.arange(len(pictures))
    shapes = np.array([picture.shape for picture in pictures])
    found, spent, epoch = [], 0.0, 0
    while spent < LEAST_SECONDS or len(found) < 3:
        began = time.process_time()
        drawn = draw(augmentation, 0, epoch, rows, shapes, frame, uniform=isinstance(pictures, np.ndarray))
        made = apply(pictures, drawn, frame)
        if drawn.mixed is not None and drawn.shares is not None:
            mix(made, np.roll(rows, -1), drawn.mixed, drawn.shares)
        found.append(1000 * (time.process_time() - began))
        spent, epoch = spent + found[-1] / 1000, epoch + 1
    return min(found)


def main() -> int:
    """The exit status."""
    import torch

    from striate.data.principal import colour_axes
    from striate.data.variations import VARIATIONS, settings_for

    given = options(__doc__ or "", rounds=3, minutes=3).parse_args()
    torch.set_num_threads(1)
    sets: dict[str, tuple[Any, Any]] = dict(zip(KINDS, (digits(), photos()), strict=True))

    def measure(kind: str, settings: Mapping[str, Any]) -> Mapping[str, float]:
        pictures, frame = sets[kind]
        plain = milliseconds(pictures, frame, {})
        if not settings:
            return {"whole_ms": plain}
        whole = milliseconds(pictures, frame, settings)
        return {"added_ms": whole - plain, "whole_ms": whole}

    contenders = []
    for kind in KINDS:
        pictures, frame = sets[kind]
        axes = colour_axes(Kept(pictures), frame.channels)
        side = min(frame.height, frame.width)
        contenders.append(Contender(name=f"as they are, {kind}", way=STRIATE, measure=partial(measure, kind, {})))
        for name, part in VARIATIONS.items():
            if part.needs_colour and frame.channels == 1:
                continue
            settings = {**settings_for(name, side), "pca_axes": axes}
            asked: Callable[[], Mapping[str, float]] = partial(measure, kind, settings)
            contenders.append(Contender(name=f"{name}, {kind}", way=STRIATE, measure=asked))
    return carry_out(
        "variations",
        contenders,
        given=given,
        columns=[
            page.Column("added_ms", "added, processor ms for 128"),
            page.Column("whole_ms", "whole batch, processor ms for 128"),
        ],
        goals=[],
        compared=None,
        peers=False,
    )


class Kept:
    """Decoded pictures, as a store gives them."""

    def __init__(self, pictures: Sequence[np.ndarray] | np.ndarray) -> None:
        self.list = pictures
        self.shapes = np.array([picture.shape for picture in pictures])
        self.uniform = isinstance(pictures, np.ndarray)

    def __len__(self) -> int:
        return len(self.list)

    def pixels(self, index: int) -> np.ndarray:
        """One of them."""
        return self.list[index]

    def block(self, indices: np.ndarray) -> np.ndarray:
        """Several of one size."""
        return np.stack([self.list[int(index)] for index in indices])


if __name__ == "__main__":
    sys.exit(main())
