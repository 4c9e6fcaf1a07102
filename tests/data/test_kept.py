"""Stores that are kept: found by content alone, equal to decoding anew, never wrong after an accident, in budget."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

import striate
from striate.data.preparing import PreparedResult, prepare_kept
from striate.data.reading import load_pixels
from striate.data.sources import open_dataset
from striate.data.store import StoreResult, build_store
from striate.data.store_files import HEAD
from striate.errors import InputError
from striate.observer import Observer

FOUND = "pictures were decoded before"
KEPT = "the decoded pictures are kept for the next run"


class Said(Observer):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(autouse=True)
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where stores are kept: a cache folder of the test's own, empty."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STRIATE_CACHE_BUDGET", raising=False)
    return tmp_path / "cache" / "stores"


def write(folder: Path, seed: int = 0, count: int = 12) -> Path:
    """Class folders of pictures of several sizes, formats and depths, one of them broken."""
    sides, draws = np.random.default_rng(0), np.random.default_rng(seed)
    for index in range(count):
        place = folder / "ab"[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        height, width = (int(side) for side in sides.integers(40, 90, 2))
        pixels = draws.integers(0, 256, (height, width, 3), dtype=np.uint8)
        if index == 3:
            (place / f"{index}.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
        elif index == 5:
            Image.fromarray(pixels[..., 0].astype(np.uint16) * 256 + 7).save(place / f"{index}.png")
        elif index % 3 == 0:
            Image.fromarray(pixels[..., 0]).save(place / f"{index}.png")
        else:
            Image.fromarray(pixels).save(place / f"{index}.jpg", quality=80)
    return folder


def built(folder: Path, keep_from: float | None = 0, **more: object) -> tuple[StoreResult, str]:
    """The store of a folder, and everything that was said."""
    samples, said = open_dataset(folder), Said()
    result = build_store(samples, np.arange(len(samples)), observer=said, keep_from=keep_from, **more)  # type: ignore[arg-type]
    return result, "\n".join(said.lines)


def same(one: StoreResult, other: StoreResult) -> bool:
    return (
        np.array_equal(one.rows, other.rows)
        and np.array_equal(one.checksums, other.checksums)
        and np.array_equal(one.sizes, other.sizes)
        and one.failures == other.failures
        and len(one.store) == len(other.store)
        and one.store.uniform == other.store.uniform
        and all(
            np.array_equal(one.store.pixels(i), other.store.pixels(i))
            and one.store.pixels(i).dtype == other.store.pixels(i).dtype
            for i in range(len(one.store))
        )
    )


@pytest.mark.parametrize("room", [0, None])
@pytest.mark.parametrize("later", [0, None])
def test_a_folder_that_was_renamed_or_copied_finds_its_store(
    room: int | None, later: int | None, tmp_path: Path, stores: Path
) -> None:
    """From memory or from a file, into memory or mapped."""
    plain, words = built(write(tmp_path / "photos"), keep_from=None)
    assert words == ""
    first, words = built(tmp_path / "photos", room=room)
    assert KEPT in words
    assert len(list(stores.iterdir())) == 1
    (tmp_path / "photos").rename(tmp_path / "other")
    shutil.copytree(tmp_path / "other", tmp_path / "third")
    for name in ("other", "third"):
        again, words = built(tmp_path / name, room=later)
        assert FOUND in words
        assert ("mapped" in words) == (later == 0)
        assert same(again, plain)
    assert same(first, plain)
    assert len(plain.failures) == 1
    assert len(list(stores.iterdir())) == 1


def test_uniform_pictures_come_back_as_a_block(tmp_path: Path) -> None:
    (tmp_path / "p/a").mkdir(parents=True)
    for index in range(80):
        pixels = np.random.default_rng(index).integers(0, 256, (9, 7, 3), dtype=np.uint8)
        Image.fromarray(pixels if index % 7 else pixels[..., 0]).save(tmp_path / f"p/a/{index}.png")
    first, _ = built(tmp_path / "p")
    for room in (0, None):
        again, words = built(tmp_path / "p", room=room)
        assert FOUND in words
        assert again.store.uniform
        assert np.array_equal(again.store.block(np.arange(80)), first.store.block(np.arange(80)))


def test_a_changed_picture_or_another_order_or_setting_is_decoded_anew(tmp_path: Path, stores: Path) -> None:
    folder = write(tmp_path / "photos")
    built(folder)
    path = folder / "a/4.jpg"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1  # same size, and the file's times as before
    times = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed, words = built(folder)
    assert FOUND not in words
    samples = open_dataset(folder)
    for index, row in enumerate(changed.rows.tolist()):
        assert np.array_equal(changed.store.pixels(index), load_pixels(samples, row))
    (folder / "a/0.png").rename(folder / "a/99.png")
    moved, words = built(folder)
    assert FOUND not in words
    assert not same(moved, changed)
    assert FOUND not in built(folder, shrink=20)[1]
    assert FOUND not in built(folder, shrink=20, scaled=True)[1]
    samples = open_dataset(folder)
    some = build_store(samples, np.arange(3), keep_from=0)
    assert len(some.store) == 3
    assert len(list(stores.iterdir())) == 6
    assert FOUND in built(folder, shrink=20)[1]


WAYS = ["half", "empty", "longer", "text", "nested", "no metadata"]
WAYS += [str(byte) for byte in (9, 30, 200, 600, HEAD, HEAD + 9999, -1, -400)]


def damaged(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "half":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = bytearray()
    elif how == "longer":
        data += b"more"
    elif how == "text":
        data = bytearray(b"no store at all" * 1000)
    elif how == "nested":
        data[8:HEAD] = b"[" * (HEAD - 8)
    elif how == "no metadata":
        data[8:HEAD] = b"{}".ljust(HEAD - 8)
    else:
        data[int(how)] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize(
    "how",
    [
        "half",
        "empty",
        "longer",
        "text",
        "nested",
        "no metadata",
        "9",
        "30",
        "200",
        "600",
        str(HEAD),
        str(HEAD + 9999),
        "-1",
        "-400",
    ],
)
def test_a_damaged_store_is_made_anew_and_said(how: str, tmp_path: Path, stores: Path) -> None:
    first, _ = built(write(tmp_path / "photos"))
    (path,) = stores.iterdir()
    whole = path.read_bytes()
    damaged(path, how)
    for room in (0, None):
        again, words = built(tmp_path / "photos", room=room)
        assert same(again, first)
        if room == 0:
            assert words.count("cannot be used: ") == 1
            assert KEPT in words
        else:
            assert FOUND in words
    assert path.read_bytes() == whole


def test_a_changed_byte_is_noticed_wherever_it_is(tmp_path: Path, stores: Path) -> None:
    first, _ = built(write(tmp_path / "photos", count=5))
    (path,) = stores.iterdir()
    whole = path.read_bytes()
    header_end = whole.index(b"   ", 8)
    places = [*range(0, header_end, 9), *np.random.default_rng(0).integers(HEAD, len(whole), 60).tolist()]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :])
        again, words = built(tmp_path / "photos", keep_from=1e9)
        assert FOUND not in words, place
        assert same(again, first)
        if place >= HEAD:
            assert "have changed" in words or "has changed" in words, place


def test_a_store_of_another_version_is_made_anew_and_said(
    tmp_path: Path, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr("PIL.__version__", "10.0.0")
        first, _ = built(write(tmp_path / "photos"))
        assert FOUND in built(tmp_path / "photos")[1]
    again, words = built(tmp_path / "photos")
    assert "cannot be used: another version wrote it; decoding them anew" in words
    assert same(again, first)
    assert FOUND in built(tmp_path / "photos")[1]
    assert len(list(stores.iterdir())) == 1


def test_the_file_is_one_that_others_can_read(tmp_path: Path, stores: Path) -> None:
    """safetensors itself is the judge of the layout."""
    result, _ = built(write(tmp_path / "photos"), room=0)
    (path,) = stores.iterdir()
    content = load_file(path)
    assert np.array_equal(content["shapes"], result.store.shapes)
    assert np.array_equal(content["checksums"], result.checksums)
    assert json.loads(content["failures"].tobytes()) == [[int(row), reason] for row, reason in result.failures]
    first = result.store.pixels(0)
    assert np.array_equal(content["pixels"][: first.size], first.reshape(-1))


def test_what_is_quickly_decoded_and_what_need_not_be_is_not_kept(tmp_path: Path, stores: Path) -> None:
    _, words = built(write(tmp_path / "photos"), keep_from=1e9)
    assert words == ""
    pictures = np.random.default_rng(0).integers(0, 256, (8, 5, 5), dtype=np.uint8)
    samples, said = open_dataset((pictures, np.arange(8) % 2)), Said()
    build_store(samples, np.arange(8), keep_from=0, observer=said)
    assert said.lines == []
    assert not stores.exists() or not list(stores.iterdir())


def prepared(
    folder: Path, how: str = "one way", broken: bool = False, deep: bool = False
) -> tuple[PreparedResult, str]:
    """A folder's pictures prepared, or found; with `broken`, what prepares them must not be called."""

    def prepare(pixels: np.ndarray) -> torch.Tensor:
        if broken:
            raise RuntimeError("prepared again")
        values = torch.from_numpy(np.resize(pixels, (3, 6, 5)).astype(np.float32))
        return values if deep else values.to(torch.uint8)

    samples, said = open_dataset(folder), Said()
    rows = np.arange(len(samples))[::-1]
    result = prepare_kept(samples, rows, prepare, how=how, size="6x5", keep_from=0, observer=said)
    return result, "\n".join(said.lines)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_prepared_pictures_are_kept_too(
    deep: bool, share: float, tmp_path: Path, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal to those that were not kept, with their failures, and not made again."""
    monkeypatch.setattr("striate.data.preparing.SECONDS_A_BYTE", 0.0)
    monkeypatch.setattr("striate.data.preparing.STORE_SHARE", share)
    first, words = prepared(write(tmp_path / "photos"), deep=deep)
    assert KEPT in words
    (tmp_path / "photos").rename(tmp_path / "other")
    again, words = prepared(tmp_path / "other", deep=deep, broken=True)
    assert FOUND in words
    assert ("mapped" in words) == (share == 0)
    assert again.pictures.dtype == first.pictures.dtype
    assert torch.equal(again.pictures, first.pictures)
    assert again.rows.tolist() == first.rows.tolist() == sorted(first.rows.tolist(), reverse=True)
    assert np.array_equal(again.checksums, first.checksums)
    assert again.failures == first.failures
    assert len(first.failures) == 1
    other, words = prepared(tmp_path / "other", how="another way", deep=not deep)
    assert FOUND not in words
    assert other.pictures.dtype != first.pictures.dtype
    # Training pictures of the same files are another matter.
    assert FOUND not in built(tmp_path / "other")[1]
    for path in stores.iterdir():
        damaged(path, "half")
    anew, words = prepared(tmp_path / "other", deep=deep)
    assert "it is half written; decoding them anew" in words
    assert torch.equal(anew.pictures, first.pictures)


def test_prepared_pictures_that_are_as_quickly_prepared_as_read_are_not_kept(
    tmp_path: Path, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.data.preparing.SECONDS_A_BYTE", 1.0)
    assert prepared(write(tmp_path / "photos"))[1] == ""
    assert not stores.exists()


BUILD = """
import sys
import numpy as np
from striate.data.reading import checksum
from striate.data.sources import open_dataset
from striate.data.store import build_store

samples = open_dataset(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
result = build_store(samples, np.arange(len(samples)), keep_from=0, room=int(sys.argv[2]), threads=1)
print(sum(checksum(result.store.pixels(i)) for i in range(len(result.store))))
"""


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(folder, room)`: a process that stands ready to build the store of a folder, and waits for a line."""
    children: list[subprocess.Popen[str]] = []

    def ready(folder: Path, room: int, program: str = BUILD) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(folder), str(room)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(striate.__file__).parents[1])},
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    yield ready
    for child in children:
        child.kill()
        child.communicate()


def tell(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_two_processes_at_once(room: int, start: Start, tmp_path: Path, stores: Path) -> None:
    folder = write(tmp_path / "photos", count=60)
    children = [start(folder, room) for _ in range(2)]
    for child in children:
        tell(child)
    sums = {child.communicate()[0] for child in children}
    assert [child.returncode for child in children] == [0, 0]
    assert len(sums) == 1
    assert [path.suffix for path in stores.iterdir()] == [".store"]
    assert FOUND in built(folder)[1]


# The source stops in the middle, and says so.
STOPS = BUILD.replace(
    'print("ready"',
    """
load = samples.pictures.load
def stopping(index):
    if index == 80:
        print("stopped", flush=True)
        sys.stdin.readline()
        sys.stdin.readline()
    return load(index)
samples.pictures.load = stopping
print("ready\"""",
)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_kill_while_the_store_is_written_leaves_nothing_that_counts(
    start: Start, tmp_path: Path, stores: Path
) -> None:
    folder = write(tmp_path / "photos", count=100)
    plain, _ = built(folder, keep_from=None)
    children = [start(folder, 0, STOPS) for _ in range(2)]
    for child in children:
        tell(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "stopped\n"
    assert [path.suffix for path in stores.iterdir()] == [".part"] * 2
    children[0].send_signal(signal.SIGKILL)
    children[0].wait()
    for path in stores.iterdir():
        os.utime(path, (0, 0))
    again, words = built(folder)
    assert FOUND not in words
    assert same(again, plain)
    # What the killed one had begun is gone; what the other is writing is not.
    assert sorted(path.suffix for path in stores.iterdir()) == [".part", ".store"]
    tell(children[1])
    tell(children[1])
    children[1].communicate()
    assert children[1].returncode == 0
    assert [path.suffix for path in stores.iterdir()] == [".store"]
    assert same(built(folder)[0], plain)


def test_the_budget_is_kept_by_removing_what_was_not_used_for_longest(
    tmp_path: Path, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [write(tmp_path / f"photos-{seed}", seed) for seed in range(4)]
    for number, folder in enumerate(folders[:3]):
        built(folder)
        newest = max(stores.iterdir(), key=lambda path: path.stat().st_mtime)
        os.utime(newest, (1000 + number, 1000 + number))
    assert FOUND in built(folders[0])[1]  # used: no longer the oldest
    sizes = [path.stat().st_size for path in stores.iterdir()]
    budget = sum(sizes) + 20
    monkeypatch.setenv("STRIATE_CACHE_BUDGET", str(budget))
    built(folders[3])
    assert sum(path.stat().st_size for path in stores.iterdir()) <= budget
    found = [FOUND in built(folder, keep_from=1e9)[1] for folder in folders]
    assert found == [True, False, True, True]


def test_a_store_that_is_larger_than_the_budget_is_not_kept(
    tmp_path: Path, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "photos")
    built(folder)
    other = write(tmp_path / "other", 1)
    monkeypatch.setenv("STRIATE_CACHE_BUDGET", "10 kB")
    for room in (0, None):
        result, words = built(other, room=room)
        assert "are not kept: the cache may take 10 kB" in words
        assert len(result.store) == 11
    assert len(list(stores.iterdir())) == 1  # nothing was removed for it
    monkeypatch.setenv("STRIATE_CACHE_BUDGET", "0")
    assert built(folder)[1] == ""
    for text in ("much", "-1", "5 apples", "1e9", "nan", "٣"):
        monkeypatch.setenv("STRIATE_CACHE_BUDGET", text)
        with pytest.raises(InputError, match="STRIATE_CACHE_BUDGET must be a size such as 5GB"):
            built(folder)


def test_a_cache_folder_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "photos")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "file"))
    result, words = built(folder)
    assert "are not kept for the next run: the cache folder" in words
    assert len(result.store) == 11
    with pytest.raises(InputError, match="cannot be made"):
        built(folder, room=0)


MEMORY = """
import sys
import numpy as np
from striate.data.sources import open_dataset
from striate.data.store import build_store

def resident(kind):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(kind)) // 1024

samples = open_dataset(sys.argv[1])
rows = np.arange(len(samples))
build_store(samples, rows[:1])
before = resident("RssAnon")
result = build_store(samples, rows, keep_from=0, room=int(sys.argv[2]), threads=1)
print(sum(int(result.store.pixels(i).sum()) for i in rows) > 0, resident("RssAnon") - before, resident("RssFile"))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads resident memory as Linux gives it")
def test_a_mapped_store_takes_pages_of_the_file_and_no_memory_of_the_process(tmp_path: Path) -> None:
    """40 flat pictures of 3 MB: 120 MB, built beyond the room and found again, and once within it."""
    (tmp_path / "photos/a").mkdir(parents=True)
    for index in range(40):
        Image.new("RGB", (1000, 1000), (index, 1, 200)).save(tmp_path / f"photos/a/{index}.png")
    told = []
    for room in (0, 0, 1 << 30):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(tmp_path / "photos"), str(room)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(Path(striate.__file__).parents[1])},
        )
        word, own, _ = done.stdout.split()
        assert word == "True"
        told.append(int(own))
    assert told[0] < 60
    assert told[1] < 40
    assert told[2] > 110
