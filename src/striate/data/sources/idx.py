"""IDX files, the format of MNIST and its relatives, gzip-compressed or not. LeCun, yann.lecun.com/exdb/mnist.

Big-endian: two zero bytes, the number type, the number of dimensions, their sizes, the values.
Pictures have 3 dimensions (N,H,W) or 4 (N,H,W,C); labels one. Sizes are checked against a limit
and against what the file holds before anything is made of them.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.samples import TEST, Samples
from striate.data.sources.arrays import Pixels, as_pixels
from striate.data.sources.classes import encode_numbers, listed_names
from striate.data.sources.gzipped import Stream
from striate.data.sources.listing import SPLIT_NAMES, listing, shown, some
from striate.errors import InputError
from striate.words import counted

LARGEST = 8 << 30  # bytes of values in one file
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NAME = re.compile(r"(?P<set>.*?)[-_.]?(?P<what>images|labels)[-_.]idx\d[-_.][a-z0-9]+(?P<gz>\.gz)?", re.IGNORECASE)


@dataclass(frozen=True)
class _Pair:
    """The pictures and the labels of one set ("train", "t10k", "emnist-letters-test")."""

    name: str
    images: Path
    labels: Path

    @property
    def split(self) -> str:
        last = re.split(r"[-_.]", self.name.casefold())[-1]
        return TEST if last == "t10k" else SPLIT_NAMES.get(last, "")


def recognises(path: Path) -> bool:
    """Whether it is an IDX file by its name, or a folder that holds one."""
    if path.is_dir():
        return any(NAME.fullmatch(name) for name in listing(path).others)
    return NAME.fullmatch(path.name) is not None


def read(path: Path) -> Samples:
    """The table of all sets in a folder, or of the set that a file belongs to (then without splits).

    Classes are called by their numbers, or as `classes.txt` beside the files says. Raises InputError.
    """
    folder = path if path.is_dir() else path.parent
    pairs = _pairs([folder / name for name in listing(folder).others])
    if not path.is_dir():
        wanted = NAME.fullmatch(path.name)
        name = wanted["set"] if wanted else ""
        pairs = [pair for pair in pairs if pair.name == name]
    if not pairs:
        raise InputError(f"{shown(str(path))}: no pair of IDX files (X-images-idx3-ubyte and X-labels-idx1-ubyte)")
    splits = [pair.split if path.is_dir() and len(pairs) > 1 else "" for pair in pairs]
    if len(set(splits)) < len(splits) or (len(splits) > 1 and "" in splits):
        raise InputError(
            f"{shown(str(path))}: several sets of IDX files, {some([pair.images.name for pair in pairs])}, "
            "that are not train and test of one; name one of the files, or keep one train and one test set in a folder"
        )
    names: list[str] = []
    parts, numbers, of_row, notes = [], [], [], []
    for pair, split in zip(pairs, splits, strict=True):
        images, note = as_pixels(_pictures(pair.images), shown(str(pair.images)))
        labels = read_values(pair.labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise InputError(f"{shown(str(pair.labels))}: labels must be whole numbers in one dimension")
        if len(labels) != len(images):
            raise InputError(
                f"{shown(str(pair.images))}: {counted(len(images), 'picture')}, but {counted(len(labels), 'label')} "
                f"in {pair.labels.name}"
            )
        parts.append(images)
        numbers.append(labels.astype(np.int64))
        name = shown(pair.images.name)
        names.extend(f"{name}#{row}" for row in range(len(images)))
        of_row.extend([split] * len(images))
        notes.append(note)
    targets, class_names = encode_numbers(np.concatenate(numbers), listed_names(folder))
    files = ", ".join(shown(pair.images.name) for pair in pairs)
    said = "".join(f"; {note}" for note in dict.fromkeys(notes) if note)
    return Samples(
        source=str(path),
        how=f"IDX files {files}: {counted(len(class_names), 'class', 'classes')}, "
        f"{counted(len(names), 'picture')}{said}",
        pictures=Pixels(parts),
        index=np.arange(len(names), dtype=np.int64),
        names=tuple(names),
        targets=targets,
        class_names=class_names,
        splits=np.array(of_row, dtype=np.str_),
    )


def read_values(path: Path) -> np.ndarray:
    """The array that an IDX file holds, in the machine's byte order. Raises InputError where it is none."""
    try:
        with Stream(path) as stream:
            return _values(stream)
    except InputError as error:
        raise InputError(f"{shown(str(path))}: {error}") from None


def _values(stream: Stream) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= 4:
        raise InputError(f"no IDX file (it begins with {magic.hex(' ') or 'nothing'})")
    header = stream.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise InputError("cut short within its header")
    sizes = struct.unpack(f">{magic[3]}I", header)
    kind = np.dtype(TYPES[magic[2]])
    total = math.prod(sizes) * kind.itemsize
    shape = " x ".join(str(size) for size in sizes)
    if total == 0:
        raise InputError(f"its header says {shape} values: nothing")
    if total > LARGEST or stream.position + total > stream.most:
        raise InputError(f"its header says {shape} values, {total:,} bytes, which the file cannot hold")
    data = stream.read(total)
    if len(data) < total:
        raise InputError(f"its header says {shape} values, {total:,} bytes, but {len(data):,} are there")
    if stream.read(1):
        raise InputError(f"its header says {shape} values, {total:,} bytes, but more are there")
    values = np.frombuffer(data, dtype=kind).reshape(sizes)
    return values.astype(kind.newbyteorder("="), copy=False)


def _pictures(path: Path) -> np.ndarray:
    values = read_values(path)
    # some relatives keep channels in front; (N,C,H,W) cannot be meant otherwise
    if values.ndim == 4 and values.shape[3] not in (1, 3) and values.shape[1] in (1, 3):
        values = np.moveaxis(values, 1, 3)
    return values


def _pairs(entries: Iterable[Path]) -> list[_Pair]:
    """The sets among the files, in the order of their names. A file is preferred to its .gz. Raises InputError."""
    found: dict[str, dict[str, Path]] = {}
    # plain files last, so that they replace their compressed copies
    for path in sorted(entries, key=lambda path: (not path.name.lower().endswith(".gz"), path.name)):
        match = NAME.fullmatch(path.name)
        if match:
            found.setdefault(match["set"], {})[match["what"].lower()] = path
    pairs = []
    for name, files in sorted(found.items()):
        if len(files) < 2:
            there = next(iter(files.values()))
            missing = "labels" if "images" in files else "images"
            raise InputError(f"{shown(str(there))}: the {missing} that belong to it are not beside it")
        pairs.append(_Pair(name, files["images"], files["labels"]))
    # train before test, as people expect them
    return sorted(pairs, key=lambda pair: [*dict.fromkeys(SPLIT_NAMES.values()), ""].index(pair.split))
