"""What a source holds, counted before any training: every picture is read once, none is kept.

Legend: N pictures, K classes, C channels (1 where all pictures are grey, else 3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from striate.data.contact_sheet import Thumbnail, rows_for_sheet, thumbnail_of
from striate.data.decode import Header, Limits, decode, probe
from striate.data.distribution import Distribution, distributions
from striate.data.duplicates import find_equal
from striate.data.in_order import in_order
from striate.data.reading import checksum, load_pixels
from striate.data.samples import REGRESSION, Samples
from striate.data.splits import assign_splits
from striate.data.streaming import in_turn
from striate.errors import InputError, require
from striate.observer import SILENT, Observer
from striate.words import none_can

# Means and deviations are those of a regular grid of at most this many pixels of a picture.
GRID = 250_000
# A picture whose deviation is below this share of the full range in every channel shows nearly nothing.
CONSTANT = 0.01
ARRAY = "array"


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Everything about a source before training. Plain values only: `to_json` is what `--json` prints.

    `found` = `used` + `left_out_count`. Groups of equal pictures are names; `mean` and `deviation` (C,) are in
    [0, 1] units, each picture counted alike; `sizes` are as shown (after the EXIF orientation).
    """

    source: str
    how: str
    splits: str  # how the splits came about, or why there are none
    task: str  # what the targets ask for, as in `striate.tasks.TASKS`
    class_names: tuple[str, ...]  # K: of the classes, the labels or the numbers
    pictures: dict[str, int]  # by split
    counts: dict[str, tuple[int, ...]]  # pictures a class or with a label (K,) by split; none of numbers
    distributions: tuple[Distribution, ...]  # of numbers, in all and by split
    unlabelled: int
    found: int
    used: int
    left_out: tuple[tuple[str, str], ...]  # (name, reason)
    left_out_count: int
    sizes: dict[str, dict[str, float]]  # width, height, aspect_ratio: min, median, max
    formats: dict[str, int]
    modes: dict[str, int]
    orientations: dict[str, int]
    bits_a_channel: dict[str, int]
    grey_share: float
    constant_share: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    imbalance: float | None  # pictures of the largest class for one of the smallest
    duplicates: tuple[tuple[str, ...], ...]  # equal, inside a split
    leaks: tuple[tuple[str, ...], ...]  # equal, across splits
    conflicts: tuple[tuple[str, ...], ...]  # equal, with different labels
    fields: tuple[Distribution, ...] = ()  # of a table of numbers, whose rows are no pictures

    def to_json(self) -> dict[str, Any]:
        """Plain lists, texts and numbers."""
        return {name: _plain(value) for name, value in asdict(self).items()}


class _Seen(NamedTuple):
    """What is kept of one picture."""

    header: Header
    channels: int
    checksum: int
    mean: np.ndarray  # (3,) in [0, 1] units
    square: np.ndarray  # (3,) mean of the squares
    constant: bool
    thumbnail: bytes | None


def survey(
    samples: Samples,
    *,
    seed: int = 0,
    limits: Limits | None = None,
    threads: int | None = None,
    observer: Observer = SILENT,
    strict: bool = False,
) -> tuple[Survey, tuple[Thumbnail, ...], Samples]:
    """Read every picture of `samples`: what is there, a contact sheet, and the readable rows in their splits.

    Raises InputError where there is no picture, where none can be read, and, if `strict`, where one cannot.
    """
    sheet = rows_for_sheet(samples)
    chosen = {row for rows in sheet.values() for row in rows}

    def look(row: int) -> tuple[int, _Seen | InputError]:
        try:
            return row, _look(turned, row, limits, thumbnail=row in chosen)
        except InputError as error:
            return row, error

    def weigh(result: tuple[int, _Seen | InputError]) -> int:
        seen = result[1]
        return seen.header.width * seen.header.height * seen.channels if isinstance(seen, _Seen) else 0

    found = len(samples) + len(samples.left_out)
    require(found > 0, f"{samples.source}: there are no pictures")
    totals = _Totals()
    failures: list[tuple[int, str]] = []
    small: dict[int, bytes] = {}
    with in_turn(samples, range(len(samples))) as turned:
        for row, result in in_order(
            look, range(len(samples)), weigh, threads=threads, observer=observer, what="looking"
        ):
            if isinstance(result, InputError):
                failures.append((row, str(result)))
                continue
            if result.thumbnail is not None:
                small[row] = result.thumbnail
            totals.add(result)
    kept = samples.without(failures)
    if kept.left_out and (strict or not len(kept)):
        first = f"the first is {kept.left_out[0].name} ({kept.left_out[0].reason})"
        if not len(kept):
            raise InputError(f"{samples.source}: {none_can(found)} be used, {first}")
        raise InputError(
            f"{samples.source}: {len(kept.left_out):,} of {found:,} pictures cannot be used, {first}; "
            "mend them, or leave --strict away"
        )
    kept, words = in_splits(kept, seed)
    thumbnails = tuple(
        Thumbnail(name=samples.names[row], label=label, picture=small[row])
        for label, rows in sheet.items()
        for row in rows
        if row in small
    )
    return _counted(kept, words, totals), thumbnails, kept


class _Totals:
    """What has been seen so far: a few numbers a picture, so that millions of them fit."""

    def __init__(self) -> None:
        self.checksums: list[int] = []
        self.widths: list[int] = []
        self.heights: list[int] = []
        self.formats: Counter[str] = Counter()
        self.modes: Counter[str] = Counter()
        self.orientations: Counter[str] = Counter()
        self.bits: Counter[str] = Counter()
        self.grey = self.constant = 0
        self.mean = self.square = np.zeros(3)

    def add(self, seen: _Seen) -> None:
        header = seen.header
        self.checksums.append(seen.checksum)
        self.widths.append(header.width)
        self.heights.append(header.height)
        self.formats[header.format] += 1
        self.modes[header.mode] += 1
        self.orientations["as stored" if header.orientation == 1 else "turned by EXIF"] += 1
        self.bits[str(header.bits)] += 1
        self.grey += seen.channels == 1
        self.constant += seen.constant
        self.mean = self.mean + seen.mean
        self.square = self.square + seen.square


def in_splits(samples: Samples, seed: int) -> tuple[Samples, str]:
    """The rows in their splits, and how those came about; without splits, and why, where there can be none."""
    try:
        return assign_splits(samples, seed=seed)
    except InputError as error:
        # To look at what cannot be trained on is what a survey is for.
        return samples, f"no splits: {error}"


def of_table(samples: Samples, splits: str, checksums: np.ndarray) -> Survey:
    """What the table says, and which rows are equal by their checksums (N,). What only pictures have is empty."""
    equal = find_equal(checksums, samples)
    numbers = samples.task == REGRESSION
    counts = {} if numbers else {split: tuple(map(int, column)) for split, column in samples.counts().items()}
    by_class = [sum(column) for column in zip(*counts.values(), strict=True)] or [0]

    def names(groups: Sequence[tuple[int, ...]]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(samples.names[row] for row in group) for group in groups)

    return Survey(
        source=samples.source,
        how=samples.how,
        splits=splits,
        task=samples.task,
        class_names=samples.class_names,
        pictures=samples.pictures_by_split(),
        counts=counts,
        distributions=distributions(samples.class_names, samples.targets, samples.splits, samples.labelled)
        if numbers
        else (),
        unlabelled=int((~samples.labelled).sum()),
        found=len(samples) + len(samples.left_out),
        used=len(samples),
        left_out=tuple((one.name, one.reason) for one in samples.left_out),
        left_out_count=len(samples.left_out),
        sizes={},
        formats={},
        modes={},
        orientations={},
        bits_a_channel={},
        grey_share=0.0,
        constant_share=0.0,
        mean=(),
        deviation=(),
        imbalance=None if numbers else round(max(by_class) / max(1, min(by_class)), 4),
        duplicates=names(equal.inside),
        leaks=names(equal.across),
        conflicts=names(equal.conflicting),
    )


def _counted(samples: Samples, splits: str, totals: _Totals) -> Survey:
    used = len(samples)
    width, height = np.array(totals.widths, dtype=np.float64), np.array(totals.heights, dtype=np.float64)
    channels = 1 if totals.grey == used else 3
    mean = totals.mean / used
    deviation = np.sqrt(np.maximum(totals.square / used - mean**2, 0))
    return replace(
        of_table(samples, splits, np.array(totals.checksums, dtype=np.uint64)),
        sizes={"width": _spread(width), "height": _spread(height), "aspect_ratio": _spread(width / height)},
        formats=_ordered(totals.formats),
        modes=_ordered(totals.modes),
        orientations=_ordered(totals.orientations),
        bits_a_channel=_ordered(totals.bits),
        grey_share=totals.grey / used,
        constant_share=totals.constant / used,
        mean=tuple(round(float(value), 6) for value in mean[:channels]),
        deviation=tuple(round(float(value), 6) for value in deviation[:channels]),
    )


def _look(samples: Samples, row: int, limits: Limits | None, *, thumbnail: bool) -> _Seen:
    loaded = samples.pictures.load(int(samples.index[row]))
    if isinstance(loaded, np.ndarray):
        pixels = load_pixels(samples, row)
        shape = loaded.shape
        header = Header(
            width=shape[1],
            height=shape[0],
            mode=f"{1 if len(shape) == 2 else shape[2]} x {loaded.dtype}",
            format=ARRAY,
            orientation=1,
            bits=8 * loaded.dtype.itemsize,
        )
    else:
        pixels, header = decode(loaded, limits), probe(loaded, limits)
    step = int(np.ceil(np.sqrt(max(1, pixels.shape[0] * pixels.shape[1] / GRID))))
    values = pixels[::step, ::step].reshape(-1, pixels.shape[2]) / np.float32(255)
    mean = values.mean(axis=0, dtype=np.float64)
    square = np.square(values).mean(axis=0, dtype=np.float64)
    return _Seen(
        header=header,
        channels=pixels.shape[2],
        checksum=checksum(pixels),
        mean=np.broadcast_to(mean, 3),
        square=np.broadcast_to(square, 3),
        constant=bool((square - mean**2 < CONSTANT**2).all()),
        thumbnail=thumbnail_of(pixels) if thumbnail else None,
    )


def _spread(values: np.ndarray) -> dict[str, float]:
    numbers = {"min": values.min(), "median": np.median(values), "max": values.max()}
    return {name: round(float(value), 4) for name, value in numbers.items()}


def _ordered(counts: Counter[str]) -> dict[str, int]:
    """Most frequent first; equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value
