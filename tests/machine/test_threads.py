"""Cores and memory within the limits of control groups, read from folders that are made here."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import torch

from striate.errors import InputError
from striate.machine import threads
from striate.machine.folders import cache_folder
from striate.machine.threads import available_memory, usable_cores, with_threads, work_beside

MEGABYTE = 1 << 20


def control_groups(monkeypatch: pytest.MonkeyPatch, root: Path, lines: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    read = threads._read
    system = {"/proc/self/cgroup": lines, "/proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable: 8388608 kB\n"}
    monkeypatch.setattr(threads, "GROUPS", root)
    monkeypatch.setattr(threads, "_read", lambda path: system.get(str(path), "") or read(path))
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


@pytest.mark.parametrize(("quota", "cores"), [("250000 100000", 3), ("50000 100000", 1), ("max 100000", 16)])
def test_the_quota_of_version_2(quota: str, cores: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    control_groups(monkeypatch, tmp_path, "0::/box/job\n", {"box/job/cpu.max": "max 100000", "box/cpu.max": quota})
    assert usable_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("400000", 4), ("-1", 16)])
def test_the_quota_of_version_1(quota: str, cores: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {"cpu,cpuacct/box/cpu.cfs_quota_us": quota, "cpu,cpuacct/box/cpu.cfs_period_us": "100000"}
    control_groups(monkeypatch, tmp_path, "3:cpu,cpuacct:/box\n", files)
    assert usable_cores() == cores


def test_the_memory_of_version_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {
        "box/memory.max": str(1000 * MEGABYTE),
        "box/memory.current": str(700 * MEGABYTE),
        "box/memory.stat": f"anon 5\ninactive_file {100 * MEGABYTE}\n",
    }
    control_groups(monkeypatch, tmp_path, "0::/box\n", files)
    assert available_memory() == 400 * MEGABYTE


def test_the_memory_of_version_1_and_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit, used = "memory/box/memory.limit_in_bytes", "memory/box/memory.usage_in_bytes"
    lines = "4:memory:/box\n"
    control_groups(monkeypatch, tmp_path, lines, {limit: str(500 * MEGABYTE), used: str(100 * MEGABYTE)})
    assert available_memory() == 400 * MEGABYTE
    control_groups(monkeypatch, tmp_path, lines, {limit: "9223372036854771712"})
    assert available_memory() == 8192 * MEGABYTE


def test_inside_a_container_only_the_root_is_mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    control_groups(monkeypatch, tmp_path, "0::/host/path/of/it\n", {"cpu.max": "200000 100000"})
    assert usable_cores() == 2


def test_here() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    assert available_memory() > 0


def test_a_thread_that_works_beside_changes_the_number_of_no_other() -> None:
    seen: dict[str, int] = {}

    def beside() -> None:
        work_beside()
        seen["beside"] = torch.get_num_threads()

    def later() -> None:
        seen["later"] = torch.get_num_threads()

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for work in (beside, later):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert seen == {"beside": 1, "later": 3}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_threads_are_set_back_also_after_an_error() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with with_threads():
            assert torch.get_num_threads() == usable_cores()
        with pytest.raises(KeyError), with_threads(1):
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "mine"))
    assert cache_folder("stores") == tmp_path / "mine" / "stores"
    assert cache_folder("stores").is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="name another in STRIATE_CACHE"):
        cache_folder()
