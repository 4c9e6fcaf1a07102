"""Several processes that train together: which one this is, and what they tell each other.

A rank is one process. It knows itself from the environment, as torchrun and `striate train --processes N` fill it.
What is told goes through gloo, as JSON; gradients go through gloo on the processor and through NCCL on GPUs. How they
find each other, and notice that one has gone: `joining.py`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from striate.errors import ProcessLost, require
from striate.machine.devices import pick_device

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Which process this is (`rank`), of how many (`count`), and the same among those of this machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    restarts: int = 0  # how often torchrun has started all of them anew

    @property
    def first(self) -> bool:
        """Rank 0, the one that decides, writes and speaks."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1


ALONE = Ranks()


def ranks_here(environment: Mapping[str, str] | None = None) -> Ranks:
    """This process among those that torchrun or a launcher started; `ALONE` where none did.

    Raises InputError where the variables (RANK, WORLD_SIZE, LOCAL_RANK, ...) are no such numbers.
    """
    found = os.environ if environment is None else environment
    if "RANK" not in found or "WORLD_SIZE" not in found:
        return ALONE

    def number(name: str, default: int) -> int:
        text = found.get(name, str(default))
        good = text.isascii() and text.isdecimal() and len(text) < 10
        require(good, f"{name}={text!r} in the environment is no number; start by torchrun, or unset RANK")
        return int(text)

    ranks = Ranks(
        rank=number("RANK", 0),
        count=number("WORLD_SIZE", 1),
        local_rank=number("LOCAL_RANK", number("RANK", 0)),
        local_count=number("LOCAL_WORLD_SIZE", 1),
        restarts=number("TORCHELASTIC_RESTART_COUNT", 0),
    )
    require(
        ranks.rank < ranks.count,
        f"RANK={ranks.rank} of WORLD_SIZE={ranks.count} in the environment: ranks are counted from 0",
    )
    return ranks


def placed(ranks: Ranks, device: str) -> str:
    """The device of this rank: of several on one machine each has a GPU of its own, "cuda:0", "cuda:1", ...

    Raises InputError where there are not enough, and where one GPU was named for all.
    """
    if not ranks.several or not device.startswith("cuda"):
        return device
    import torch

    require(device == "cuda", f"--device {device}: {ranks.count} processes take a GPU each; use --device cuda")
    there = torch.cuda.device_count()
    require(
        ranks.local_count <= there,
        f"{ranks.local_count} processes on a machine with {there} GPU{'s' * (there != 1)}; start {there} of them",
    )
    return f"cuda:{ranks.local_rank}"


def processes_for(wanted: int | str, device: str, here: Ranks) -> int:
    """How many processes are to work together where `wanted` ("auto", or a number) were asked for.

    "auto": one for each GPU, and one where there is none (see docs/scaling.md for what was measured). Under torchrun
    it is those that torchrun started; raises InputError where another number was asked for.
    """
    if here.several:
        require(
            wanted in (1, "auto", here.count),
            f"--processes {wanted}: {here.count} were started by torchrun, which is how many there are; leave it away",
        )
        return here.count
    if wanted != "auto":
        return int(wanted)
    import torch

    return torch.cuda.device_count() if pick_device(device) == "cuda" else 1


def have_met() -> bool:
    """Whether this process has been connected to others."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.distributed.is_initialized())


@contextmanager
def answered_by_others() -> Iterator[None]:
    """Raises ProcessLost where a group's operation in the block fails, which it does where another process has gone."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost(f"another process has ended ({str(error).splitlines()[0][:200]})") from error


def told(ranks: Ranks, value: T) -> T:
    """The `value` of rank 0, a plain JSON value (also NaN), on every rank; what the others give plays no part."""
    if not ranks.several:
        return value
    text: T = json.loads(_text_of(ranks, json.dumps(value) if ranks.first else "", 0))
    return text


def gathered(ranks: Ranks, value: T) -> list[T]:
    """The plain JSON values of all ranks, in their order, on every rank."""
    if not ranks.several:
        return [value]
    return [json.loads(_text_of(ranks, json.dumps(value), source)) for source in range(ranks.count)]


def _text_of(ranks: Ranks, text: str, source: int) -> str:
    import torch
    import torch.distributed as group

    data = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8) if source == ranks.rank else torch.empty(0)
    length = torch.tensor([len(data)])
    with answered_by_others():
        group.broadcast(length, source)
        if source != ranks.rank:
            data = torch.empty(int(length), dtype=torch.uint8)
        group.broadcast(data, source)
    return bytes(data.tolist()).decode()


@contextmanager
def first_here(ranks: Ranks) -> Iterator[None]:
    """A block that the first rank of each machine goes through before the others of the machine begin it.

    For a block in which the ranks tell each other nothing.
    """
    if ranks.local_rank:
        gathered(ranks, None)
    yield
    if not ranks.local_rank:
        gathered(ranks, None)


def part_of(ranks: Ranks, count: int) -> slice:
    """The rows of this rank among `count`: parts differ by one row at most, each row is in one part."""
    each, rest = divmod(count, ranks.count)
    start = ranks.rank * each + min(ranks.rank, rest)
    return slice(start, start + each + (ranks.rank < rest))


def gathered_rows(ranks: Ranks, rows: torch.Tensor) -> torch.Tensor:
    """The rows (n_r, ...) of all ranks after one another (sum of n_r, ...), on the CPU, on every rank.

    A rank may have none, and then its other dimensions play no part.
    """
    if not ranks.several:
        return rows
    import torch
    import torch.distributed as group

    shapes: list[Any] = gathered(ranks, [list(rows.shape), str(rows.dtype).removeprefix("torch.")])
    parts = []
    for source, (shape, kind) in enumerate(shapes):
        if not shape[0]:
            continue
        own = source == ranks.rank
        part = rows.detach().cpu().contiguous() if own else torch.empty(shape, dtype=getattr(torch, kind))
        with answered_by_others():
            group.broadcast(part, source)
        parts.append(part)
    return torch.cat(parts) if parts else rows


def add_up(ranks: Ranks, values: torch.Tensor) -> None:
    """The sum over all ranks, in place; `values` is contiguous and has one shape on all of them."""
    if ranks.several:
        import torch.distributed as group

        with answered_by_others():
            group.all_reduce(values)


def as_first(ranks: Ranks, tensors: Iterable[torch.Tensor]) -> None:
    """Give the tensors of every rank the values of those of rank 0, in place."""
    if not ranks.several:
        return
    import torch
    import torch.distributed as group

    held = [tensor.detach() for tensor in tensors]
    for kind in dict.fromkeys(tensor.dtype for tensor in held):
        alike = [tensor for tensor in held if tensor.dtype == kind]
        flat = torch.cat([tensor.reshape(-1) for tensor in alike])
        with answered_by_others():
            group.broadcast(flat, 0)
        for tensor, values in zip(alike, torch.split(flat, [tensor.numel() for tensor in alike]), strict=True):
            tensor.copy_(values.view(tensor.shape))
