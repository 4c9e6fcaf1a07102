"""The draws of torch's own way of seeding, without what it keeps."""

from __future__ import annotations

import tracemalloc

import torch

from striate.machine.seeding import seed_draws


def test_the_draws_are_those_of_torchs_own_seed() -> None:
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 7, 2**63 - 1):
            torch.manual_seed(seed)
            expected = torch.rand(5)
            torch.rand(3)
            seed_draws("cpu", seed)
            assert torch.equal(torch.rand(5), expected)


def test_thousands_of_steps_keep_nothing() -> None:
    with torch.random.fork_rng(devices=[]):
        seed_draws("cpu", 1)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for step in range(2000):
                seed_draws("cpu", step)
            assert tracemalloc.get_traced_memory()[0] - before < 10_000
        finally:
            tracemalloc.stop()
