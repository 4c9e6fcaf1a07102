"""Several processes that train together: which one this is, how they find each other, what they tell each other.

A rank is one process. It knows itself from the environment, as torchrun and `striate train --processes N` fill it.
What is told goes through gloo, as JSON; gradients go through gloo on the processor and through NCCL on GPUs.

A process that ends closes its connections, which the others notice at once. A machine that vanishes closes nothing:
every rank counts up a number in the store of the group, and who has not done so for `SILENCE` seconds is lost.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from striate.errors import InputError, ProcessLost, SharedError, require
from striate.machine.devices import pick_device

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# A group waits this long for a rank that is alive: reading and writing take as long as they take.
PATIENCE = 24 * 3600.0
BEAT = 5.0  # seconds between signs of life
SILENCE = 45.0  # seconds without one
STORE_SECONDS = 10.0  # that the store of the group may take to answer
BOARD_SECONDS = 2.0  # that the first may need to meet the same mistake
BOARD, PULSE = "striate/sentence", "striate/pulse"


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


# -- belonging together ---------------------------------------------------------------------------


@contextmanager
def joined(ranks: Ranks, wanted: str) -> Iterator[None]:
    """The ranks connected to each other while the block runs, which they leave together. wanted: as `pick_device`.

    A mistake of the user's that one rank meets ends the others with the same sentence (`SharedError`). Raises
    ProcessLost where another rank ends for any other reason, or has been silent for `SILENCE` seconds.
    """
    if not ranks.several:
        yield
        return
    import torch.distributed as group
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]

    device = placed(ranks, pick_device(wanted))
    if device.startswith("cuda"):
        import torch

        torch.cuda.set_device(device)
    ours = not group.is_initialized()
    if ours:
        backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
        with _answered():
            group.init_process_group(
                backend,
                # torchrun may keep what was said before it started the ranks anew.
                store=PrefixStore(f"striate/{ranks.restarts}/{next(_JOINED)}", _group_store()),
                rank=ranks.rank,
                world_size=ranks.count,
                timeout=timedelta(seconds=PATIENCE),
            )
    pulse = _Pulse(ranks)
    pulse.start()
    try:
        yield
        told(ranks, None)  # the first is the last to finish
    except SharedError:
        raise
    except InputError as error:
        if _said_by_first(ranks, str(error)):
            raise SharedError(str(error)) from error
        raise
    except ProcessLost as lost:
        sentence = _said(ranks)
        if sentence is not None:
            raise SharedError(sentence) from lost
        raise ProcessLost(pulse.lost or str(lost)) from lost
    finally:
        pulse.stop()
        if ours:
            group.destroy_process_group()


# The ranks meet once for each training of a program; the place where they meet stays.
_JOINED = itertools.count()


@functools.cache
def _group_store() -> Any:
    from torch.distributed import rendezvous  # type: ignore[attr-defined]

    store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=PATIENCE)))
    return store


@contextmanager
def together(ranks: Ranks) -> Iterator[None]:
    """What cannot be used on one rank stops all of them here, with the same sentence (SharedError, an InputError).

    For a block in which the ranks tell each other nothing.
    """
    if not ranks.several:
        yield
        return
    own: InputError | None = None
    try:
        yield
    except InputError as error:
        own = error
    said = gathered(ranks, None if own is None else str(own))
    sentences = list(dict.fromkeys(one for one in said if one is not None))
    if sentences:
        where = "" if None not in said and len(sentences) == 1 else f" (process {said.index(sentences[0])})"
        raise SharedError(sentences[0] + where) from own


def _store() -> Any:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    return TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        wait_for_workers=False,
        timeout=timedelta(seconds=STORE_SECONDS),
    )


def _said_by_first(ranks: Ranks, sentence: str) -> bool:
    """Pin up the sentence that this rank ends with. Whether the first ends with the same, or has gone before it."""
    try:
        store = _store()
        store.set(f"{BOARD}/{ranks.restarts}/{ranks.rank}", sentence)
        if ranks.first:
            return False
        key = f"{BOARD}/{ranks.restarts}/0"
        store.wait([key], timedelta(seconds=BOARD_SECONDS))
        return bool(store.get(key).decode() == sentence)
    except RuntimeError:
        return False


def _said(ranks: Ranks) -> str | None:
    """The sentence of the rank that ended, where it left one."""
    try:
        store = _store()
        for rank in range(ranks.count):
            key = f"{BOARD}/{ranks.restarts}/{rank}"
            if store.check([key]):
                return f"{store.get(key).decode()} (process {rank})"
    except RuntimeError:
        return None
    return None


class _Pulse(threading.Thread):
    """Shows the others that this process lives, and watches whether they do."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__(name="striate-pulse", daemon=True)
        self.ranks, self.lost, self._ended = ranks, "", threading.Event()

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        keys = [f"{PULSE}/{self.ranks.restarts}/{rank}" for rank in range(self.ranks.count)]
        seen: dict[int, tuple[int, float]] = {}
        try:
            store = _store()
            while True:
                store.add(keys[self.ranks.rank], 1)
                for rank, key in enumerate(keys):
                    beats, now = store.add(key, 0), time.monotonic()
                    if beats != seen.get(rank, (-1, now))[0]:
                        seen[rank] = beats, now
                    elif now - seen[rank][1] > SILENCE:
                        self._give_up(
                            f"process {rank} of {self.ranks.count} has not answered for {SILENCE:.0f} seconds"
                        )
                        return
                if self._ended.wait(BEAT):
                    return
        except RuntimeError:
            # The store lives with the first rank, or with torchrun beside it. At the end they all go, one by one.
            if not self._ended.wait(BEAT):
                self._give_up("the machine of the first process does not answer")

    def _give_up(self, reason: str) -> None:
        """End the wait of the main thread for an answer that will not come: NCCL lets go of it, gloo never does."""
        self.lost = reason
        from torch.distributed import group

        with suppress(RuntimeError):
            if group.WORLD is not None:
                group.WORLD.abort()
        if not self._ended.wait(BEAT):
            # No thread can raise an exception in one that waits inside of a library.
            os.write(2, f"striate: {reason}\n".encode())
            os._exit(1)


# -- telling each other ---------------------------------------------------------------------------


@contextmanager
def _answered() -> Iterator[None]:
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
    with _answered():
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
        with _answered():
            group.broadcast(part, source)
        parts.append(part)
    return torch.cat(parts) if parts else rows


def add_up(ranks: Ranks, values: torch.Tensor) -> None:
    """The sum over all ranks, in place; `values` is contiguous and has one shape on all of them."""
    if ranks.several:
        import torch.distributed as group

        with _answered():
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
        with _answered():
            group.broadcast(flat, 0)
        for tensor, values in zip(alike, torch.split(flat, [tensor.numel() for tensor in alike]), strict=True):
            tensor.copy_(values.view(tensor.shape))
