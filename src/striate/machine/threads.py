"""How many cores and how much memory this process may use: the host's figures within the limits of its container.

A container's limit is in its control group (version 1 or 2), which neither `os.cpu_count` nor the
system's own figure of free memory knows of.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
# Version 1 writes a huge number (2^63 less a page) where there is no limit.
UNLIMITED = 1 << 60


def usable_cores() -> int:
    """Cores that this process may use, at least 1: affinity, and the quota of every control group above it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in _quotas():
        if quota > 0 and period > 0:
            cores = min(cores, math.ceil(quota / period))
    return max(1, cores)


def available_memory() -> int:
    """Bytes that can still be taken: the system's figure, and what each control group above this process leaves."""
    free = [_system_memory()]
    for folder in _folders("memory"):
        for limit_name, used_name, cache_name in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, used = _number(folder / limit_name), _number(folder / used_name)
            if limit is not None and used is not None and limit < UNLIMITED:
                # Pages of files that nobody reads now are given up by the system before anyone is refused.
                free.append(limit - used + _statistic(folder / "memory.stat", cache_name))
    return max(0, min(free))


def _quotas() -> Iterator[tuple[int, int]]:
    """(quota, period) in microseconds of every control group that this process is in."""
    for folder in _folders("cpu"):
        text = _read(folder / "cpu.max").split()
        if len(text) == 2 and text[0].isdigit() and text[1].isdigit():
            yield int(text[0]), int(text[1])
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota is not None and period is not None:
            yield quota, period


def _folders(controller: str) -> Iterator[Path]:
    """The folders of this process's control groups that hold `controller`, from its own up to the root."""
    seen: set[Path] = set()
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        for root in (GROUPS / controller, GROUPS / controllers, GROUPS / "unified") if controllers else (GROUPS,):
            # Inside a container the path is often the host's, and only the root is mounted.
            inner = (root / path.lstrip("/")).resolve()
            for folder in (inner, *inner.parents):
                if folder not in seen and folder.is_relative_to(root.resolve()) and folder.is_dir():
                    seen.add(folder)
                    yield folder


def _system_memory() -> int:
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        # Half of all memory, where the system does not say what is free (macOS).
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 2 << 30 if sys.maxsize > 1 << 32 else 1 << 29


def _statistic(path: Path, name: str) -> int:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    try:
        return int(text)
    except ValueError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


# Multiply-adds of a step, forward, below which a second thread brings nothing: with less than this a step is calls, not
# arithmetic. LeNet-5 in batches of 128 (54 million) runs twice as fast on two cores as on one.
SMALL_STEP = 2e7
# How often OpenMP's threads look for work before they sleep: some tens of microseconds, about as long as the next
# call takes to come.
LOOKS_BEFORE_SLEEP = 30_000


def threads_for(step: float, threads: int) -> int:
    """Threads for steps of so many multiply-adds forward: one where they are small."""
    return 1 if step < SMALL_STEP else threads


def wait_briefly() -> None:
    """Let OpenMP's threads look for work a short while and then sleep; for a process of ours, before torch is imported.

    A small step is hundreds of parallel pieces. Threads that sleep at once (OMP_WAIT_POLICY=PASSIVE) must be woken for
    each: a step of `small-conv` (width 16, 64 digits) on two cores alone then took 10.5 ms, on one core 8.9, and with
    this count 5. Threads that spin on, as they do by default, hold the processors that another program waits for.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(LOOKS_BEFORE_SLEEP))


def work_beside() -> None:
    """For a thread that works beside the one that trains: what it computes by torch takes one core.

    torch's number of threads is each thread's own; two that take all cores hold each other up. Threads that are begun
    later start with the number that was set last, by whichever thread: it is set back by one that ends at once.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    setting_back = threading.Thread(target=torch.set_num_threads, args=(before,))
    setting_back.start()
    setting_back.join()


@contextmanager
def with_threads(number: int | None = None) -> Iterator[None]:
    """torch works with so many threads (None: one for each core that this process may use), and then as it did before.

    What is set inside is set back as well: the number of threads belongs to the caller's program.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(usable_cores() if number is None else number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
