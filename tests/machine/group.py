"""Some processes that are connected to each other, for tests: forked from one that has imported torch already."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def in_group(
    count: int, work: Callable[..., Any], *arguments: Any, silence: float = 0.0, errors: str = ""
) -> list[Any]:
    """`work(ranks, *arguments)` in `count` processes that are joined: what each gives, or its error as "Name: text".

    `work` is a function of a module. silence: seconds after which a silent one is lost. errors: a file for what they
    write to standard error.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "striate.training.loop", "striate.training.parallel"])
    port = free_port()
    processes, ends = [], []
    for rank in range(count):
        here, there = context.Pipe(duplex=False)
        process = context.Process(
            target=_one, args=(there, rank, count, port, silence, errors, work, arguments), daemon=True
        )
        process.start()
        there.close()
        processes.append(process)
        ends.append(here)
    results = []
    for process, end in zip(processes, ends, strict=True):
        if not end.poll(1.0 if silence and results else SECONDS):
            process.kill()
        try:
            results.append(end.recv())
        except EOFError:
            results.append("ended")
        process.join(SECONDS)
        end.close()
    return results


def _one(
    end: Connection,
    rank: int,
    count: int,
    port: int,
    silence: float,
    errors: str,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(count),
        LOCAL_RANK=str(rank),
        LOCAL_WORLD_SIZE=str(count),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        GLOO_SOCKET_IFNAME="lo",
    )
    import torch

    from striate.machine import joining as machine
    from striate.machine.joining import joined
    from striate.machine.ranks import ranks_here

    if errors:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    if silence:
        machine.SILENCE, machine.BEAT = silence, silence / 10

    torch.set_num_threads(1)
    ranks = ranks_here()
    try:
        with joined(ranks, "cpu"):
            result = work(ranks, *arguments)
        end.send(result)
    except Exception as error:  # noqa: BLE001 - it is what the test asks for
        known = type(error).__name__ in ("InputError", "SharedError", "ProcessLost")
        end.send(f"{type(error).__name__}: {error}" if known else traceback.format_exc())
