"""Kept pictures through the command line: `striate cache`, equal runs with and without them, disks that are full."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import QUICK, here, snapshot, write_pictures

import striate
from striate.data.sources import open_dataset
from striate.data.store import build_store
from striate.errors import InputError

FOUND = "pictures were decoded before"


@pytest.fixture(autouse=True)
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, where everything is kept however quickly it was decoded."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STRIATE_CACHE_BUDGET", raising=False)
    monkeypatch.setattr("striate.data.kept.KEEP_FROM", 0)
    return tmp_path / "cache" / "stores"


def keep(folder: Path, used: float) -> str:
    """Keep the pictures of a folder, last used at that time; their key."""
    samples = open_dataset(folder)
    build_store(samples, np.arange(len(samples)), keep_from=0)
    path = max((Path(os.environ["STRIATE_CACHE"]) / "stores").iterdir(), key=lambda one: one.stat().st_mtime)
    os.utime(path, (used, used))
    return path.stem


def test_the_list_and_its_cleaning(place: Path, stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = here(capsys, "cache")
    assert said.code == 0
    assert said.out.startswith("0 bytes of at most ")
    assert not stores.exists()  # to look makes nothing
    keys = [
        keep(write_pictures(place / f"photos-{side}", size=side), used)
        for side, used in ((8, 1e9), (9, 1.5e9), (10, 1.7e9))
    ]
    (stores / "thesis.tex").write_text("years of work")
    (stores.parent / "other.store").write_text("not ours")
    listed = json.loads(here(capsys, "cache", "--json").out)
    assert [one["key"] for one in listed["kept"]] == keys[::-1]
    assert (
        listed["bytes"]
        == sum(one["bytes"] for one in listed["kept"])
        == sum(path.stat().st_size for path in stores.glob("*.store"))
    )
    assert listed["kept"][2]["used"] == "2001-09-09T01:46:40+00:00"
    assert listed["kept"][2]["what"] == f"12 pictures of {place / 'photos-8'}, whole"
    assert listed["removed"] == []
    assert striate.cache().to_json() == {**listed, "kept": tuple(listed["kept"]), "removed": ()}
    shown = here(capsys, "cache").out.splitlines()
    assert [line.split()[0] for line in shown] == ["key", *keys[::-1], listed_size(shown[-1])]
    # Python's own arguments, and the command's.
    assert [one.key for one in striate.cache(True, older_than=9000).removed] == [keys[0]]
    said = here(capsys, "cache", "--clean", keys[1][:13])
    assert said.code == 0
    assert keys[1] in said.out
    assert "1 removed" in said.out
    assert [path.stem for path in stores.glob("*.store")] == [keys[2]]
    done = json.loads(here(capsys, "cache", "--clean", "--all", "--json").out)
    assert [one["key"] for one in done["removed"]] == [keys[2]]
    assert done["kept"] == []
    assert [path.name for path in stores.iterdir()] == ["thesis.tex"]
    assert (stores.parent / "other.store").exists()


def listed_size(line: str) -> str:
    """How the last line of the list begins."""
    assert " of at most " in line
    return line.split()[0]


def test_indexes_are_one_entry(place: Path, stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = keep(write_pictures(place / "photos"), 1e9)
    indexes = stores.parent / "indexes"
    indexes.mkdir()
    for name, size, used in (("a.json", 30, 1.2e9), ("b.json", 12, 1.1e9), ("thesis.tex", 5, 1e9)):
        (indexes / name).write_bytes(b"x" * size)
        os.utime(indexes / name, (used, used))
    listed = json.loads(here(capsys, "cache", "--json").out)
    assert [one["key"] for one in listed["kept"]] == ["indexes", key]
    entry = listed["kept"][0]
    assert (entry["bytes"], entry["used"][:10]) == (42, "2008-01-10")
    assert entry["what"] == "2 indexes of tars behind addresses"
    assert listed["folder"] == str(stores.parent)
    assert [one["key"] for one in json.loads(here(capsys, "cache", "--clean", "ind", "--json").out)["removed"]] == [
        "indexes"
    ]
    assert [path.name for path in indexes.iterdir()] == ["thesis.tex"]
    assert [one.key for one in striate.cache().kept] == [key]


def test_looks_are_one_entry(stores: Path) -> None:
    from striate.views.top_index import LOOKS, SUFFIX

    looks = stores.parent / LOOKS
    looks.mkdir(parents=True)
    (looks / f"a{SUFFIX}").write_bytes(b"abc")
    (entry,) = striate.cache().kept
    assert (entry.key, entry.bytes, entry.what) == ("looks", 3, "1 look into a layer")
    assert [one.key for one in striate.cache("looks").removed] == ["looks"]
    assert list(looks.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (("--clean",), "what is to be removed is not said: name a KEY of striate cache, --all, or --older-than DAYS"),
        (("--all",), "--all and --older-than say what is to be removed: striate cache --clean --all"),
        (("--older-than", "3"), "--all and --older-than say what is to be removed: striate cache --clean --all"),
        (("--clean", "a", "--all"), "what is to be removed is said in more than one way"),
        (("--clean", "--all", "--older-than", "3"), "what is to be removed is said in more than one way"),
        (("--clean", "--older-than", "soon"), "--older-than: must be a number of days, got 'soon'"),
        (("--clean", "--older-than", "-3"), "--older-than must be a number of days, 0 or more, got -3.0"),
        (("--clean", "--older-than", "nan"), "--older-than must be a number of days, 0 or more, got nan"),
        (("--clean", "zzz"), "no key 'zzz'"),
        (("--clean", "../../other"), "no key '../../other'"),
        (("stores",), "'stores' is one argument too many"),
    ],
)
def test_what_is_not_understood_removes_nothing(
    asked: tuple[str, ...], sentence: str, place: Path, stores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(write_pictures(place / "photos"), 1e9)
    before = snapshot(place)
    assert here(capsys, "cache", *asked).sentence.startswith(sentence)
    assert snapshot(place) == before


def test_a_key_must_be_one(place: Path, stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert here(capsys, "cache", "--clean", "a").sentence == "no key 'a': nothing is kept"
    keys = [keep(write_pictures(place / f"photos-{side}", size=side), 1e9) for side in (8, 9)]
    common = keys[0].partition("-")[0]
    assert keys[1].startswith(common)  # as many pictures, at the same settings
    assert here(capsys, "cache", "--clean", common).sentence == f"2 keys begin with '{common}'; name more of it"
    with pytest.raises(InputError, match="no key ''"):
        striate.cache("")


def test_runs_are_equal_with_and_without_kept_pictures(
    place: Path, stores: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(place / "pictures", count=20, size=24)
    asked = ("train", "pictures", *QUICK, "--epochs", "2")
    with monkeypatch.context() as context:
        context.setenv("STRIATE_CACHE_BUDGET", "0")
        assert here(capsys, *asked, "--out", "plain").code == 0
        assert not stores.exists() or not list(stores.iterdir())
    first, second = (here(capsys, *asked, "--out", name) for name in ("first", "second"))
    assert FOUND not in first.err
    assert second.err.count(FOUND) == 3  # of training, validation and test
    (place / "pictures").rename(place / "renamed")
    with monkeypatch.context() as context:
        context.setattr("striate.data.store.STORE_SHARE", 0.0)
        third = here(capsys, "train", "renamed", *QUICK, "--epochs", "2", "--out", "third")
    assert "mapped" in third.err
    for name in ("first", "second", "third"):
        for file in ("model.safetensors", "predictions.csv"):
            assert (place / name / file).read_bytes() == (place / "plain" / file).read_bytes()


Disk = Callable[[str], Path]


def fill(disk: Path, left: int) -> None:
    """A file on the disk that leaves so many bytes free."""
    free = os.statvfs(disk)
    (disk / "thesis.tex").write_bytes(bytes(free.f_bavail * free.f_frsize - left))


def test_a_full_disk_in_the_cache_folder(
    disk: Disk, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where memory takes the pictures the run goes on, and says so; else it is one sentence. Nothing is lost."""
    full = disk("size=2m")
    (full / "stores").mkdir()
    monkeypatch.setenv("STRIATE_CACHE", str(full))
    monkeypatch.setenv("STRIATE_CACHE_BUDGET", "1GB")
    write_pictures(place / "pictures", count=20, size=64)  # 330 kB
    kept = keep(write_pictures(place / "others"), 1e9)
    for left in (0, 4096, 65536):
        fill(full, left)
        before = snapshot(full, times=False)
        done = here(capsys, "train", "pictures", "--out", f"run-{left}", *QUICK)
        assert done.code == 0, done.err
        assert "the decoded pictures are not kept for the next run: No space left on device" in done.err
        assert snapshot(full, times=False) == before
        with monkeypatch.context() as context:
            context.setattr("striate.data.store.STORE_SHARE", 0.0)
            sentence = here(capsys, "train", "pictures", "--out", f"mapped-{left}", *QUICK).sentence
        assert "do not fit into memory, and cannot be written to" in sentence
        assert "its disk is full" in sentence
        assert snapshot(full, times=False) == before
        (full / "thesis.tex").unlink()
    assert [one.key for one in striate.cache().kept] == [kept]
    assert here(capsys, "train", "pictures", "--out", "later", *QUICK).code == 0
    # the training pictures, and those that are held back as the network takes them
    assert len(striate.cache().kept) == 4


def test_a_run_that_goes_on_reads_the_same_pixels(
    place: Path, stores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where a few pictures are much larger than the input that the others led to."""
    write_pictures(place / "pictures", count=10, size=24)
    write_pictures(place / "large", count=2, size=400)
    for path in sorted((place / "large").rglob("*.png")):
        path.rename(place / "pictures" / path.parent.name / f"large-{path.name}")
    first = here(capsys, "train", "pictures", *QUICK, "--out", "run")
    assert first.code == 0, first.err
    again = here(capsys, "resume", "run", "--epochs", "2")
    assert again.code == 0, again.err
    assert again.err.count(FOUND) == 3
