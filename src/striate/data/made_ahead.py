"""What takes long to make, ready when it is asked for: made by a thread a few steps before the reader."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from striate.machine.threads import work_beside

T = TypeVar("T")
LOOK = 0.1  # seconds between looks at whether the reader has gone


@dataclass(frozen=True)
class _Failure:
    error: BaseException


def made_ahead(made: Iterator[T], most: int, *, name: str) -> Generator[T, None, None]:
    """The same, made by one thread that is up to `most` of them before the reader; it ends with the reader.

    name: of the thread. What goes wrong in making is raised where it is asked for."""
    ready: queue.Queue[T | _Failure | None] = queue.Queue(maxsize=most)
    gone = threading.Event()

    def put(item: T | _Failure | None) -> bool:
        while not gone.is_set():
            try:
                ready.put(item, timeout=LOOK)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            work_beside()
            for one in made:
                if not put(one):
                    return
            put(None)
        # Whatever it is, it is not ours to judge here: it is raised again where they are read.
        except BaseException as error:  # noqa: BLE001
            put(_Failure(error))

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        gone.set()
        thread.join()
