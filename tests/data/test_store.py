"""The store against a plain loop over the same pictures: order, threads, layouts, files, failures, memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from listed import table
from PIL import Image

from striate.data.in_order import in_order
from striate.data.preparing import prepare_all
from striate.data.reading import checksum, read_pictures, reduced
from striate.data.resample import to_tensor
from striate.data.store import build_store
from striate.errors import InputError
from striate.observer import Observer

RNG = np.random.default_rng(5)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def colour(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def grey(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 1), dtype=np.uint8)


def mixture(count: int = 150) -> tuple[list[bytes | np.ndarray | str], dict[int, np.ndarray]]:
    """Sizes, depths, channels and failures of all kinds; what is expected by row."""
    items: list[bytes | np.ndarray | str] = []
    expected: dict[int, np.ndarray] = {}
    for row in range(count):
        height, width = (int(side) for side in RNG.integers(1, 40, 2))
        kind = row % 5
        if kind == 0:
            items.append("it is not there")
            continue
        pixels = grey(height, width) if kind in (1, 2) else colour(max(height, 2), width)
        if kind == 2:
            pixels = pixels.astype(np.float32) / 3
        items.append(png(pixels) if kind in (1, 3) else pixels)
        expected[row] = pixels
    items[11] = png(colour(4, 4))[:40]
    expected.pop(11, None)
    return items, expected


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("room", [0, 20_000, None])
def test_a_mixture_comes_back_as_it_went_in(
    threads: int, room: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    items, expected = mixture()
    rows = RNG.permutation(len(items))
    result = build_store(table(items), rows, threads=threads, room=room)
    assert result.rows.tolist() == [row for row in rows if row in expected]
    assert [row for row, _ in result.failures] == [row for row in rows if row not in expected]
    assert dict(result.failures)[0] == "it is not there"
    assert "damaged" in dict(result.failures)[11]
    store = result.store
    assert not store.uniform
    assert len(store) == len(expected)
    assert store.nbytes == sum(pixels.nbytes for pixels in expected.values())
    for index, row in enumerate(result.rows.tolist()):
        got = store.pixels(index)
        assert got.dtype == expected[row].dtype
        assert np.array_equal(got, expected[row])
        assert tuple(store.shapes[index]) == expected[row].shape
        assert int(result.checksums[index]) == checksum(expected[row])
    with pytest.raises(ValueError, match="different shapes"):
        store.block(np.array([0]))
    store.close()
    assert list((tmp_path / "stores").glob("*") if (tmp_path / "stores").exists() else []) == []


@pytest.mark.parametrize("room", [0, None])
@pytest.mark.parametrize("deep", [False, True])
def test_pictures_of_one_shape_are_one_array(
    room: int | None, deep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    pictures = RNG.integers(0, 256, (200, 8, 6, 3)).astype(np.float32 if deep else np.uint8)
    items: list[bytes | np.ndarray | str] = list(pictures)
    items[3] = "gone"
    result = build_store(table(items), np.arange(200), threads=2, room=room)
    assert result.store.uniform
    kept = np.delete(pictures, 3, axis=0)
    indices = RNG.integers(0, 199, 64)
    block = result.store.block(indices)
    assert np.array_equal(block, kept[indices])
    block[:] = 0  # a copy of its own
    assert np.array_equal(result.store.pixels(5), kept[5])


@pytest.mark.parametrize("room", [0, None])
@pytest.mark.parametrize("first_colour", [0, 40, 100, 299])
def test_grey_among_colour_of_one_size(
    first_colour: int, room: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    items: list[bytes | np.ndarray | str] = [grey(5, 7) for _ in range(300)]
    items[first_colour] = colour(5, 7)
    store = build_store(table(items), np.arange(300), threads=2, room=room).store
    # a file is not written again for one late picture in colour
    assert store.uniform == (room is None or first_colour < 64)
    for index, item in enumerate(items):
        got = store.pixels(index)
        assert np.array_equal(np.broadcast_to(item, (5, 7, got.shape[2])), got)


def test_all_grey_stays_grey_and_a_late_odd_one_ends_the_uniform_store() -> None:
    items: list[bytes | np.ndarray | str] = [grey(5, 7) for _ in range(300)]
    assert build_store(table(items), np.arange(300)).store.block(np.arange(300)).shape == (300, 5, 7, 1)
    for odd in (grey(5, 8), grey(5, 7).astype(np.float32), colour(6, 7)):
        items[250] = odd
        store = build_store(table(items), np.arange(300)).store
        assert not store.uniform
        assert all(np.array_equal(store.pixels(i), item) for i, item in enumerate(items))


def test_threads_change_nothing() -> None:
    items, _ = mixture()
    samples, rows = table(items), np.arange(len(items))
    one = list(read_pictures(samples, rows, threads=1))
    four = list(read_pictures(samples, rows, threads=4))
    for a, b in zip(one, four, strict=True):
        assert (a.row, a.checksum, str(a.pixels)) == (b.row, b.checksum, str(b.pixels))

    def prepare(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.resize(pixels, (3, 4, 4)).astype(np.float32))

    alone, together = (prepare_all(samples, rows, prepare, threads=threads) for threads in (1, 4))
    assert torch.equal(alone.pictures, together.pictures)
    assert np.array_equal(alone.rows, together.rows)
    assert np.array_equal(alone.checksums, together.checksums)
    assert alone.failures == together.failures
    assert np.array_equal(alone.checksums, build_store(samples, rows).checksums)


def test_a_picture_of_more_than_8_bits_keeps_its_values_wherever_it_stands() -> None:
    flat, deep = colour(4, 4), colour(4, 4) * np.float32(0.9)
    for items in ([flat, deep, flat], [deep, flat, flat]):
        prepared = prepare_all(table(items), range(3), to_tensor).pictures
        expected = torch.stack([to_tensor(item.astype(np.float32)) for item in items])
        assert torch.equal(prepared, expected)


def test_without_checksums_all_else_is_the_same() -> None:
    items, _ = mixture()
    samples, rows = table(items), np.arange(len(items))

    def prepare(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.resize(pixels, (3, 4, 4)).astype(np.float32))

    with_them, without = (prepare_all(samples, rows, prepare, checksums=wanted) for wanted in (True, False))
    assert torch.equal(with_them.pictures, without.pictures)
    assert np.array_equal(with_them.rows, without.rows)
    assert with_them.failures == without.failures
    assert with_them.checksums.all()
    assert not without.checksums.any()


def test_equal_pictures_in_different_files_have_equal_checksums() -> None:
    pixels, other = colour(9, 9), colour(9, 9)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    grey_as_colour = np.repeat(pixels[..., :1], 3, axis=2)
    items = [png(pixels), buffer.getvalue(), pixels, png(other), png(grey_as_colour), pixels[..., 0]]
    sums = [read.checksum for read in read_pictures(table(items), range(6))]
    assert sums[0] == sums[1] == sums[2] != sums[3]
    assert sums[4] == sums[5] != sums[0]
    # the same bytes in another shape are another picture
    assert checksum(pixels) != checksum(pixels.reshape(27, 3, 3))


def test_none_readable_is_refused_with_the_first_reason() -> None:
    with pytest.raises(InputError, match=r"none of the 2 pictures can be read \(0.png: gone\)"):
        build_store(table(["gone", b"text"]), np.arange(2))
    result = prepare_all(table(["gone", b"text"]), np.arange(2), torch.from_numpy)
    assert len(result.pictures) == len(result.rows) == 0
    assert [row for row, _ in result.failures] == [0, 1]
    assert len(build_store(table([]), np.arange(0)).store) == 0


@pytest.mark.parametrize("shape", [(20, 30, 3), (21, 31, 3), (64, 17, 1), (7, 9, 3), (100, 101, 1)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_reduction_is_the_mean_of_boxes(shape: tuple[int, int, int], kind: type) -> None:
    pixels = RNG.integers(0, 256, shape).astype(kind)
    side = 7
    small = reduced(pixels, side)
    k = min(shape[:2]) // side
    assert small.dtype == kind
    assert min(small.shape[:2]) >= side
    expected = np.array(
        [
            [pixels[y : y + k, x : x + k].astype(np.float64).mean((0, 1)) for x in range(0, shape[1], k)]
            for y in range(0, shape[0], k)
        ]
    )
    assert small.shape == expected.shape
    assert np.abs(small - expected).max() <= (1 if kind is np.uint8 else 1e-4)


def test_shrinking_changes_the_pixels_and_not_the_checksum() -> None:
    items: list[bytes | np.ndarray | str] = [png(colour(60, 80)), png(colour(10, 10))]
    full, small = (build_store(table(items), range(2), shrink=shrink) for shrink in (None, 20))
    assert small.store.shapes.tolist() == [[20, 27, 3], [10, 10, 3]]
    assert small.sizes.tolist() == full.sizes.tolist() == [[60, 80], [10, 10]]
    assert np.array_equal(full.checksums, small.checksums)


def test_progress_is_told_at_the_end_and_not_too_often() -> None:
    class Watch(Observer):
        def __init__(self) -> None:
            self.calls: list[tuple[str, int, int]] = []

        def progress(self, what: str, done: int, total: int) -> None:
            self.calls.append((what, done, total))

    for threads in (1, 3):
        watch = Watch()
        build_store(table([grey(4, 4)] * 3000), range(3000), observer=watch, threads=threads, what="training pictures")
        assert watch.calls[-1] == ("training pictures", 3000, 3000)
        assert len(watch.calls) < 50
        assert [done for _, done, _ in watch.calls] == sorted(done for _, done, _ in watch.calls)


def test_a_defect_in_a_thread_comes_out_as_it_is() -> None:
    def broken(row: int) -> int:
        if row == 70:
            raise RuntimeError("a defect")
        return row

    for threads in (1, 4):
        with pytest.raises(RuntimeError, match="a defect"):
            list(in_order(broken, range(200), lambda _: 1, threads=threads))


def test_only_a_window_is_in_the_works() -> None:
    started: list[int] = []

    def work(row: int) -> int:
        started.append(row)
        return row

    ahead = 0
    for row in in_order(work, range(400), lambda _: 40 << 20, threads=4):
        ahead = max(ahead, max(started) - row)
    assert ahead <= 12


def test_leaving_early_stops_the_threads() -> None:
    reads = read_pictures(table([grey(4, 4)] * 5000), range(5000), threads=4)
    assert next(reads).row == 0
    reads.close()


MEASURE = """
import resource, sys
import numpy as np, torch
from striate.data.samples import Samples
from striate.data.preparing import prepare_all

class Made:
    def load(self, index):
        pixels = np.full((700, 700, 3), index % 256, dtype=np.uint8)
        pixels[0, 0, 0] ^= 1
        return pixels

def prepare(pixels):
    return torch.from_numpy(pixels[:8, :8].transpose(2, 0, 1).copy())

def run(count):
    samples = Samples(source="", how="", pictures=Made(), index=np.arange(count), names=("",) * count,
        targets=np.zeros(count, int), class_names=("a",), splits=np.full(count, ""))
    assert prepare_all(samples, np.arange(count), prepare, threads=2).pictures.shape == (count, 3, 8, 8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

run(20)
first = run(40)
print(first, run(200))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak memory as Linux gives it")
def test_preparing_keeps_memory_flat() -> None:
    """200 pictures are 294 MB; the peak must not rise by more than a few of them."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    few, many = (float(value) for value in done.stdout.split())
    assert many - few < 40


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    opened = os.fdopen

    def full(descriptor: int, *arguments: object, **options: object) -> object:
        os.close(descriptor)
        return opened(os.open("/dev/full", os.O_RDWR), *arguments, **options)

    monkeypatch.setattr("striate.data.store_files.os.fdopen", full)
    with pytest.raises(InputError, match=r"its disk is full.*STRIATE_CACHE"):
        build_store(table([colour(300, 300)] * 40), range(40), room=0)
    assert list((tmp_path / "stores").iterdir()) == []


def test_a_cache_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cache folder .* cannot be made"):
        build_store(table([colour(3, 3)]), range(1), room=0)
