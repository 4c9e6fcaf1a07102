"""The pictures that the benchmarks run on, made from the shared data pack.

Photographs: caltech101-20 and hymenoptera, 22 classes, 920 pictures, each enlarged or reduced so that its longer side
is as asked: 500 pixels is what photographs of ImageNet have.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
QUALITY = 90
IDX = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def data_pack() -> Path:
    """The shared data pack: `../shared` beside the repository, or STRIATE_SHARED. Ends the program without it."""
    folder = Path(os.environ.get("STRIATE_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        print(f"{folder}: the data pack is not there; say where with STRIATE_SHARED=FOLDER", file=sys.stderr)
        raise SystemExit(2)
    return folder


def photographs() -> list[tuple[Path, str]]:
    """(file, class) of every labelled photograph, the classes by turns: the first n hold every class."""
    by_class: dict[str, list[Path]] = {}
    for source in ("caltech101-20", "hymenoptera"):
        with (data_pack() / source / "labels.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                by_class.setdefault(row["class"], []).append(data_pack() / source / row["path"])
    most = max(len(files) for files in by_class.values())
    return [(files[place], name) for place in range(most) for name, files in by_class.items() if place < len(files)]


def photo_folders(target: Path, training: int, *, size: tuple[int, int] | int = 500) -> Path:
    """`target`/train, /validation, /test with class folders: so many for training, one a class for each other split.

    size: of the longer side, or (width, height) of all pictures.
    """
    chosen = photographs()
    classes = len({name for _, name in chosen})
    chosen = chosen[: training + 2 * classes]
    splits = [*["validation"] * classes, *["test"] * classes, *["train"] * training]
    works = [
        (file, target / split / name / f"{number:04d}.jpg", size)
        for number, ((file, name), split) in enumerate(zip(chosen, splits, strict=False))
    ]
    _make(works)
    return target


def photo_list(target: Path, count: int, *, longer_side: int = 500) -> Path:
    """A folder of so many photographs; with the 300 of the ImageNet sample where the others are not enough."""
    files = [file for file, _ in photographs()]
    files += sorted((data_pack() / "imagenet-1k-sample" / "images").glob("*.jpg"))
    _make([(file, target / f"{number:04d}.jpg", longer_side) for number, file in enumerate(files[:count])])
    return target


def _make(works: Sequence[tuple[Path, Path, tuple[int, int] | int]]) -> None:
    for folder in {target.parent for _, target, _ in works}:
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda work: _resized(*work), works):
            pass


def _resized(source: Path, target: Path, size: tuple[int, int] | int) -> None:
    from PIL import Image, ImageOps

    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    if isinstance(size, int):
        factor = size / max(picture.size)
        picture = picture.resize(
            (round(factor * picture.width), round(factor * picture.height)), Image.Resampling.BICUBIC
        )
    else:
        picture = ImageOps.fit(picture, size, Image.Resampling.BICUBIC)
    picture.save(target, quality=QUALITY)


def mnist_raw(target: Path, *, training: int = 60_000, testing: int = 10_000) -> Path:
    """MNIST as torchvision keeps it: `target`/MNIST/raw with the four files unpacked, the first pictures of each."""
    folder = target / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for split, count in (("train", training), ("test", testing)):
        for name, head, size in zip(IDX[split], (16, 8), (28 * 28, 1), strict=True):
            content = gzip.decompress((data_pack() / "mnist" / f"{name}.gz").read_bytes())
            # Bytes 4 to 8 are the number of pictures.
            cut = content[:4] + count.to_bytes(4, "big") + content[8 : head + size * count]
            (folder / name).write_bytes(cut)
    return target


def mnist_png(target: Path, *, training: int = 60_000, testing: int = 10_000) -> Path:
    """MNIST as PNG files: `target`/training/7/00012.png and `target`/testing, as fastai's copy has them."""
    for split, folder, count in (("train", "training", training), ("test", "testing", testing)):
        for label in range(10):
            (target / folder / str(label)).mkdir(parents=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(lambda work: work[0].save(work[1]), _digits(split, target / folder, count)):
                pass
    return target


def _digits(split: str, target: Path, count: int) -> Iterator[tuple[object, Path]]:
    import numpy as np
    from PIL import Image

    pictures, labels = (gzip.decompress((data_pack() / "mnist" / f"{name}.gz").read_bytes()) for name in IDX[split])
    pixels = np.frombuffer(pictures, dtype=np.uint8, offset=16).reshape(-1, 28, 28)
    for number, label in enumerate(labels[8 : 8 + count]):
        yield Image.fromarray(pixels[number]), target / str(label) / f"{number:05d}.png"
