"""Tars behind addresses, on fsspec's memory file system: found, indexed once, read as from a folder."""

from __future__ import annotations

import json

import fsspec
import pytest
from test_sources import refused, rows

from shards import shards, tar_of, write_shards
from striate.data.sources import open_dataset
from striate.data.sources.remote import expand, is_address


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """An empty memory file system, and a cache folder of its own."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def put(memory, folder: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        memory.pipe(f"/{folder}/{name}", data)


def loaded(samples):
    return {name: samples.pictures.load(int(row)) for name, row in zip(samples.names, samples.index, strict=True)}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("address", ["memory://set", "memory://set/", "memory://set/part-{000..002}.tar"])
def test_the_same_as_from_a_folder(memory, tmp_path, address, compressed):
    write_shards(tmp_path / "set", count=3, each=4, compressed=compressed)
    put(memory, "set", shards(count=3, each=4, compressed=compressed))
    address += ".gz" * (compressed and address.endswith("tar"))
    here, there = open_dataset(tmp_path / "set"), open_dataset(address)
    assert there.source == address
    assert there.how == here.how == "WebDataset tars: 3 shards, 3 classes, 12 pictures"
    assert (there.names, there.class_names) == (here.names, here.class_names)
    assert there.targets.tolist() == here.targets.tolist()
    assert loaded(there) == loaded(here)


def test_splits_by_names_and_by_folders_and_names_of_classes(memory):
    put(memory, "named", {"train-0.tar": tar_of([("0.png", b"x"), ("0.cls", b"1"), ("1.png", b"y"), ("1.cls", b"0")])})
    put(memory, "named", {"val-0.tar": tar_of([("0.png", b"z"), ("0.cls", b"1")]), "classes.txt": b"ant\nbee\n"})
    assert rows(open_dataset("memory://named")) == {
        "train-0.tar/0.png": ("bee", "train"),
        "train-0.tar/1.png": ("ant", "train"),
        "val-0.tar/0.png": ("bee", "validation"),
    }
    both = open_dataset("memory://named/{train,val}-0.tar")
    assert rows(both) == rows(open_dataset("memory://named"))
    for split in ("train", "test"):
        put(memory, f"folders/{split}", shards(count=3, each=1))
    found = rows(open_dataset("memory://folders"))
    assert {split for _, split in found.values()} == {"train", "test"}
    assert "train/part-000.tar/000-0000.png" in found


def test_headers_are_passed_over_once(memory, tmp_path):
    put(memory, "set", shards(count=3, each=4))
    first = open_dataset("memory://set")
    kept = sorted((tmp_path / "cache" / "indexes").iterdir())
    assert len(kept) == 3
    opened = []
    original = memory.open

    def watched(path, *arguments, **options):
        opened.append(path)
        return original(path, *arguments, **options)

    memory.open = watched
    try:
        again = open_dataset("memory://set")
        assert opened == []
        assert (again.names, again.how) == (first.names, first.how)
        assert again.pictures.places.tolist() == first.pictures.places.tolist()
        memory.pipe("/set/part-001.tar", shards(count=3, each=5)["part-001.tar"])
        changed = open_dataset("memory://set")
        assert set(opened) == {"/set/part-001.tar"}
        assert len(changed) == 13
    finally:
        del memory.open


@pytest.mark.parametrize("damage", ["cut", "changed", "another version"])
def test_a_broken_index_is_made_anew(memory, tmp_path, damage):
    from striate.data.sources import kept_index

    put(memory, "set", shards(count=3, each=4))
    first = open_dataset("memory://set")
    path = min((tmp_path / "cache" / "indexes").iterdir())
    data = path.read_bytes()
    if damage == "another version":
        body = json.loads(data.partition(b"\n")[2]) | {"schema": 99}
        text = json.dumps(body).encode()
        data = kept_index._checksum(text) + b"\n" + text
    path.write_bytes({"cut": data[: len(data) // 2], "changed": data.replace(b"png", b"pnm")}.get(damage, data))
    again = open_dataset("memory://set")
    assert again.names == first.names
    assert again.how == f"{first.how}; 1 kept index was broken, made anew"
    assert open_dataset("memory://set").how == first.how


def test_damage_is_kept_with_the_index(memory):
    whole = shards(count=3, each=4)
    whole["part-001.tar"] = whole["part-001.tar"][:3000]
    put(memory, "set", whole)
    for _ in range(2):
        samples = open_dataset("memory://set")
        assert len(samples) < 12
        assert any(one.name.startswith("part-001.tar") for one in samples.left_out)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://nothing", "there is no such file or folder"),
        ("memory://set/part-{000..009}.tar", "there is no such file or folder"),
        ("memory://set/part-{9..1}.tar", "must count upwards"),
        ("memory://set/part-{0..9999999}.tar", "must count upwards, to 1,000,000 files at most"),
        ("memory://empty", "no tars there"),
        ("nosuch://bucket/x", "cannot be read"),
        ("https://example.org/photos", "download it first"),
    ],
)
def test_what_cannot_be_opened_is_said_in_a_sentence(memory, address, said):
    put(memory, "set", shards(count=3, each=1))
    put(memory, "empty", {"readme.txt": b"nothing"})
    assert said in refused(address)


def test_a_file_system_that_is_not_installed_is_named():
    pytest.importorskip("fsspec")
    try:
        import s3fs  # noqa: F401
    except ImportError:
        assert "s3fs" in refused("s3://bucket/photos")
    else:
        pytest.skip("s3fs is installed here")


def test_what_is_an_address():
    assert is_address("s3://bucket/a")
    assert is_address("memory://a")
    assert not is_address("C://a")
    assert not is_address("photos/a")
    assert expand("a-{08..11}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert expand("{a,b}-{1..2}") == ["a-1", "a-2", "b-1", "b-2"]
    assert expand("plain.tar") == ["plain.tar"]
