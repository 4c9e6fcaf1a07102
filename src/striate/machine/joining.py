"""How several processes find each other, and notice that one of them has gone.

A process that ends closes its connections, which the others notice at once. A machine that vanishes closes nothing:
every rank counts up a number in the store of the group, and who has not done so for `SILENCE` seconds is lost.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from striate.errors import InputError, ProcessLost, SharedError
from striate.machine.devices import pick_device
from striate.machine.ranks import Ranks, answered_by_others, gathered, placed, told

# A group waits this long for a rank that is alive: reading and writing take as long as they take.
PATIENCE = 24 * 3600.0
BEAT = 5.0  # seconds between signs of life
SILENCE = 45.0  # seconds without one
STORE_SECONDS = 10.0  # that the store of the group may take to answer
BOARD_SECONDS = 2.0  # that the first may need to meet the same mistake
BOARD, PULSE = "striate/sentence", "striate/pulse"


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
        with answered_by_others():
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
