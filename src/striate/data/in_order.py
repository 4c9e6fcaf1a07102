"""A function of each row, by threads, with results in the order of the rows and a bounded number in the works."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from striate.machine.threads import available_memory, usable_cores
from striate.observer import SILENT, Observer

T = TypeVar("T")

TASK_BYTES = 4 << 20  # of results that one task of a thread makes, about
TASK_PICTURES = 64
WINDOW_SHARE = 0.125  # of the memory that is free now: what may be in the works at a time
PROGRESS_SECONDS = 0.1


def in_order(
    work: Callable[[int], T],
    rows: Sequence[int] | np.ndarray,
    weigh: Callable[[T], int],
    *,
    threads: int | None = None,
    observer: Observer = SILENT,
    what: str = "reading",
) -> Iterator[T]:
    """`work(row)` for each row, by `threads` (None: the usable cores), results in the order of `rows`.

    `weigh(result)` is the bytes that a result holds; it bounds how many are in the works, and changes nothing else.
    """
    numbers = [int(row) for row in rows]
    threads = usable_cores() if threads is None else max(1, threads)
    ticker = _Ticker(observer, what, len(numbers))
    if threads == 1 or len(numbers) <= 1:
        for done, row in enumerate(numbers, start=1):
            yield work(row)
            ticker.tell(done)
        return

    def batch(part: list[int]) -> list[T]:
        return [work(row) for row in part]

    window_bytes = available_memory() * WINDOW_SHARE
    pool = ThreadPoolExecutor(threads, thread_name_prefix="striate-decode")
    pending: deque[tuple[Future[list[T]], int]] = deque()
    try:
        at = done = in_works = weight = 0
        size, most = 1, threads + 2
        while at < len(numbers) or pending:
            while at < len(numbers) and len(pending) < most and (in_works < size * most or not pending):
                part = numbers[at : at + size]
                # Several small pictures a task: handing one over costs as much as decoding one.
                pending.append((pool.submit(batch, part), len(part)))
                at += len(part)
                in_works += len(part)
            future, count = pending.popleft()
            for result in future.result():
                weight += weigh(result)
                yield result
                done += 1
                ticker.tell(done)
            in_works -= count
            mean = max(1, weight // done)
            size = max(1, min(TASK_PICTURES, TASK_BYTES // mean, 2 * size))
            most = max(2, min(threads + 2, int(window_bytes / (mean * size))))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Ticker:
    """Tells an observer at most ten times a second, and at the end."""

    def __init__(self, observer: Observer, what: str, total: int) -> None:
        self.observer, self.what, self.total = observer, what, total
        self.next = time.monotonic() + PROGRESS_SECONDS

    def tell(self, done: int) -> None:
        if done == self.total or time.monotonic() >= self.next:
            self.observer.progress(self.what, done, self.total)
            self.next = time.monotonic() + PROGRESS_SECONDS
