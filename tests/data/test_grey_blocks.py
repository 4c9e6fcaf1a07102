"""Arrays of grey pictures are taken all at once, with the results of taking them one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from striate.data.preparing import prepare_all
from striate.data.reading import checksum, grey_block, load_pixels
from striate.data.samples import Samples
from striate.data.sources import open_dataset
from striate.data.store import build_store
from striate.models.input_spec import InputSpec

NUMBERS = np.random.default_rng(0)


@dataclass(frozen=True)
class OneByOne:
    """The pictures of a source without the way of having them at once."""

    inner: object

    def load(self, index: int) -> bytes | np.ndarray:
        return self.inner.load(index)


def sources() -> dict[str, Samples]:
    small, more = (NUMBERS.integers(0, 256, (count, 9, 7), dtype=np.uint8) for count in (11, 5))
    labels = [np.arange(len(part)) % 2 for part in (small, more)]
    return {
        "two parts": open_dataset({"train": (small, labels[0]), "test": (more, labels[1])}),
        "one channel": open_dataset((small[..., None], labels[0])),
        "two sizes": open_dataset({"train": (small, labels[0]), "test": (more[:, 1:], labels[1])}),
        "floats": open_dataset((small / np.float32(255), labels[0])),
        "colour": open_dataset((NUMBERS.integers(0, 256, (6, 9, 7, 3), dtype=np.uint8), np.arange(6) % 2)),
    }


@pytest.mark.parametrize("name", list(sources()))
@pytest.mark.parametrize("size", [(9, 7), (12, 12)])
def test_the_results_are_those_of_one_by_one(name: str, size: tuple[int, int]) -> None:
    from dataclasses import replace

    samples = sources()[name]
    slowly = replace(samples, pictures=OneByOne(samples.pictures))
    rows = NUMBERS.permutation(len(samples))[: len(samples) - 2]
    fast, slow = (build_store(one, rows) for one in (samples, slowly))
    assert np.array_equal(fast.checksums, slow.checksums)
    assert np.array_equal(fast.rows, slow.rows)
    assert fast.store.uniform == slow.store.uniform
    assert np.array_equal(fast.store.shapes, slow.store.shapes)
    assert all(np.array_equal(fast.store.pixels(i), slow.store.pixels(i)) for i in range(len(rows)))
    spec = InputSpec(channels=1, height=size[0], width=size[1], mean=(0.5,), deviation=(0.3,))
    prepared = [prepare_all(one, rows, spec.prepare, frame=spec) for one in (samples, slowly)]
    assert prepared[0].pictures.dtype == prepared[1].pictures.dtype
    assert torch.equal(prepared[0].pictures, prepared[1].pictures)
    assert np.array_equal(prepared[0].checksums, prepared[1].checksums)


def test_which_sources_are_taken_at_once() -> None:
    taken = {name: grey_block(samples, np.arange(len(samples))) is not None for name, samples in sources().items()}
    assert taken == {"two parts": True, "one channel": True, "two sizes": False, "floats": False, "colour": False}


def test_a_block_is_a_copy_and_its_checksums_are_those_of_the_pictures() -> None:
    samples = sources()["two parts"]
    found = grey_block(samples, np.array([12, 3]))
    assert found is not None
    block, checksums = found
    for place, row in enumerate((12, 3)):
        pixels = load_pixels(samples, row)
        assert np.array_equal(block[place], pixels)
        assert int(checksums[place]) == checksum(pixels)
    block[:] = 0
    assert load_pixels(samples, 3).any()
