"""The pictures that a network is looked at with: which they are, their digest, and they themselves, a batch at a time.

Legend: N pictures, B of a batch, C channels, H W pixels of the network's input.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.actions.run_source import divided, open_again
from striate.data.in_order import in_order
from striate.data.preparing import prepare_all
from striate.data.reading import digest_of, load_pixels
from striate.data.samples import CLASSIFICATION, TEST, TRAIN, UNLABELLED, VALIDATION, Samples
from striate.data.sources import open_dataset
from striate.data.sources.pictures import find_pictures
from striate.data.streaming import in_turn
from striate.errors import InputError
from striate.models.model import Model
from striate.models.run import Run
from striate.observer import SILENT, Observer
from striate.views.one_pass import Batch
from striate.words import counted

MOST = 10_000  # pictures, evenly spaced where there are more
VALUES_AT_ONCE = 2_000_000  # values of the pictures of a batch: their maps lie in memory, too
MOST_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Looked:
    """The pictures, in the order in which they are looked at; `left_out` grows as some turn out to be unreadable."""

    samples: Samples
    model: Model
    observer: Observer = SILENT
    left_out: list[tuple[int, str]] = field(default_factory=list)

    def digest(self) -> str:
        """Of what the pictures hold, their labels and the names of these; not of where they lie."""
        total = hashlib.blake2b(digest_size=16)
        rows = np.arange(len(self.samples))
        with in_turn(self.samples, rows) as turned:

            def work(row: int) -> bytes:
                try:
                    loaded = turned.pictures.load(int(turned.index[row]))
                except InputError as error:
                    return digest_of(error)
                return _of_pixels(loaded) if isinstance(loaded, np.ndarray) else digest_of(loaded)

            for digest in in_order(work, rows, len, observer=self.observer, what="recognising"):
                total.update(digest)
        total.update(repr((self.samples.targets.tolist(), self.samples.class_names)).encode())
        return total.hexdigest()

    def batches(self) -> Iterator[Batch]:
        """All that can be read, as the network takes them; what cannot is in `left_out` when all are through."""
        self.left_out.clear()
        size = max(1, min(MOST_AT_ONCE, VALUES_AT_ONCE // math.prod(shape_of(self.model))))
        waiting: list[tuple[int, Tensor]] = []
        rows = np.arange(len(self.samples))
        with in_turn(self.samples, rows) as turned:

            def work(row: int) -> tuple[int, Tensor | InputError]:
                try:
                    return row, self.model.prepare(load_pixels(turned, row))
                except InputError as error:
                    return row, error

            for row, prepared in in_order(work, rows, _weight, observer=self.observer, what="looking"):
                if isinstance(prepared, InputError):
                    self.left_out.append((row, str(prepared)))
                    continue
                waiting.append((row, prepared))
                if len(waiting) == size:
                    yield self._batch(waiting)
                    waiting = []
        if waiting:
            yield self._batch(waiting)

    def _batch(self, some: Sequence[tuple[int, Tensor]]) -> Batch:
        rows = torch.tensor([row for row, _ in some])
        # What is no class is not told apart: its pictures count as those of none.
        whole = self.samples.classes if self.samples.task == CLASSIFICATION else np.full(len(self.samples), UNLABELLED)
        targets = torch.from_numpy(np.asarray(whole[rows.numpy()], dtype=np.int64))
        return Batch(self.inputs(_stacked([one for _, one in some])), rows, targets)

    def label(self, row: int) -> str | None:
        """The class of a picture by its name; None where it has none."""
        return self.samples.label(row) or None

    def inputs(self, prepared: Tensor) -> Tensor:
        """(B, C, H, W) prepared pictures -> what the network is given, on its device."""
        return self.model.inputs(prepared.to(self.model.device))

    def prepared(self, rows: Sequence[int]) -> dict[int, Tensor]:
        """(C, H, W) of each of these rows. Raises InputError where one cannot be read any more."""
        asked = np.unique(np.asarray(rows, dtype=np.int64))
        if not len(asked):
            return {}
        with in_turn(self.samples, asked) as turned:
            result = prepare_all(turned, asked, self.model.prepare, observer=self.observer, what="patches")
        for row, reason in result.failures:
            raise InputError(f"{self.samples.names[row]}: could be read before, and cannot now ({reason})")
        return {int(row): picture for row, picture in zip(result.rows, result.pictures, strict=True)}


def of_source(source: Any, *, labels: str | None, root: str | None, observer: Observer) -> Samples:
    """The pictures of a source that was named: labelled in any form that `train` takes, or a folder without labels."""
    try:
        samples = open_dataset(source, labels=labels, root=root)
    except InputError as error:
        found = None
        if isinstance(source, str | Path) and labels is None and Path(source).exists():
            found = find_pictures([source])
            found = found if _any_readable(found) else None
        if found is None:
            raise
        observer.warn(f"looked at without labels ({error})")
        return _evenly(found, observer)
    observer.say(samples.how)
    return _evenly(samples, observer)


def of_run(run: Run, observer: Observer) -> Samples | None:
    """The pictures that the run learned from and chose by; None, and said, where they cannot be had any more."""
    try:
        drawn, _ = divided(*open_again(run))
    except InputError as error:
        observer.warn(f"its pictures cannot be had any more ({error}); name others with --data")
        return None
    chosen = drawn.select(np.flatnonzero(np.isin(drawn.splits, (TRAIN, VALIDATION))))
    return _evenly(chosen, observer)


def shape_of(model: Model) -> tuple[int, int, int]:
    """(C, H, W) of the network's input."""
    spec = model.input_spec
    return spec.channels, spec.height, spec.width


def blank_picture(model: Model) -> Tensor:
    """(1, C, H, W): a grey picture as the network is given it, where only the layers matter."""
    return model.inputs(torch.full((1, *shape_of(model)), 127.0).to(model.device))


def words(samples: Samples) -> str:
    """ "340 training and validation pictures of photos", for a page."""
    splits = [name for name in (TRAIN, VALIDATION, TEST) if bool((samples.splits == name).any())]
    told = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}
    kinds = " and ".join(told[name] for name in splits)
    return f"{counted(len(samples), f'{kinds} picture'.strip())} of {samples.source}"


def _evenly(samples: Samples, observer: Observer) -> Samples:
    if len(samples) <= MOST:
        return samples
    observer.say(f"{MOST:,} of {len(samples):,} pictures are looked at, evenly spaced")
    return samples.select(np.linspace(0, len(samples) - 1, MOST).astype(np.int64))


def _any_readable(samples: Samples) -> bool:
    for row in range(min(len(samples), 8)):
        try:
            load_pixels(samples, row)
        except InputError:
            continue
        return True
    return False


def _of_pixels(pixels: np.ndarray) -> bytes:
    digest = hashlib.blake2b(f"{pixels.shape}{pixels.dtype.str}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def _weight(made: tuple[int, Tensor | InputError]) -> int:
    return made[1].nbytes if isinstance(made[1], Tensor) else 0


def _stacked(pictures: Sequence[Tensor]) -> Tensor:
    """(B, C, H, W); `float32` where any of them is."""
    kinds = {picture.dtype for picture in pictures}
    return torch.stack(list(pictures) if len(kinds) == 1 else [picture.float() for picture in pictures])
