"""CIFAR-10 and CIFAR-100 as their authors give them, in the binary and in the Python version. Krizhevsky, 2009.

Binary (`data_batch_1.bin`, `train.bin`): for each picture a byte of its class (in CIFAR-100 that of its superclass
before it), then 32 x 32 bytes of red, of green, of blue. Python (`data_batch_1`, `train`): a pickled dictionary with
`data` (N, 3072) and `labels`, read by `pickled`, which runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.samples import TEST, TRAIN, Samples
from striate.data.sources.arrays import Pixels
from striate.data.sources.asked import Asked
from striate.data.sources.classes import encode_numbers, read_names
from striate.data.sources.files import read_file
from striate.data.sources.listing import class_name, listing, shown
from striate.data.sources.one_class import refuse
from striate.data.sources.pickled import read_pickled
from striate.errors import InputError
from striate.words import counted

LARGEST = 1 << 30
PICTURE = 3 * 32 * 32  # bytes
FINE, COARSE = "fine", "coarse"


@dataclass(frozen=True)
class _Version:
    """What one of the four versions is called, and how its files are."""

    title: str
    classes: int
    files: re.Pattern[str]
    test: str  # the file of the test split
    sign: str  # a file that must be there, or ""
    names: dict[str, str]  # kind of label -> where its names are
    pickled: bool

    @property
    def labels(self) -> tuple[str, ...]:
        """The kinds of label of each picture, in the order in which the binary version has them."""
        return (FINE,) if self.classes == 10 else (COARSE, FINE)


VERSIONS = (
    _Version(
        "CIFAR-10, binary version",
        10,
        re.compile(r"data_batch_\d\.bin|test_batch\.bin"),
        "test_batch.bin",
        "",
        {FINE: "batches.meta.txt"},
        False,
    ),
    _Version(
        "CIFAR-100, binary version",
        100,
        re.compile(r"(train|test)\.bin"),
        "test.bin",
        "fine_label_names.txt",
        {FINE: "fine_label_names.txt", COARSE: "coarse_label_names.txt"},
        False,
    ),
    _Version(
        "CIFAR-10, Python version",
        10,
        re.compile(r"data_batch_\d|test_batch"),
        "test_batch",
        "",
        {FINE: "label_names"},
        True,
    ),
    _Version(
        "CIFAR-100, Python version",
        100,
        re.compile(r"train|test"),
        "test",
        "meta",
        {FINE: "fine_label_names", COARSE: "coarse_label_names"},
        True,
    ),
)
META = ("batches.meta", "meta")


def recognises(path: Path) -> bool:
    """Whether it is one of the files by its name, or a folder that holds some."""
    return _found(path) is not None


def read(path: Path, wanted: Asked | None = None) -> Samples:
    """The table of all files of a folder, or of one file (then without splits). Raises InputError.

    Of CIFAR-100 the 100 fine classes are learned, or (`--targets coarse`) the 20 superclasses.
    """
    found = _found(path)
    if found is None:
        raise InputError(f"{shown(str(path))}: no file of CIFAR-10 or CIFAR-100")
    version, files = found
    kind = _kind(version, wanted or Asked(), str(path))
    folder = path if path.is_dir() else path.parent
    read_one = _pickled if version.pickled else _binary
    parts, numbers, splits, names = [], [], [], []
    for file in files:
        try:
            pixels, labels = read_one(file, version, kind)
            _check_labels(labels, version, kind)
        except InputError as error:
            raise InputError(f"{shown(str(file))}: {error}") from None
        parts.append(pixels)
        numbers.append(labels)
        splits += [(TEST if file.name == version.test else TRAIN) if len(files) > 1 else ""] * len(labels)
        names += [f"{file.name}#{row}" for row in range(len(labels))]
    if len(set(splits)) < 2:
        splits = [""] * len(splits)
    called = _names(folder, version, kind)
    targets, class_names = encode_numbers(np.concatenate(numbers), called, version.names[kind])
    what = counted(len(class_names), "class", "classes")
    how = f"{version.title}: {counted(len(files), 'file')}, {what}, {counted(len(names), 'picture')}"
    if version.classes == 100:
        how += f"; the {kind} labels (the others: --targets {COARSE if kind == FINE else FINE})"
    return Samples(
        source=str(path),
        how=how,
        pictures=Pixels(parts),
        index=np.arange(len(names), dtype=np.int64),
        names=tuple(names),
        targets=targets,
        class_names=class_names,
        splits=np.array(splits, dtype=np.str_),
    )


def _found(path: Path) -> tuple[_Version, list[Path]] | None:
    """The version, and its files: those of the folder, or the file itself."""
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and not any(version.files.fullmatch(path.name) for version in VERSIONS):
        return None
    there = listing(folder).others
    for version in VERSIONS:
        files = [folder / name for name in there if version.files.fullmatch(name)]
        if not path.is_dir():
            files = [path] if version.files.fullmatch(path.name) else []
        if files and (not version.sign or version.sign in there):
            return version, files
    return None


def _kind(version: _Version, wanted: Asked, source: str) -> str:
    if not wanted.columns:
        refuse(wanted, source, "CIFAR's files")
        return FINE
    kind = wanted.columns[0].casefold()
    if len(wanted.columns) > 1 or kind not in version.labels:
        raise InputError(
            f"{shown(source)}: {version.title} has the labels {' and '.join(version.labels)}, got --targets "
            f"{','.join(wanted.columns)}"
        )
    refuse(Asked(wanted.task), source, "CIFAR's files")
    return kind


def _binary(file: Path, version: _Version, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 32, 32, 3) uint8 and labels (N,) int64. Raises InputError (the reason alone)."""
    data = read_file(file, LARGEST)
    first = len(version.labels)
    size = first + PICTURE
    if not data or len(data) % size:
        raise InputError(
            f"{len(data):,} bytes are no whole number of pictures of {size:,} bytes: cut short, or no file of "
            f"{version.title}"
        )
    values = np.frombuffer(data, dtype=np.uint8).reshape(-1, size)
    return _pictures(values[:, first:]), values[:, version.labels.index(kind)].astype(np.int64)


def _pickled(file: Path, version: _Version, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The same of a pickled dictionary."""
    found = read_pickled(read_file(file, LARGEST))
    pixels = found.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != PICTURE:
        raise InputError(f"no array 'data' of {PICTURE:,} bytes a picture in it; it holds {', '.join(found)[:100]}")
    if not len(pixels):
        raise InputError("no picture in it")
    name = "labels" if version.classes == 10 else f"{kind}_labels"
    labels = found.get(name)
    if isinstance(labels, list) and all(type(label) is int and -1 < label < 1 << 31 for label in labels):
        labels = np.array(labels, dtype=np.int64)
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.shape != (len(pixels),):
        raise InputError(f"'{name}' is no list of {len(pixels):,} whole numbers, one for each picture")
    return _pictures(pixels), labels.astype(np.int64)


def _pictures(planes: np.ndarray) -> np.ndarray:
    """(N, 3072) red, green, blue -> (N, 32, 32, 3)."""
    return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _check_labels(labels: np.ndarray, version: _Version, kind: str) -> None:
    classes = 20 if kind == COARSE else version.classes
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise InputError(
            f"picture {int(wrong[0]):,} has the label {int(labels[wrong[0]])}, but {version.title} has {classes} "
            f"classes (0 to {classes - 1}): damaged, or another format"
        )


def _names(folder: Path, version: _Version, kind: str) -> tuple[str, ...] | None:
    """What the classes are called, where a file says it."""
    if not version.pickled:
        file = folder / version.names[kind]
        return read_names(file) if file.is_file() else None
    for name in META:
        if (folder / name).is_file():
            try:
                found: Any = read_pickled(read_file(folder / name, LARGEST)).get(version.names[kind])
                return _as_names(found)
            except InputError as error:
                raise InputError(f"{shown(str(folder / name))}: {error}") from None
    return None


def _as_names(values: Any) -> tuple[str, ...] | None:
    if values is None:
        return None
    names: Sequence[Any] = values if isinstance(values, list) else ()
    decode: Callable[[Any], str] = lambda one: one.decode("latin-1") if isinstance(one, bytes) else str(one)  # noqa: E731
    texts = tuple(class_name(decode(one)).strip() for one in names)
    if not texts or "" in texts or len(set(texts)) < len(texts):
        raise InputError("its names of classes are no list of different texts")
    return texts
