"""Pictures decoded ahead against the same ones decoded when they are asked for."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from striate.data import ahead as module
from striate.data.ahead import Ahead, ahead
from striate.data.decode import decode
from striate.data.preparing import prepare_all
from striate.data.resample import to_tensor
from striate.data.samples import Samples
from striate.errors import InputError


class Counted:
    """Pictures of which every fifth cannot be had, and how often each was asked for."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        self.files: list[bytes] = []
        self.asked = [0] * count
        for number in range(count):
            shape = (6, 7, 3) if number % 2 else (6, 7)
            values = rng.integers(0, 256, shape).astype(np.uint8)
            deep = values.astype(np.uint16) * 257 + 100 if number % 4 == 0 else values
            buffer = io.BytesIO()
            Image.fromarray(deep).save(buffer, "PNG")
            self.files.append(buffer.getvalue())

    def load(self, index: int) -> bytes:
        self.asked[index] += 1
        if index % 5 == 3:
            raise InputError("it is gone")
        return self.files[index] if index % 7 else b"no picture"


class Alike(Counted):
    """126 bytes of pixels each."""

    def load(self, index: int) -> bytes:
        return self.files[1]


def table(count: int = 60) -> Samples:
    return Samples(
        source="a list",
        how="given",
        pictures=Counted(count),
        index=np.arange(count)[::-1].copy(),
        names=tuple(f"{i}.png" for i in range(count)),
        targets=np.zeros(count, dtype=np.int64),
        class_names=("one",),
        splits=np.full(count, "train"),
    )


def prepare(pixels: np.ndarray):
    return to_tensor(np.repeat(pixels, 3, axis=2)[..., :3].astype(np.float32))


@pytest.mark.parametrize("room", [0, 200, 1 << 20])
def test_whatever_is_decoded_ahead_is_the_same_and_read_once(monkeypatch, room) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", room)
    alone, samples = table(), table()
    expected = prepare_all(alone, range(60), prepare, threads=2)
    with ahead(samples) as early:
        result = prepare_all(early, range(60), prepare, threads=2)
    assert result.pictures.equal(expected.pictures)
    assert np.array_equal(result.checksums, expected.checksums)
    assert result.failures == expected.failures
    assert samples.pictures.asked == [1] * 60


def test_pixels_wait_to_be_asked_for_while_there_is_room() -> None:
    source = Alike(40)
    for room, most in ((1000, 9), (1 << 20, 40)):
        early = Ahead(source, np.arange(40), room, threads=2)
        early._pool.shutdown(wait=True)
        found = [early.load(index) for index in range(40)]
        kept = [one for one in found if isinstance(one, np.ndarray)]
        assert min(most, 40) - 2 <= len(kept) <= most + 1  # two threads may begin the last one at once
        assert all(np.array_equal(one, decode(source.files[1])) for one in kept)
        assert all(one == source.files[1] for one in found if isinstance(one, bytes))


def test_no_thread_stays_behind_an_error() -> None:
    with pytest.raises(ZeroDivisionError), ahead(table()):
        raise ZeroDivisionError
    assert not [one for one in threading.enumerate() if one.name.startswith("striate-ahead")]
