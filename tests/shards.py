"""Tars of small pictures for tests: KEY.png beside KEY.cls, sorted by class."""

from __future__ import annotations

import gzip
import io
import tarfile

import numpy as np
from PIL import Image

CLASSES = ("dark", "light", "striped")


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def tar_of(members, compressed=False) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), 1) if compressed else raw.getvalue()


def picture(label: int, number: int, shape: tuple[int, int]) -> np.ndarray:
    """A dark, a light or a striped picture."""
    rng = np.random.default_rng((label, number))
    pixels = rng.uniform(0, 90, shape)
    if label == 1:
        pixels += 110
    if label == 2:
        pixels[::3] += 150
    return pixels.astype(np.uint8)


def shards(count: int = 6, each: int = 20, *, ragged: bool = False, compressed: bool = False, split: str = "part"):
    """{file name: bytes of a tar}: `count` shards of `each` pictures, each of one class."""
    made = {}
    for shard in range(count):
        label, members = shard % len(CLASSES), []
        for number in range(each):
            shape = (12 + number % 3, 12 + number % 4) if ragged else (12, 12)
            key = f"{shard:03}-{number:04}"
            members.append((f"{key}.png", encoded(picture(label, 1000 * shard + number, shape))))
            members.append((f"{key}.cls", CLASSES[label].encode()))
        made[f"{split}-{shard:03}.tar" + ".gz" * compressed] = tar_of(members, compressed)
    return made


def write_shards(folder, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in shards(**options).items():
        (folder / name).write_bytes(data)
    return folder
