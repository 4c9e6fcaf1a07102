"""Order, assembly, and the next batch ready while this one trains.

The order of rows and the partners of mixing are functions of (seed, epoch), what happens to a picture of
(seed, epoch, row): batches are bit-equal with and without the thread, from any step on, and however they
are divided. Legend: n pictures, B batch, C channels, h w of the network's input.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np

from striate.data.augment import apply
from striate.data.augmentation import Augmentation
from striate.data.balanced import AGAIN, balanced_order
from striate.data.drawing import draw
from striate.data.draws import permutation
from striate.data.made_ahead import made_ahead
from striate.data.pixel_store import Pixels
from striate.data.placement import Placement
from striate.data.resample import Frame
from striate.data.streaming import Streamed
from striate.errors import InputError, require
from striate.shown import as_html

if TYPE_CHECKING:
    import torch

    from striate.machine.beside import Beside

PURPOSE = 1  # of the draws of the order (see `draws.uniforms`)
AHEAD = 2  # batches that may be ready
VALUES_TOGETHER = 800_000  # of the pictures that are made at once, where they are small


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step learns from."""

    pictures: torch.Tensor  # (B, C, h, w) uint8, or float32 in [0, 255], channels last in memory
    targets: torch.Tensor  # what the task made of them
    rows: np.ndarray  # (B,) int64, into the table
    weights: torch.Tensor | None  # (B,) float32, how much each counts in the loss
    # Of streamed pictures, those that belong here and could not be read: row of the source's table -> reason.
    unread: Mapping[int, str] = field(default_factory=dict)
    # Of what is made on an accelerator: when it is done.
    event: torch.cuda.Event | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return as_html(self)


class Targets(Protocol):
    """What the batches ask of a task; `tasks.Task` is one."""

    def targets(self, rows: np.ndarray, placement: Placement | None) -> torch.Tensor: ...
    def mix(self, targets: torch.Tensor, partners: torch.Tensor, share: torch.Tensor) -> torch.Tensor: ...


class Batches:
    """The training pictures as batches, in a new order each epoch.

    `pictures` are those of `rows` (n,), their numbers in the table that the task was bound to (0..n-1
    where None), in that order; `weights` (n,) goes with `rows`, and so does `turns` (n, 2), how far each may be turned
    (see `draw`). With `classes` (n,) those are drawn equally often
    (`balanced.py`), instead of each picture once. The last batch of an epoch is left out
    where it is not whole and there is a whole one (`drop_last`). Of each batch of `batch_size`, rank
    `rank` of `ranks` gets its own slice; slices differ in length by one at most. With `ahead`, one thread makes up to
    two batches in advance: for steps on an accelerator, and for pictures that are read meanwhile.

    With `device`, "cpu" or a CUDA device, draws and matrices are made as ever, but pixels are copied there as they are
    and varied there, all of a batch at once, and batches lie there. None: by the processor, picture by picture. The two
    agree within a level of 255 or two (see `warp_at_once.py`). What of the variation only a processor does
    (`Augmentation.by_processor`) has whole batches made there, and copied.

    Mixing: the partner of a picture is the next one in the order of the epoch (the first, for the last).
    The order is random, so the pairs are; and a batch needs but one picture more, wherever it is cut.
    Weights are mixed as the pictures are.

    Pictures that are streamed come in the order of their source (`shard_order`), of which each rank has its own part;
    those that cannot be read are missing from their batch.

    Raises InputError without pictures and where `batch_size` cannot be shared among the ranks.
    """

    def __init__(
        self,
        pictures: Pixels | Streamed,
        *,
        task: Targets,
        frame: Frame,
        batch_size: int,
        seed: int,
        rows: np.ndarray | None = None,
        augmentation: Augmentation | None = None,
        weights: np.ndarray | None = None,
        classes: np.ndarray | None = None,
        turns: np.ndarray | None = None,
        drop_last: bool = True,
        ahead: bool = True,
        device: str | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        count = len(pictures)
        require(count > 0, "there are no training pictures")
        require(batch_size >= 1, f"the batch size must be at least 1, got {batch_size}")
        require(
            min(batch_size, count) >= ranks,
            f"{ranks} processes cannot share batches of {batch_size} out of {count} pictures: each must get one; "
            f"use a batch size of at least {ranks}, or fewer processes",
        )
        require(
            batch_size % ranks == 0 or not isinstance(pictures, Streamed),
            f"{ranks} processes that stream cannot share batches of {batch_size}; use a multiple of {ranks}",
        )
        self.pictures, self.task, self.frame = pictures, task, frame
        self.batch_size, self.seed, self.ahead = batch_size, seed, ahead
        self.rank, self.ranks = rank, ranks
        self.augmentation = Augmentation() if augmentation is None else augmentation
        self.rows = np.arange(count) if rows is None else np.asarray(rows, dtype=np.int64)
        self.weights = None if weights is None else np.asarray(weights, dtype=np.float32)
        self.classes = None if classes is None else np.asarray(classes, dtype=np.int64)
        if self.classes is not None and isinstance(pictures, Streamed):
            raise ValueError("pictures that are streamed come in the order of their source")
        # Mirrored, an angle is another: how far it may be turned then would be another question.
        mirrored = self.augmentation.flip_horizontal or self.augmentation.flip_vertical
        self.turns = None if turns is None or mirrored else np.asarray(turns, dtype=np.float64)
        along = {"rows": self.rows, "weights": self.weights, "classes": self.classes, "turns": self.turns}
        for name, values in along.items():
            if values is not None and len(values) != count:
                raise ValueError(f"{count} pictures, but {len(values)} {name}")
        whole, rest = divmod(count, batch_size)
        self._beside = None
        if device is not None:
            from striate.machine.beside import Beside

            self._beside = Beside(device)
        # Slices of a rest differ in length by one at most, and none is empty.
        self.steps_per_epoch = whole + (rest >= ranks and not (drop_last and whole))

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """The batches of an epoch from step `start` on. Close the iterator where it is not read to its
        end (`contextlib.closing`): the thread ends with it. What fails in the thread is raised here.
        """
        made = self._made(epoch, start)
        coming = made_ahead(made, AHEAD, name="striate-batches") if self.ahead else made
        return coming if self._beside is None else _arrived(coming)

    def _made(self, epoch: int, start: int) -> Generator[Batch, None, None]:
        if isinstance(self.pictures, Streamed):
            yield from self._streamed(self.pictures, epoch, start)
            return
        order = self._order(epoch)
        together = self._steps_together(self.pictures)
        for step in range(start, self.steps_per_epoch, together):
            steps = range(step, min(step + together, self.steps_per_epoch))
            places = [self._places(one, len(order)) for one in steps]
            yield from _cut(
                self._looked_up(self.pictures, epoch, order, np.concatenate(places)), [len(one) for one in places]
            )

    def _order(self, epoch: int) -> np.ndarray:
        """The pictures (n,) in the order of the epoch; one that comes again is counted n further each time."""
        if self.classes is None:
            return permutation(self.seed, epoch, len(self.rows), purpose=PURPOSE)
        drawn, before = balanced_order(self.seed, epoch, self.classes)
        return np.asarray(drawn + before * len(self.rows))

    def _places(self, step: int, count: int) -> np.ndarray:
        """The places of a step's pictures in the order of `count`, (B,)."""
        first, last = step * self.batch_size, min((step + 1) * self.batch_size, count)
        return np.array_split(np.arange(first, last), self.ranks)[self.rank]

    def _steps_together(self, pictures: Pixels) -> int:
        """Of how many steps the pictures are made at once: of small ones, making a batch is mostly calls."""
        # On a device sums may depend on how many are made at once: there it is the same from whichever step on.
        if not pictures.uniform or self.augmentation.mixes or self._beside is not None:
            return 1
        values = max(1, self.frame.height * self.frame.width * self.frame.channels * self.batch_size // self.ranks)
        return max(1, VALUES_TOGETHER // max(values, int(np.prod(pictures.shapes[0])) * self.batch_size // self.ranks))

    def _looked_up(self, pictures: Pixels, epoch: int, order: np.ndarray, here: np.ndarray) -> Batch:
        """The pictures at these places (B,) of the order."""
        chosen = order[np.append(here, (here[-1] + 1) % len(order)) if self.augmentation.mixes else here]
        uniform, before = pictures.uniform, None
        if self.classes is not None:
            before, chosen = np.divmod(chosen, len(self.rows))
        pixels = pictures.block(chosen) if uniform else [pictures.pixels(int(index)) for index in chosen]
        return self._batch(epoch, chosen, len(here), pixels, pictures.shapes[chosen], uniform, before)

    def _streamed(self, pictures: Streamed, epoch: int, start: int) -> Generator[Batch, None, None]:
        """The batches of an epoch from step `start` on. Where no picture comes after the last that is mixed,
        its partner is the first of its batch."""
        size, order = self.batch_size // self.ranks, pictures.order(self.seed, epoch, self.rank, self.ranks)
        with closing(pictures.pictures(order, start * size)) as coming:
            before: list[tuple[int, np.ndarray | None]] = []  # the partner of the last batch
            for _ in range(start, self.steps_per_epoch):
                wanted = size + self.augmentation.mixes - len(before)
                some = before + list(islice(coming, wanted))
                before = some[size:]
                read = [(place, pixels) for place, pixels in some[:size] if pixels is not None]
                lost = [int(pictures.rows[place]) for place, pixels in some[:size] if pixels is None]
                unread = {row: pictures.failures[row] for row in lost}
                if not read:
                    raise InputError(
                        f"{pictures.samples.source}: no picture of a batch of {size} can be read "
                        f"({pictures.samples.names[lost[0]]}: {unread[lost[0]]})"
                    )
                count = len(read)
                if self.augmentation.mixes:
                    read.append(next(((place, pixels) for place, pixels in before if pixels is not None), read[0]))
                chosen = np.array([place for place, _ in read], dtype=np.int64)
                shapes = np.array([pixels.shape for _, pixels in read], dtype=np.int64)
                block, uniform = pictures.block([pixels for _, pixels in read])
                batch = self._batch(epoch, chosen, count, block, shapes, uniform)
                yield replace(batch, unread=unread) if unread else batch

    def _batch(
        self,
        epoch: int,
        chosen: np.ndarray,
        count: int,
        pixels: np.ndarray | Sequence[np.ndarray],
        shapes: np.ndarray,
        uniform: bool,
        before: np.ndarray | None = None,
    ) -> Batch:
        """The first `count` of the `chosen` pictures; where they are mixed, one more is the partner of the last.

        before: how often each has come before in this epoch; None: not once."""
        import torch

        from striate.data.mixing import mix

        mixes, beside = self.augmentation.mixes, self._beside
        rows = self.rows[chosen]
        told_apart = rows if before is None else rows + before * AGAIN
        turns = None if self.turns is None else self.turns[chosen]
        drawn = draw(self.augmentation, self.seed, epoch, told_apart, shapes, self.frame, uniform=uniform, turns=turns)
        with nullcontext() if beside is None else beside.working():
            if beside is not None and self.augmentation.by_processor:
                pictures = beside.sent(apply(pixels, drawn, self.frame))
            else:
                pictures = apply(pixels, drawn, self.frame, beside)
            if drawn.shares is not None and drawn.mixed is not None:
                pictures = mix(pictures, np.arange(1, count + 1), drawn.mixed[:count], drawn.shares[:count])
        targets = self.task.targets(rows, drawn.placement)
        weights = None if self.weights is None else torch.from_numpy(self.weights[chosen])
        if mixes and drawn.shares is not None:
            # The task mixes as many as it is given: the picture that is only a partner stays itself.
            share = torch.from_numpy(np.append(drawn.shares[:count], 1.0).astype(np.float32))
            partner = torch.from_numpy(np.append(np.arange(1, count + 1), count))
            targets = self.task.mix(targets, partner, share)[:count]
            if weights is not None:
                weights = (share * weights + (1 - share) * weights[partner])[:count]
        made = Batch(pictures=pictures, targets=targets, rows=rows[:count], weights=weights)
        return made if beside is None else _sent(made, beside)


def _sent(batch: Batch, beside: Beside) -> Batch:
    """The batch, whose pictures are on the device, with the rest of it there."""
    with beside.working():
        targets = beside.sent(batch.targets)
        weights = None if batch.weights is None else beside.sent(batch.weights)
        return replace(batch, targets=targets, weights=weights, event=beside.event())


def _arrived(batches: Generator[Batch, None, None]) -> Generator[Batch, None, None]:
    """The same batches, each when the stream of this thread may read it."""
    from striate.machine.beside import wait_for

    with closing(batches):
        for batch in batches:
            wait_for(batch.event, [one for one in (batch.pictures, batch.targets, batch.weights) if one is not None])
            yield batch


def _cut(batch: Batch, lengths: Sequence[int]) -> Iterator[Batch]:
    """The batches of several steps, of so many pictures each, that were made as one."""
    if len(lengths) == 1:
        yield batch
        return
    first = 0
    for length in lengths:
        part = slice(first, first + length)
        yield Batch(
            pictures=batch.pictures[part],
            targets=batch.targets[part],
            rows=batch.rows[part],
            weights=None if batch.weights is None else batch.weights[part],
        )
        first += length
