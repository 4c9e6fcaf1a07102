"""Ranks: found in the environment, connected, told the same, and not left hanging when one of them goes."""

from __future__ import annotations

import math
import os
import signal
import time

import numpy as np
import pytest
import torch
from group import in_group

from striate.errors import InputError
from striate.machine.joining import together
from striate.machine.ranks import (
    ALONE,
    Ranks,
    add_up,
    as_first,
    gathered,
    gathered_rows,
    part_of,
    placed,
    processes_for,
    ranks_here,
    told,
)


def test_ranks_are_found_as_torchrun_names_them():
    said = {
        "RANK": "5",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "4",
        "TORCHELASTIC_RESTART_COUNT": "2",
    }
    found = ranks_here(said)
    assert found == Ranks(rank=5, count=8, local_rank=1, local_count=4, restarts=2)
    assert (found.first, found.several) == (False, True)
    assert ranks_here({}) == ALONE
    assert ranks_here({"RANK": "0", "WORLD_SIZE": "1"}) == ALONE


@pytest.mark.parametrize("wrong", [{"RANK": "x"}, {"WORLD_SIZE": "-1"}, {"RANK": "2"}, {"LOCAL_RANK": "1e3"}])
def test_an_environment_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError, match="in the environment"):
        ranks_here({"RANK": "0", "WORLD_SIZE": "2", **wrong})


def test_how_many_processes():
    assert processes_for(3, "cpu", ALONE) == 3
    assert processes_for("auto", "cpu", ALONE) == 1
    several = Ranks(rank=1, count=4)
    assert [processes_for(wanted, "cpu", several) for wanted in (1, "auto", 4)] == [4, 4, 4]
    with pytest.raises(InputError, match="4 were started by torchrun"):
        processes_for(2, "cpu", several)


def test_each_process_has_a_device_of_its_own(monkeypatch):
    two = Ranks(rank=5, count=8, local_rank=1, local_count=2)
    assert placed(two, "cpu") == "cpu"
    assert placed(ALONE, "cuda:1") == "cuda:1"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert placed(two, "cuda") == "cuda:1"
    with pytest.raises(InputError, match="use --device cuda"):
        placed(two, "cuda:0")
    with pytest.raises(InputError, match="start 2 of them"):
        placed(Ranks(rank=0, count=3, local_count=3), "cuda")


@pytest.mark.parametrize(("count", "rows"), [(1, 5), (2, 5), (3, 3), (4, 2), (3, 0), (7, 100)])
def test_every_row_is_in_one_part(count, rows):
    parts = [np.arange(rows)[part_of(Ranks(rank=rank, count=count), rows)] for rank in range(count)]
    assert np.concatenate(parts).tolist() == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_alone_everything_is_as_it_is():
    value, rows = {"a": (1, 2)}, torch.ones(3)
    assert told(ALONE, value) is value
    assert gathered(ALONE, value) == [value]
    assert gathered_rows(ALONE, rows) is rows
    add_up(ALONE, rows)
    as_first(ALONE, [rows])
    assert rows.tolist() == [1, 1, 1]
    with pytest.raises(InputError, match="as it was"), together(ALONE):
        raise InputError("as it was")


def tell(ranks):
    own = torch.arange(6.0).reshape(2, 3)[: ranks.rank] + 10 * ranks.rank
    strided = torch.full((2, 3, 4, 5), float(ranks.rank)).to(memory_format=torch.channels_last)
    counts = torch.tensor([ranks.rank + 7])
    as_first(ranks, [strided, counts])
    total = torch.tensor([1.0, ranks.rank])
    add_up(ranks, total)
    return {
        "told": told(ranks, [ranks.rank, "ä\udcff", math.nan, math.pi]),
        "gathered": gathered(ranks, {"rank": ranks.rank}),
        "rows": gathered_rows(ranks, own).tolist(),
        "empty": gathered_rows(ranks, torch.empty(0)).tolist(),
        "first": (float(strided.max()), int(counts), strided.is_contiguous(memory_format=torch.channels_last)),
        "total": total.tolist(),
    }


def wrong_on_one(ranks):
    with together(ranks):
        if ranks.rank == 1:
            raise InputError("the folder is not there")


def wrong_on_all(ranks):
    with together(ranks):
        raise InputError("no such network")


def wrong_in_the_middle(ranks):
    if ranks.rank == 1:
        raise InputError("the disk is full")
    told(ranks, None)


def killed(ranks):
    if ranks.rank == 1:
        os._exit(3)
    told(ranks, None)


def test_ranks_tell_each_other():
    first, *others = in_group(3, tell)
    assert first["told"][:2] == [0, "ä\udcff"]
    assert math.isnan(first["told"][2])
    assert first["told"][3] == math.pi
    assert first["gathered"] == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
    assert first["rows"] == [[10, 11, 12], [20, 21, 22], [23, 24, 25]]
    assert first["empty"] == []
    assert first["first"] == (0.0, 7, True)
    assert first["total"] == [3, 3]
    assert all(str(other) == str(first) for other in others)


def test_a_mistake_that_one_meets_ends_all_with_its_sentence():
    assert in_group(2, wrong_on_one) == ["SharedError: the folder is not there (process 1)"] * 2
    assert in_group(2, wrong_on_all) == ["SharedError: no such network"] * 2
    first, second = in_group(2, wrong_in_the_middle)
    assert first == "SharedError: the disk is full (process 1)"
    assert second == "InputError: the disk is full"


def test_a_process_that_is_gone_is_noticed_and_nobody_hangs():
    began = time.monotonic()
    first, second = in_group(2, killed)
    assert first.startswith("ProcessLost: another process has ended")
    assert second == "ended"
    assert time.monotonic() - began < 60


def stopped(ranks):
    told(ranks, None)
    if ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    told(ranks, None)


def test_a_process_that_does_not_answer_any_more_is_given_up(tmp_path):
    assert in_group(2, stopped, silence=2.0, errors=str(tmp_path / "errors")) == ["ended", "ended"]
    assert "striate: process 1 of 2 has not answered for 2 seconds" in (tmp_path / "errors").read_text()
