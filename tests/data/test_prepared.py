"""Held-back pictures that are decoded for every use, against the same ones prepared once."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from shards import write_shards
from striate.data.prepared import PreparedAnew
from striate.data.preparing import prepare_all
from striate.data.sources import open_dataset
from striate.errors import InputError
from striate.models.input_spec import InputSpec

SPEC = InputSpec(channels=1, height=10, width=8, mean=(0.4,), deviation=(0.2,))
ROWS = np.arange(2, 110, 3)


@pytest.fixture(params=[{"ragged": True}, {"compressed": True}], ids=["plain", "compressed"])
def source(request, tmp_path):
    return write_shards(tmp_path / "shards", **request.param)


def both(source):
    samples = open_dataset(source, stream=True)
    kept = prepare_all(open_dataset(source), ROWS, SPEC.prepare).pictures
    return kept, PreparedAnew(samples, ROWS, SPEC.prepare, (1, 10, 8), threads=2)


def test_any_slices_are_those_of_the_tensor(source):
    kept, anew = both(source)
    assert (anew.shape, anew.ndim, len(anew)) == (tuple(kept.shape), 4, len(kept))
    for size in (36, 7):
        for start in range(0, 36, size):
            assert torch.equal(anew[start : start + size], kept[start : start + size])
    for part in (slice(5, 9), slice(9, 12), slice(2, 4), slice(-3, None), slice(7, 7), slice(None, 40)):
        assert torch.equal(anew[part], kept[part])
    some = torch.tensor([30, 0, 12])
    assert torch.equal(anew[some], kept[some])


def test_slices_in_a_row_are_read_once_and_threads_end(source):
    _, anew = both(source)
    loads = []
    prepare = anew._prepare
    anew._prepare = lambda pixels: (loads.append(1), prepare(pixels))[1]
    before = threading.active_count()
    for start in range(0, 36, 6):
        anew[start : start + 6]
    assert len(loads) == 36
    anew[0:3]
    assert threading.active_count() == before


def test_what_has_gone_since_is_named(source):
    _, anew = both(source)
    for path in source.iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"part-000.tar.*: could be read before, and cannot now"):
        anew[0:5]
