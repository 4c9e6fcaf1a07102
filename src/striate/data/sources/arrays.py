"""Arrays of pictures in memory: (pictures, labels), or {"train": (pictures, labels), "test": ...}.

Legend: N pictures, H W pixels, C channels (1 or 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from striate.data.samples import Samples
from striate.data.sources.classes import encode
from striate.data.sources.listing import SPLIT_NAMES, class_name
from striate.errors import InputError, unknown
from striate.words import counted

ARRAYS = "arrays"  # `Samples.source` of what has no place
CHECKED = 1 << 22  # values looked at once, so that no temporary is as large as the pictures


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


def read(source: Any) -> Samples:
    """The table of a pair (pictures, labels) or of a mapping from split name to such pairs.

    pictures (N,H,W[,C]): uint8, other integers in 0..255, or floats in [0,1] (multiplied by 255)
    or [0,255]. labels (N,): integers or text. Raises InputError for anything else.
    """
    if isinstance(source, Mapping):
        pairs = [(_split(name), f"{name}: ", pair) for name, pair in source.items()]
        if not pairs:
            raise InputError("arrays: an empty mapping; give {'train': (pictures, labels), 'test': (pictures, labels)}")
        if len({split for split, _, _ in pairs}) < len(pairs):
            raise InputError("arrays: two names of the mapping mean the same split")
    else:
        pairs = [("", "", source)]
    names: list[str] = []
    parts, texts, splits, notes = [], [], [], []
    for split, where, pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(f"{where}arrays come as a pair (pictures, labels)")
        pixels, note = as_pixels(_array(pair[0], f"{where}pictures"), f"{where}pictures")
        labels = _labels(pair[1], f"{where}labels")
        if len(pixels) != len(labels):
            raise InputError(f"{where}{counted(len(pixels), 'picture')}, but {counted(len(labels), 'label')}")
        parts.append(pixels)
        texts.extend(labels)
        splits.extend([split] * len(labels))
        names.extend(f"{split or 'picture'}#{row}" for row in range(len(labels)))
        notes.append(note)
    targets, class_names = encode(texts)
    said = "; ".join(dict.fromkeys(note for note in notes if note))
    return Samples(
        source=ARRAYS,
        how=f"arrays: {counted(len(class_names), 'class', 'classes')}, {counted(len(names), 'picture')}"
        + (f"; {said}" if said else ""),
        pictures=Pixels(parts),
        index=np.arange(len(names), dtype=np.int64),
        names=tuple(names),
        targets=targets,
        class_names=class_names,
        splits=np.array(splits, dtype=np.str_),
    )


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
    if not (low >= 0 and high <= 255):  # NaN fails, too
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


def _array(values: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: no array can be made of them ({error}); all need one size") from None
    if array.dtype == object:
        raise InputError(f"{where}: an array of objects; pictures of one size, as uint8 or floats, are needed")
    return array


def _labels(values: Any, where: str) -> list[str]:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: no array can be made of them ({error})") from None
    if array.ndim != 1:
        raise InputError(f"{where}: one label a picture is needed, shape (N,), got {array.shape}")
    if array.dtype.kind == "f" and not bool((array == np.floor(array)).all() and np.isfinite(array).all()):
        raise InputError(f"{where}: integers or text are needed, got numbers with a fraction, or NaN")
    if array.dtype.kind in "iuf":
        return [str(int(value)) for value in array.tolist()]
    texts = [str(value) if isinstance(value, (str, bool, int)) else "" for value in array.tolist()]
    if "" in texts:
        row = texts.index("")
        raise InputError(f"{where}: integers or text are needed, label {row} is {array[row]!r}")
    return [class_name(text) for text in texts]


def _split(name: Any) -> str:
    split = SPLIT_NAMES.get(str(name).casefold())
    if split is None:
        raise unknown("split", str(name), ["train", "validation", "test"])
    return split
