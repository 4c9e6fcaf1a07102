"""What holds for every test: a home of its own, the same random numbers, one thread, and nothing left behind."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
# Where Striate and libraries look for what a person has set or kept.
PERSONAL = ("STRIATE_CACHE", "STRIATE_CACHE_BUDGET", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")

# Before torch is imported. Commands take all cores for torch, and tests run side by side on the same ones: threads that
# spin while they wait would take them from those that they wait for. (OMP_THREAD_LIMIT=1 lets oneDNN wait for ever.)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_collection_finish() -> None:
    """What all tests import stays to the end: the collector need not go through its millions of objects each time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """At the end what a library counts as leaked is not what was kept for the time of the tests."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shared data pack; the test is skipped where it is not there."""
    folder = Path(os.environ.get("STRIATE_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("needs the shared data pack beside the repository (or STRIATE_SHARED)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _a_home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What was kept before decides nothing here, and nothing of the user's is written, by child processes neither."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name in PERSONAL:
            patch.delenv(name, raising=False)
        yield
    assert {path.name for path in home.iterdir()} <= {".cache"}


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """Each test begins alike, whatever ran before it.

    A command sets variables, threads and random numbers for the whole of its process: they are set back. What a test
    has to end or undo itself is asserted.
    """
    variables, folder, there = dict(os.environ), Path.cwd(), _children()
    random.seed(0)
    np.random.seed(0)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
    yield
    left = _children() - there
    for child in left:
        os.kill(child, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(variables)
    now = Path.cwd()
    os.chdir(folder)
    assert not left, "processes that the test has started are still running"
    assert now == folder
    torch = sys.modules.get("torch")
    if torch is not None:
        assert torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float32
        assert not torch.are_deterministic_algorithms_enabled()


def _children() -> set[int]:
    """The running processes that this one has started, as Linux tells them; elsewhere none."""
    found: set[int] = set()
    with suppress(FileNotFoundError):
        for task in os.listdir("/proc/self/task"):  # noqa: PTH208 - twice a test: it has to be quick
            with suppress(FileNotFoundError), open(f"/proc/self/task/{task}/children", encoding="ascii") as file:  # noqa: PTH123
                found.update(map(int, file.read().split()))
    return {child for child in found if not _is_over(child) and child not in _servers()}


def _is_over(process: int) -> bool:
    """Whether it has ended, and only its status is still kept."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2][1] == "Z"
    return True


def _servers() -> set[int]:
    """multiprocessing's own, which start processes from a copy of themselves and stay for those that come."""
    servers = (("forkserver", "_forkserver", "_forkserver_pid"), ("resource_tracker", "_resource_tracker", "_pid"))
    return {
        getattr(getattr(sys.modules[f"multiprocessing.{module}"], server), process)
        for module, server, process in servers
        if f"multiprocessing.{module}" in sys.modules
    }
