"""NumPy's files: arrays of pictures and of labels in one .npz, or side by side as .npy. Nothing in them is run.

Names as Keras has them (x_train, y_train, x_test, y_test), as MedMNIST has them (train_images, train_labels,
val_images, ...), or without splits (images and labels, x and y, data and target); `class_names` may name the classes.
Several files that are called by splits (train.npz, test.npz) are one. Sizes in a header are checked against what the
archive says, and that against the file, before memory is taken. Format: numpy.lib.format, versions 1 to 3.
"""

from __future__ import annotations

import ast
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from striate.data.samples import Samples
from striate.data.sources import arrays
from striate.data.sources.asked import Asked
from striate.data.sources.gzipped import BLOCK, SPARE, TIMES
from striate.data.sources.listing import SPLIT_NAMES, class_name, listing, shown, some, split_of
from striate.errors import InputError

LARGEST = 8 << 30  # bytes of values in one array
LONGEST_HEADER = 10_000
MAGIC = b"\x93NUMPY"
NUMBER_TYPE = re.compile(r"[<>|=]?([biuf][1248]|f16|[US]\d{1,6})")
PICTURES = ("images", "pictures", "x", "data", "imgs")
LABELS = ("labels", "label", "y", "targets", "target")
CLASS_NAMES = ("class_names", "label_names", "classes", "target_names")
NAME = re.compile(
    rf"(?:(?P<before>{'|'.join(SPLIT_NAMES)})_)?(?P<what>{'|'.join((*PICTURES, *LABELS))})"
    rf"(?:_(?P<after>{'|'.join(SPLIT_NAMES)}))?"
)
ZIPPED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class _Meaning(NamedTuple):
    """What an array is by its name."""

    pictures: bool  # else labels
    split: str  # "" where the name says none


@dataclass(frozen=True)
class _Entry:
    """One array: the file it is in, and its place there."""

    file: Path
    member: str  # of an archive; "" for a .npy
    name: str  # without .npy

    @property
    def called(self) -> str:
        """Its name in sentences."""
        return f"{shown(str(self.file))}: {shown(self.name)}" if self.member else shown(str(self.file))


def recognises(path: Path) -> bool:
    """Whether it is an .npz, or a folder with arrays (.npz, .npy) that are called as pictures and labels are."""
    if not path.is_dir():
        return path.suffix.lower() == ".npz"
    try:
        meanings = [meaning for meaning, _ in _named(_entries(path))]
    except InputError:
        return False
    return {meaning.pictures for meaning in meanings} == {True, False}


def read(path: Path, wanted: Asked | None = None) -> Samples:
    """The table of the arrays of pictures and of labels there. Raises InputError."""
    entries = _entries(path)
    named = _named(entries)
    by_split: dict[str, dict[bool, _Entry]] = {}
    for meaning, entry in named:
        if meaning.pictures in by_split.setdefault(meaning.split, {}):
            what = "pictures" if meaning.pictures else "labels"
            other = by_split[meaning.split][meaning.pictures].name
            raise InputError(f"{shown(str(path))}: two arrays of {what}, '{shown(other)}' and '{shown(entry.name)}'")
        by_split[meaning.split][meaning.pictures] = entry
    whole = {split: pair for split, pair in by_split.items() if len(pair) == 2}
    if not whole:
        raise InputError(
            f"{shown(str(path))}: no array of pictures with one of labels; it holds "
            f"{some([entry.name for entry in entries], 8) or 'nothing'}, and x_train, y_train, x_test, y_test, or "
            "images and labels, are looked for"
        )
    if len(whole) > 1 and "" in whole:
        raise InputError(
            f"{shown(str(path))}: some arrays are called by a split, others not ("
            f"{some([entry.name for pair in whole.values() for entry in pair.values()], 8)})"
        )
    if len(whole) == 1:
        whole = {"": next(iter(whole.values()))}
    order = [*dict.fromkeys(SPLIT_NAMES.values()), ""]
    sets, notes = [], []
    for split in sorted(whole, key=order.index):
        pictures, labels = whole[split][True], whole[split][False]
        pixels = _values(pictures)
        if pixels.ndim == 4 and pixels.shape[3] not in (1, 3) and pixels.shape[1] in (1, 3):
            pixels = np.moveaxis(pixels, 1, 3)
            notes.append("channels, which come first there, moved to the end")
        sets.append(arrays.Set(split, pixels, _values(labels), pictures.called, labels.called))
    files = list(dict.fromkeys(entry.file for pair in whole.values() for entry in pair.values()))
    left = [split for split, pair in by_split.items() if len(pair) < 2]
    if left:
        lonely = some([entry.name for split in left for entry in by_split[split].values()])
        notes.append(f"{lonely} without what belongs to it, not used")
    return arrays.table_of(
        sets,
        source=str(path),
        title=f"arrays in {', '.join(shown(file.name) for file in files[:6])}",
        wanted=wanted or Asked(),
        names_of_numbers=_class_names(entries, path),
        notes=tuple(dict.fromkeys(notes)),
    )


def _entries(path: Path) -> list[_Entry]:
    """Every array that is there. Raises InputError where an archive is none."""
    if path.is_dir():
        files = [path / name for name in listing(path).others if name.lower().endswith((".npz", ".npy"))]
    else:
        files = [path]
    found = []
    for file in files:
        if file.suffix.lower() == ".npy":
            found.append(_Entry(file, "", file.stem))
            continue
        with _readable(file), zipfile.ZipFile(file) as archive:
            names = archive.namelist()
        found += [_Entry(file, name, name.removesuffix(".npy")) for name in names]
    return found


def _named(entries: list[_Entry]) -> list[tuple[_Meaning, _Entry]]:
    """The arrays whose names mean pictures or labels. Where names say no split, that of the file counts."""
    found = []
    files = {entry.file for entry in entries}
    for entry in entries:
        name = entry.name.casefold()
        if name in ("arr_0", "arr_1") and entry.member:
            name = "x" if name == "arr_0" else "y"  # np.savez(file, pictures, labels)
        match = NAME.fullmatch(name)
        if match is None:
            continue
        split = SPLIT_NAMES.get(match["before"] or match["after"] or "", "")
        if not split and len(files) > 1 and entry.member:
            split = split_of(entry.file.name)
        found.append((_Meaning(match["what"] in PICTURES, split), entry))
    return found


def _class_names(entries: list[_Entry], path: Path) -> tuple[str, ...] | None:
    """The texts of an array that names the classes, where there is one."""
    for entry in entries:
        if entry.name.casefold() in CLASS_NAMES:
            values = _values(entry)
            if values.dtype.kind not in "US" or values.ndim != 1:
                continue
            names = tuple(class_name(text.strip()) for text in arrays.texts(values, shown(entry.name)))
            if "" in names or len(set(names)) < len(names):
                raise InputError(f"{shown(str(path))}: '{shown(entry.name)}' must name each class once")
            return names
    return None


def _values(entry: _Entry) -> np.ndarray:
    """The array of an entry. Raises InputError."""
    try:
        with _readable(None):
            if not entry.member:
                with entry.file.open("rb") as file:
                    return read_array(file, entry.file.stat().st_size)
            with zipfile.ZipFile(entry.file) as archive:
                about = archive.getinfo(entry.member)
                most = SPARE + TIMES * about.compress_size
                if about.compress_type not in ZIPPED:
                    raise InputError("packed in a way that NumPy does not write")
                if about.compress_size > entry.file.stat().st_size or about.file_size > most:
                    raise InputError(
                        f"{about.file_size:,} bytes packed into {about.compress_size:,}, which no set of pictures is"
                    )
                with archive.open(about) as member:
                    return read_array(member, about.file_size)  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(f"{entry.called}: {error}") from None


@contextmanager
def _readable(file: Path | None) -> Iterator[None]:
    """What a damaged archive makes `zipfile` raise, as InputError."""
    where = f"{shown(str(file))}: " if file is not None else ""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError) as error:
        raise InputError(f"{where}damaged or cut short ({str(error)[:100]})") from None
    except (RuntimeError, KeyError) as error:  # a password; a name that is not there
        raise InputError(f"{where}cannot be read ({str(error)[:100]})") from None
    except OSError as error:
        raise InputError(f"{where}cannot be read ({error.strerror or error})") from None


def read_array(file: BinaryIO, size: int) -> np.ndarray:
    """The array in the .npy format that `size` bytes of a file hold. Raises InputError (the reason alone)."""
    start = file.read(8)
    if len(start) < 8 or start[:6] != MAGIC or start[6] not in (1, 2, 3):
        raise InputError(f"no array of NumPy (it begins with {start[:6].hex(' ') or 'nothing'})")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(_some(file, width), "little")
    if length > LONGEST_HEADER:
        raise InputError(f"no array of NumPy (a header of {length:,} bytes)")
    kind, shape, by_column = _header(bytes(_some(file, length)))
    total = math.prod(shape) * kind.itemsize
    held = size - 8 - width - length
    sides = " x ".join(map(str, shape)) or "one"
    if not total:
        raise InputError(f"its header says {sides} values: nothing")
    if total > LARGEST or total != held:
        raise InputError(f"its header says {sides} values, {total:,} bytes, but {held:,} are there")
    values: np.ndarray = np.frombuffer(_some(file, total), dtype=kind)
    values = values.reshape(shape, order="F" if by_column else "C")
    return values.astype(kind.newbyteorder("="), copy=False)


def _header(text: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """(number type, shape, whether it lies column by column). Raises InputError."""
    try:
        header = ast.literal_eval(text.decode("latin-1").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise InputError("no array of NumPy (its header cannot be read)") from None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise InputError("no array of NumPy (its header says something else)")
    kind, shape, by_column = header["descr"], header["shape"], header["fortran_order"]
    if isinstance(kind, str) and kind.lstrip("<>|=").startswith("O"):
        raise InputError("an array of objects, which would be code to run; save arrays of numbers (or texts) instead")
    if not isinstance(kind, str) or not NUMBER_TYPE.fullmatch(kind):
        raise InputError(f"an array of {str(kind)[:60]!r}; numbers or texts are needed")
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape) or len(shape) > 8:
        raise InputError("no array of NumPy (its shape is none)")
    if type(by_column) is not bool:
        raise InputError("no array of NumPy (its order is none)")
    return np.dtype(kind), shape, by_column


def _some(file: BinaryIO, count: int) -> bytes | bytearray:
    """`count` bytes. Memory grows with what is there, not with what is asked for. Raises InputError."""
    data = bytearray()
    while len(data) < count:
        part = file.read(min(BLOCK, count - len(data)))
        if not part:
            raise InputError(f"cut short: {len(data):,} of {count:,} bytes are there")
        data += part
    return data
