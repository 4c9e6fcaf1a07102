"""A batch that does not fit into memory is done in parts: the gradients of 2, 4, 8, ... parts add up to that of the
whole, so it is the same step of the same batch, but for the last digits.

What a layer draws or measures for a batch is the exception: dropout draws anew for each part, and batch norm takes mean
and deviation of a part. From which step on there are how many parts is a list of [first step, parts], steps counted
from 1: it belongs to what was decided (`Resolved.splits`), so that a run that goes on does the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from striate.data.batches import Batch
from striate.errors import InputError
from striate.machine.memory import is_out_of_memory
from striate.words import counted

Splits = Sequence[Sequence[int]]


def parts_at(splits: Splits, step: int) -> int:
    """In how many parts the batch of a step, counted from 1, is done."""
    return next((int(parts) for first, parts in reversed(splits) if first <= step), 1)


def split_further(splits: Splits, step: int, pictures: int) -> list[list[int]]:
    """`splits` with twice as many parts of a batch of `pictures` from `step` on, at most one a picture.

    Raises InputError where a single picture was too large already.
    """
    parts = parts_at(splits, step)
    if parts >= pictures:
        raise InputError(
            f"not even one picture of step {step} fits into memory; "
            "take a smaller network, or smaller pictures (--size)"
        )
    return [[int(first), int(count)] for first, count in splits if first < step] + [[step, min(2 * parts, pictures)]]


def put_together(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """The batches as they come, of `size` pictures each.

    Raises InputError where one does not fit into memory as it is put together: fewer at once would be another training,
    which is not ours to choose.
    """
    try:
        yield from batches
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"there is no memory to put a batch of {counted(size, 'picture')} together; take fewer at once "
            "(--batch-size), or smaller pictures (--size)"
        ) from error


def in_parts(batch: Batch, parts: int) -> Iterator[Batch]:
    """The batch in so many parts, whose numbers of pictures differ by one at most."""
    if parts == 1:
        yield batch
        return
    for here in np.array_split(np.arange(len(batch)), parts):
        part = slice(int(here[0]), int(here[-1]) + 1)
        yield Batch(
            pictures=batch.pictures[part],
            targets=batch.targets[part],
            rows=batch.rows[part],
            weights=None if batch.weights is None else batch.weights[part],
        )


def split_words(network: nn.Module, step: int, pictures: int, parts: int) -> str:
    """What is done and what differs by it, for the log."""
    most = -(-pictures // parts)
    words = (
        f"the {pictures} pictures of step {step} do not fit into memory at once: from here on each batch is done in "
        f"{parts} parts, whose gradients add up to one step"
    )
    modules = list(network.modules())
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in modules):
        words += f"; batch norm sees {most} pictures at a time"
    if any(isinstance(module, nn.modules.dropout._DropoutNd) for module in modules):
        words += "; dropout draws anew for each part"
    return words


class Buffers:
    """What a network keeps beside its weights and changes while it computes (running statistics): kept before a step,
    and put back where the step fails half way."""

    def __init__(self, network: nn.Module) -> None:
        self._now = list(network.buffers())
        self._kept = [buffer.detach().clone() for buffer in self._now]

    @torch.no_grad()
    def keep(self) -> None:
        """Remember them as they are."""
        if self._now:
            torch._foreach_copy_(self._kept, self._now)

    @torch.no_grad()
    def put_back(self) -> None:
        """As they were when they were kept."""
        if self._now:
            torch._foreach_copy_(self._now, self._kept)
