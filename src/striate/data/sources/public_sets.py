"""Public sets by their names (`striate train mnist`), through torchvision's dataset classes: rows of `PUBLIC_SETS`.

A set is downloaded only where it was named, into the cache folder, under another name until it is whole; torchvision
compares what it downloads with checksums. With a folder (`--root`) that holds a copy as torchvision lays it out nothing
is downloaded, and nothing is written there. Pictures are opened when they are asked for, or lie in one array, by set.

Legend: N pictures, H W pixels, C channels.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.samples import TEST, TRAIN, VALIDATION, Pictures, Samples
from striate.data.sources.arrays import Pixels
from striate.data.sources.classes import encode_numbers
from striate.data.sources.files import Files
from striate.data.sources.listing import class_name, shown
from striate.errors import InputError
from striate.machine.folders import VARIABLE, cache_folder, cache_place
from striate.words import counted

DOWNLOADED = "datasets"  # in the cache folder
BEGUN = ".part"
TRAIN_AND_TEST: dict[str, dict[str, Any]] = {TRAIN: {"train": True}, TEST: {"train": False}}
BY_SPLIT: dict[str, dict[str, Any]] = {TRAIN: {"split": "train"}, TEST: {"split": "test"}}


@dataclass(frozen=True)
class PublicSet:
    """A set: torchvision's class and its arguments for each split ("" where it has none), and what a person asks first.

    `rows` takes an object of the class: (N pictures as an array or as paths, N class numbers, class names or None).
    `holds` is what torchvision looks for in a folder; `checked` says whether it compares a copy with checksums each
    time, or only what it downloads. `megabytes`: of the download.
    """

    factory: str
    splits: Mapping[str, Mapping[str, Any]]
    rows: Callable[[Any], tuple[Any, Sequence[int], Sequence[str] | None]]
    holds: str
    checked: bool
    sentence: str
    megabytes: int
    licence: str


def _digits(found: Any) -> tuple[Any, Sequence[int], Sequence[str] | None]:
    """(N, H, W); classes called by their numbers, as in the files themselves."""
    return found.data.numpy(), found.targets.tolist(), None


def _grey(found: Any) -> tuple[Any, Sequence[int], Sequence[str] | None]:
    return found.data.numpy(), found.targets.tolist(), found.classes


def _turned(found: Any) -> tuple[Any, Sequence[int], Sequence[str] | None]:
    """The pictures of EMNIST lie on their sides in its files."""
    return found.data.numpy().transpose(0, 2, 1), found.targets.tolist(), found.classes


def _colour(found: Any) -> tuple[Any, Sequence[int], Sequence[str] | None]:
    """(N, H, W, C)."""
    return found.data, found.targets, found.classes


def _channels_first(found: Any) -> tuple[Any, Sequence[int], Sequence[str] | None]:
    """(N, C, H, W) in the files."""
    return found.data.transpose(0, 2, 3, 1), found.labels.tolist(), getattr(found, "classes", None)


def _files(found: Any) -> tuple[Any, Sequence[int], Sequence[str] | None]:
    images = found._images if hasattr(found, "_images") else found._image_files
    return [str(path) for path in images], found._labels, found.classes


def _folder(found: Any) -> tuple[Any, Sequence[int], Sequence[str] | None]:
    return [path for path, _ in found.samples], [number for _, number in found.samples], found.classes


def _imagenette(found: Any) -> tuple[Any, Sequence[int], Sequence[str] | None]:
    names = [first for first, *_ in found.classes]
    return [path for path, _ in found._samples], [number for _, number in found._samples], names


def _caltech(found: Any) -> tuple[Any, Sequence[int], Sequence[str] | None]:
    folder = Path(found.root) / "101_ObjectCategories"
    paths = [
        str(folder / found.categories[number] / f"image_{place:04d}.jpg")
        for number, place in zip(found.y, found.index, strict=True)
    ]
    return paths, found.y, found.categories


UNKNOWN = "none stated"
PUBLIC_SETS: dict[str, PublicSet] = {
    "mnist": PublicSet(
        "MNIST", TRAIN_AND_TEST, _digits, "MNIST/raw/train-images-idx3-ubyte", False,
        "handwritten digits, 28x28 grey: 60,000 and 10,000 of 10 classes", 12, "usually given as CC BY-SA 3.0",
    ),
    "fashion-mnist": PublicSet(
        "FashionMNIST", TRAIN_AND_TEST, _grey, "FashionMNIST/raw/train-images-idx3-ubyte", False,
        "clothes, 28x28 grey: 60,000 and 10,000 of 10 classes", 31, "MIT",
    ),
    "kmnist": PublicSet(
        "KMNIST", TRAIN_AND_TEST, _grey, "KMNIST/raw/train-images-idx3-ubyte", False,
        "handwritten Japanese characters, 28x28 grey: 60,000 and 10,000 of 10 classes", 21, "CC BY-SA 4.0",
    ),
    "emnist": PublicSet(
        "EMNIST", {split: {**one, "split": "balanced"} for split, one in TRAIN_AND_TEST.items()}, _turned,
        "EMNIST/raw/emnist-balanced-train-images-idx3-ubyte", False,
        "handwritten letters and digits, 28x28 grey, the balanced split: 112,800 and 18,800 of 47 classes", 562,
        UNKNOWN,
    ),
    "cifar10": PublicSet(
        "CIFAR10", TRAIN_AND_TEST, _colour, "cifar-10-batches-py/data_batch_1", True,
        "small photographs, 32x32: 50,000 and 10,000 of 10 classes", 170, UNKNOWN,
    ),
    "cifar100": PublicSet(
        "CIFAR100", TRAIN_AND_TEST, _colour, "cifar-100-python/train", True,
        "small photographs, 32x32: 50,000 and 10,000 of 100 classes", 169, UNKNOWN,
    ),
    "svhn": PublicSet(
        "SVHN", BY_SPLIT, _channels_first, "train_32x32.mat", True,
        "digits of house numbers, 32x32: 73,257 and 26,032 of 10 classes", 246, "non-commercial use",
    ),
    "stl10": PublicSet(
        "STL10", BY_SPLIT, _channels_first, "stl10_binary/train_X.bin", True,
        "photographs, 96x96: 5,000 and 8,000 of 10 classes (its unlabelled ones are not used)", 2640, UNKNOWN,
    ),
    "caltech101": PublicSet(
        "Caltech101", {"": {}}, _caltech, "caltech101/101_ObjectCategories", False,
        "photographs of 101 kinds of objects: 8,677 pictures, no splits", 138, "CC BY 4.0",
    ),
    "oxford-pets": PublicSet(
        "OxfordIIITPet", {TRAIN: {"split": "trainval"}, TEST: {"split": "test"}}, _files, "oxford-iiit-pet/images",
        False, "photographs of cats and dogs: 3,680 and 3,669 of 37 breeds", 811, "CC BY-SA 4.0",
    ),
    "flowers102": PublicSet(
        "Flowers102", {**BY_SPLIT, VALIDATION: {"split": "val"}}, _files, "flowers-102/jpg", True,
        "photographs of flowers: 1,020 to learn from, 1,020 for validation, 6,149 for test, of 102 kinds", 345, UNKNOWN,
    ),
    "eurosat": PublicSet(
        "EuroSAT", {"": {}}, _folder, "eurosat/2750", False,
        "satellite pictures of land in Europe, 64x64: 27,000 of 10 classes, no splits", 94, "MIT",
    ),
    "food101": PublicSet(
        "Food101", BY_SPLIT, _files, "food-101/meta", False,
        "photographs of dishes: 75,750 and 25,250 of 101 classes", 4997, "research use",
    ),
    "imagenette": PublicSet(
        "Imagenette", {TRAIN: {"split": "train", "size": "320px"}, TEST: {"split": "val", "size": "320px"}},
        _imagenette, "imagenette2-320", False,
        "photographs of 10 classes of ImageNet, shorter side 320: 9,469 and 3,925", 342, "Apache 2.0",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Downloaded:
    """A set in the cache folder."""

    name: str
    place: Path
    bytes: int
    used: float  # when it was last used, in seconds since 1970


def downloaded() -> list[Downloaded]:
    """The sets that lie in the cache folder."""
    found = []
    for name in PUBLIC_SETS:
        place = cache_place(DOWNLOADED, name)
        with contextlib.suppress(FileNotFoundError):  # there is none, or another process has just removed it
            used = place.stat().st_mtime
            size = sum(path.lstat().st_size for path in place.rglob("*") if path.is_file())
            found.append(Downloaded(name, place, size, used))
    return found


def sweep() -> None:
    """Remove what a download that was stopped has left."""
    for path in cache_place(DOWNLOADED).glob(f"*{BEGUN}"):
        name = path.name.removesuffix(BEGUN)
        if name in PUBLIC_SETS:
            with _alone(name, wait=False) as held:
                if held:
                    shutil.rmtree(path, ignore_errors=True)


def read(name: str, root: Path | None = None) -> Samples:
    """The table of a public set: of the copy in `root`, else of what is or will be downloaded. Raises InputError."""
    part = PUBLIC_SETS[name]
    if root is not None:
        if not (root / part.holds).exists():
            raise InputError(
                f"{shown(str(root))}: no copy of {name} as torchvision lays it out (there is no {part.holds} in it); "
                "to train on whatever it holds, name the folder itself as the source"
            )
        found = _opened(name, part, root, download=False)
        checks = "its files are those that torchvision knows" if part.checked else "of a copy no checksum is compared"
        how = f"copy in {shown(str(root))}, {checks}"
    else:
        place = cache_place(DOWNLOADED, name)
        with _alone(name):
            if not place.is_dir():
                _download(name, part, place)
            with contextlib.suppress(OSError):  # a folder that others share may be read-only: nobody counts its uses
                os.utime(place)
        root = place
        found = _opened(name, part, place, download=False)
        how = "downloaded, and compared with torchvision's checksums"
    return _samples(name, part, root, found, how)


def _samples(name: str, part: PublicSet, root: Path, found: Mapping[str, Any], how: str) -> Samples:
    arrays: list[np.ndarray] = []
    paths: list[str] = []
    titles: list[str] = []
    numbers: list[int] = []
    splits: list[str] = []
    class_names: Sequence[str] | None = None
    for split, dataset in found.items():
        pictures, labels, class_names = part.rows(dataset)
        if isinstance(pictures, np.ndarray):
            arrays.append(pictures)
            titles += [f"{split or name}#{row}" for row in range(len(pictures))]
        else:
            paths += pictures
            titles += [shown(Path(os.path.relpath(path, root)).as_posix()) for path in pictures]
        numbers += labels
        splits += [split] * len(labels)
    names = None if class_names is None else [class_name(one) for one in class_names]
    targets, known = encode_numbers(np.array(numbers, dtype=np.int64), names)
    opened: Pictures = Pixels(arrays) if arrays else Files(paths)
    return Samples(
        source=name,
        how=f"public set {name}, as torchvision has it ({how}): {counted(len(known), 'class', 'classes')}, "
        f"{counted(len(titles), 'picture')}",
        pictures=opened,
        index=np.arange(len(titles), dtype=np.int64),
        names=tuple(titles),
        targets=targets,
        class_names=known,
        splits=np.array(splits, dtype=np.str_),
    )


def _opened(name: str, part: PublicSet, root: Path, *, download: bool) -> dict[str, Any]:
    """torchvision's objects by split. Raises InputError."""
    try:
        from torchvision import datasets
    except ImportError as error:
        raise InputError(f"{name}: public sets need torchvision, which cannot be imported ({error})") from error
    import http.client
    import pickle
    import tarfile
    import zipfile

    # What torchvision, the network and the files themselves are known to raise.
    of_files = (http.client.HTTPException, pickle.UnpicklingError, tarfile.TarError, zipfile.BadZipFile, EOFError)
    refused = (OSError, RuntimeError, ValueError, KeyError, IndexError, TypeError, AssertionError, *of_files)
    factory = getattr(datasets, part.factory)
    try:
        return {split: factory(str(root), download=download, **arguments) for split, arguments in part.splits.items()}
    except refused as error:
        why = _first_line(error)
        if download:
            raise InputError(
                f"{name}: its {part.megabytes:,} MB cannot be downloaded ({why}); download it elsewhere, and name the "
                "folder with the copy: --root FOLDER"
            ) from error
        raise InputError(f"{shown(str(root))}: its copy of {name} cannot be read ({why})") from error


def _first_line(error: BaseException) -> str:
    """What went wrong, on one line: the innermost reason, where torchvision lists its attempts."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in reversed(lines) if line.startswith("<urlopen error")), lines[0] if lines else "")
    return told.removeprefix("<urlopen error ").removesuffix(">") or "damaged"


def _download(name: str, part: PublicSet, place: Path) -> None:
    """The set, whole, at `place`. Raises InputError."""
    begun = cache_folder(DOWNLOADED) / f"{name}{BEGUN}"
    try:
        shutil.rmtree(begun, ignore_errors=True)  # of one that was stopped: what is half unpacked looks whole
        begun.mkdir()
        _opened(name, part, begun, download=True)
        begun.rename(place)
    except OSError as error:
        raise InputError(
            f"{name}: cannot be kept in {place.parent} ({error.strerror or error}); make room, or name another folder "
            f"in {VARIABLE}"
        ) from error
    finally:
        shutil.rmtree(begun, ignore_errors=True)


@contextmanager
def _alone(name: str, *, wait: bool = True) -> Iterator[bool]:
    """One process at a time downloads a set; the others wait for it, and find it. Without `wait`: whether none does."""
    if os.name != "posix":
        yield wait
        return
    import fcntl

    lock = cache_folder(DOWNLOADED) / f"{name}.lock"
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # a folder that others share may be read-only; where nothing is to be written nothing is lost
        yield wait
        return
    try:
        held = wait
        with contextlib.suppress(OSError):  # some disks know no locks; without waiting, it is somebody else's
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        yield held
    finally:
        os.close(descriptor)
