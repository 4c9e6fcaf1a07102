"""A folder of class folders with small pictures, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = ("dark", "light", "striped")


def write_pictures(folder: Path, count: int = 20, side: int = 12, seed: int = 0) -> Path:
    """`count` grey PNG files for each of three classes."""
    rng = np.random.default_rng(seed)
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = rng.uniform(0, 90, (side, side))
            if name == "light":
                pixels += 110
            if name == "striped":
                pixels[::3] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("source") / "patterns")


@pytest.fixture
def make_pictures() -> Callable[..., Path]:
    return write_pictures
