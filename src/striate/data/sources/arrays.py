"""Arrays of pictures in memory: (pictures, labels), or {"train": (pictures, labels), "test": ...}. Tensors, too.

Legend: N pictures, H W pixels, C channels (1 or 3), K classes, labels or numbers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from striate.data.samples import CLASSIFICATION, Samples
from striate.data.sources.asked import Asked
from striate.data.sources.classes import encode, encode_numbers
from striate.data.sources.columns import Column, Rows
from striate.data.sources.listing import SPLIT_NAMES, class_name
from striate.data.sources.target_columns import read_targets
from striate.data.sources.targets import NUMBER, Targets
from striate.errors import InputError, unknown
from striate.words import counted

ARRAYS = "arrays"  # `Samples.source` of what has no place
CHECKED = 1 << 22  # values looked at once, so that no temporary is as large as the pictures
FIRST_MOVED = "channels, which come first in a tensor, moved to the end"


class Pixels:
    """`Pictures` of arrays (n, H, W[, C]), one after the other; they may differ in size."""

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self.parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in self.parts])

    def load(self, index: int) -> np.ndarray:
        """The pixels (H, W[, C]) of picture `index`: a view."""
        part = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[part - 1]) if part else 0
        pixels: np.ndarray = self.parts[part][index - start]
        return pixels

    def grey_block(self, index: np.ndarray) -> np.ndarray | None:
        """Pictures `index` (n,) as one new array (n, H, W, 1) `uint8`; None where any of all is of another kind."""
        shape = self.parts[0].shape[1:]
        if not all(part.dtype == np.uint8 and part.shape[1:] == shape for part in self.parts):
            return None
        if not (len(shape) == 2 or shape[2] == 1):
            return None  # each of them may be grey or not
        block = np.empty((len(index), *shape[:2], 1), dtype=np.uint8)
        starts = np.append(0, self._ends)
        for part, first, end in zip(self.parts, starts, self._ends, strict=False):
            here = np.flatnonzero((index >= first) & (index < end))
            block[here] = part[index[here] - first].reshape(len(here), *shape[:2], 1)
        return block


@dataclass(frozen=True, eq=False)
class Set:
    """Pictures and labels of one split as they were given, and what they are called in sentences."""

    split: str
    pictures: np.ndarray
    labels: np.ndarray
    pictures_named: str
    labels_named: str


def read(source: Any, wanted: Asked | None = None) -> Samples:
    """The table of a pair (pictures, labels) or of a mapping from split name to such pairs.

    pictures (N,H,W[,C]), or a tensor (N,C,H,W): uint8, other integers in 0..255, or floats in [0,1] (multiplied by
    255) or [0,255]. labels (N,): whole numbers or text (classes), or numbers with fractions; (N,K): of 0 and 1
    (labels), shares that sum to 1 (soft labels), or numbers. Raises InputError for anything else.
    """
    if isinstance(source, Mapping):
        pairs = [(_split(name), f"{name}: ", pair) for name, pair in source.items()]
        if not pairs:
            raise InputError("arrays: an empty mapping; give {'train': (pictures, labels), 'test': (pictures, labels)}")
        if len({split for split, _, _ in pairs}) < len(pairs):
            raise InputError("arrays: two names of the mapping mean the same split")
    else:
        pairs = [("", "", source)]
    sets, notes = [], []
    for split, where, pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(f"{where}arrays come as a pair (pictures, labels)")
        pictures, note = of_tensor(pair[0])
        sets.append(
            Set(
                split,
                _array(pictures, f"{where}pictures"),
                _labels(pair[1], f"{where}labels"),
                f"{where}pictures",
                f"{where}labels",
            )
        )
        notes += [note] if note else []
    return table_of(sets, source=ARRAYS, title="arrays", wanted=wanted or Asked(), notes=tuple(dict.fromkeys(notes)))


def table_of(
    sets: Sequence[Set],
    *,
    source: str,
    title: str,
    wanted: Asked,
    names_of_numbers: tuple[str, ...] | None = None,
    notes: Sequence[str] = (),
) -> Samples:
    """The table of some sets of arrays, each a split or all without. Raises InputError."""
    names: list[str] = []
    parts, splits, said = [], [], list(notes)
    sets = [replace(one, labels=_one_or_several(one.labels, one.labels_named)) for one in sets]
    for one in sets:
        pixels, note = as_pixels(one.pictures, one.pictures_named)
        if len(pixels) != len(one.labels):
            labels = f"{counted(len(one.labels), 'label')} in {one.labels_named}"
            raise InputError(f"{one.pictures_named}: {counted(len(pixels), 'picture')}, but {labels}")
        parts.append(pixels)
        splits.extend([one.split] * len(pixels))
        names.extend(f"{one.split or 'picture'}#{row}" for row in range(len(pixels)))
        said += [note] if note and note not in said else []
    targets = _targets(sets, wanted, names_of_numbers, names)
    how = f"{title}: {targets.what}, {counted(len(names), 'picture')}"
    found = Samples(
        source=source,
        how="; ".join([how, *targets.notes, *said]),
        pictures=Pixels(parts),
        index=np.arange(len(names), dtype=np.int64),
        names=tuple(names),
        targets=targets.values,
        class_names=targets.names,
        splits=np.array(splits, dtype=np.str_),
        doubts=targets.doubts,
        task=targets.task,
    )
    return found.without(targets.left_out)


def _targets(
    sets: Sequence[Set], wanted: Asked, names_of_numbers: tuple[str, ...] | None, names: Sequence[str]
) -> Targets:
    """What the labels of all sets say together."""
    shapes = {one.labels.shape[1:] for one in sets}
    if len(shapes) > 1:
        raise InputError(f"{sets[1].labels_named}: other labels for each picture than in {sets[0].labels_named}")
    where = sets[0].labels_named
    values = np.concatenate([one.labels for one in sets]) if len(sets) > 1 else sets[0].labels
    fractions = values.dtype.kind == "f" and not bool((values == np.floor(values)).all() and np.isfinite(values).all())
    if values.ndim == 1 and wanted.task in (None, CLASSIFICATION) and not wanted.columns:
        if fractions and (wanted.task == CLASSIFICATION or not bool((values > np.floor(values)).any())):
            raise InputError(f"{where}: integers or text are needed, got numbers with a fraction, or NaN")
        if not fractions:
            return _classes(values, names_of_numbers, where)
    if values.ndim == 1:
        columns = [Column(NUMBER, values.tolist())]
    else:
        known = names_of_numbers is not None and len(names_of_numbers) == values.shape[1]
        called = names_of_numbers if names_of_numbers is not None and known else map(str, range(values.shape[1]))
        columns = [Column(name, column.tolist()) for name, column in zip(called, values.T, strict=True)]
    if wanted.columns:
        by_name = {column.name: column for column in columns}
        strange = [name for name in wanted.columns if name not in by_name]
        if strange:
            raise InputError(f"{where}: {unknown('column', strange[0], by_name)}")
        columns = [by_name[name] for name in wanted.columns]
    try:
        found = read_targets(columns, wanted.task, Rows(lambda row: f"label {row}", lambda row: names[row]))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return found


def _classes(values: np.ndarray, names_of_numbers: tuple[str, ...] | None, where: str) -> Targets:
    if names_of_numbers is not None and values.dtype.kind in "iuf":
        targets, class_names = encode_numbers(values.astype(np.int64), names_of_numbers, "'class_names'")
    else:
        targets, class_names = encode(texts(values, where))
    what = counted(len(class_names), "class", "classes")
    return Targets(targets, class_names, CLASSIFICATION, what)


def as_pixels(values: np.ndarray, where: str) -> tuple[np.ndarray, str]:
    """An array of pictures -> (N,H,W[,C]) uint8, or float32 in [0,255], and a sentence on what was done, or "".

    Raises InputError that begins with `where`.
    """
    if values.ndim not in (3, 4):
        raise InputError(f"{where}: shape (N, H, W) or (N, H, W, C) is needed, got {values.shape}")
    if values.ndim == 4 and values.shape[3] not in (1, 3):
        hint = "; move the channels to the end" if values.shape[1] in (1, 3) else ""
        raise InputError(f"{where}: 1 or 3 channels at the end are needed, got shape {values.shape}{hint}")
    if 0 in values.shape:
        raise InputError(f"{where}: empty, its shape is {values.shape}")
    if values.dtype == np.uint8:
        return values, ""
    if values.dtype.kind not in "iuf":
        raise InputError(f"{where}: uint8 or floats are needed, got {values.dtype}")
    low, high = _range(values)
    if math.isnan(low) or math.isnan(high):
        raise InputError(f"{where}: values in [0, 255] or [0, 1] are needed, but some are NaN, which is no number")
    if not (low >= 0 and high <= 255):
        raise InputError(f"{where}: values in [0, 255] or [0, 1] are needed, got {low:g} to {high:g}")
    if values.dtype.kind in "iu":
        return values.astype(np.uint8), f"{values.dtype} values taken as 0 to 255"
    if high <= 1:
        return np.multiply(values, 255, dtype=np.float32), "floats in [0, 1] multiplied by 255"
    return values.astype(np.float32), "floats taken as 0 to 255"


def _range(values: np.ndarray) -> tuple[float, float]:
    lines = max(1, CHECKED // max(1, values[0].size))
    lows, highs = [], []
    for start in range(0, len(values), lines):
        some = values[start : start + lines]
        lows.append(float(some.min()))
        highs.append(float(some.max()))
    return float(np.min(lows)), float(np.max(highs))  # NaN goes through min and max


def of_tensor(values: Any) -> tuple[Any, str]:
    """A tensor of torch as an array whose channels are at its end, and what was done, or ""; others as they are."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(values, torch.Tensor):
        return values, ""
    try:
        tensor = values.detach().cpu()
        if tensor.dtype in (torch.bfloat16, torch.float16):
            tensor = tensor.float()
        array: np.ndarray = tensor.numpy()
    except (TypeError, RuntimeError) as error:  # sparse, quantised, without data
        reason = str(error).splitlines()[0]
        raise InputError(f"a tensor of which no array can be made ({reason}); give a plain one") from None
    if array.ndim == 4 and array.shape[1] in (1, 3):
        return np.moveaxis(array, 1, 3), FIRST_MOVED
    return array, ""


def _array(values: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: no array can be made of them ({error}); all need one size") from None
    if array.dtype == object:
        raise InputError(f"{where}: an array of objects; pictures of one size, as uint8 or floats, are needed")
    return array


def _labels(values: Any, where: str) -> np.ndarray:
    """Labels as an array."""
    values = of_tensor(values)[0]
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: no array can be made of them ({error})") from None


def _one_or_several(labels: np.ndarray, where: str) -> np.ndarray:
    """(N,) or (N, K); a single column is no column."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim not in (1, 2) or 0 in labels.shape[1:]:
        raise InputError(f"{where}: one label a picture is needed, shape (N,) or (N, K), got {labels.shape}")
    return labels


def texts(array: np.ndarray, where: str) -> list[str]:
    """Labels (N,), whole numbers or texts, as texts. Raises InputError."""
    if array.dtype.kind in "iuf":
        return [str(int(value)) for value in array.tolist()]
    try:
        values = np.char.decode(array, "latin-1").tolist() if array.dtype.kind == "S" else array.tolist()
    except ValueError:  # a number that is no character
        raise InputError(f"{where}: integers or text are needed, got texts that are none") from None
    found = [str(value) if isinstance(value, (str, bool, int)) else "" for value in values]
    if "" in found:
        row = found.index("")
        raise InputError(f"{where}: integers or text are needed, label {row} is {array[row]!r}")
    return [class_name(text) for text in found]


def _split(name: Any) -> str:
    split = SPLIT_NAMES.get(str(name).casefold())
    if split is None:
        raise unknown("split", str(name), ["train", "validation", "test"])
    return split
