"""Packed sources: what they hold is what the folder holds; what is hostile is refused whole and writes nothing."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from test_sources import make, refused, rows

import striate
from striate.data.sources import gzipped, open_dataset, unpacking
from striate.data.sources.archives import unpacked
from striate.data.sources.unpacking import Contents, Most, unpack
from striate.errors import InputError

FILES = [f"{split}/{label}/{n}.png" for split in ("train", "test") for label in ("ant", "bee") for n in (1, 2)]
ENDINGS = ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tbz2", "tar.xz", "txz"]
MODES = {
    "tar": "w",
    "tar.gz": "w:gz",
    "tgz": "w:gz",
    "tar.bz2": "w:bz2",
    "tbz2": "w:bz2",
    "tar.xz": "w:xz",
    "txz": "w:xz",
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    """Where archives are unpacked; empty."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("STRIATE_CACHE", str(folder))
    return folder / "archives"


def pack(path: Path, members) -> Path:
    """members: (name, bytes), or what the format calls a member that has none."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)
        return path
    with tarfile.open(path, MODES[path.name.partition(".")[2]]) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def pictures(prefix: str = ""):
    return [(f"{prefix}{name}", name.encode()) for name in FILES]


def loaded(samples):
    return [samples.pictures.load(int(index)) for index in samples.index]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("prefix", ["", "./", "photos/2024/"])
def test_an_archive_is_the_folder_that_it_holds(tmp_path, cache, ending, prefix):
    path = pack(tmp_path / f"photos.{ending}", [(f"{prefix}.DS_Store", b"x"), *pictures(prefix)])
    folder = make(tmp_path / "folder", *(f"{prefix}{name}" for name in FILES))
    samples, plain = open_dataset(path), open_dataset(folder)
    assert rows(samples) == rows(plain)
    assert samples.names == plain.names
    assert loaded(samples) == [name.encode() for name in samples.names]
    assert samples.source == str(path)
    assert samples.how.startswith("class folders under ")
    assert samples.how.endswith("unpacked from it (8 files, 0.0 MB)")
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_other_sources_in_archives(tmp_path, ending):
    table = "path,label,split\n1.png,a,train\n2.png,b,train\n3.png,a,test\n"
    path = pack(
        tmp_path / f"table.{ending}", [("labels.csv", table.encode()), *((f"{n}.png", b"x") for n in (1, 2, 3))]
    )
    assert rows(open_dataset(path)) == {"1.png": ("a", "train"), "2.png": ("b", "train"), "3.png": ("a", "test")}
    assert open_dataset(path, labels="labels.csv").names == ("1.png", "2.png", "3.png")

    images = struct.pack(">BBBB3I", 0, 0, 8, 3, 4, 2, 2) + bytes(range(16))
    labels = struct.pack(">BBBB1I", 0, 0, 8, 1, 4) + bytes([0, 1, 0, 1])
    members = [("raw/train-images-idx3-ubyte", images), ("raw/train-labels-idx1-ubyte", labels)]
    samples = open_dataset(pack(tmp_path / f"digits.{ending}", members))
    assert samples.targets.tolist() == [0, 1, 0, 1]
    assert np.asarray(samples.pictures.load(3)).tolist() == [[12, 13], [14, 15]]

    shard = io.BytesIO()
    with tarfile.open(fileobj=shard, mode="w") as inner:
        for name, data in (("0.jpg", b"x"), ("0.cls", b"a"), ("1.jpg", b"y"), ("1.cls", b"b")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            inner.addfile(info, io.BytesIO(data))
    shards = pack(tmp_path / f"shards.{ending}", [("train-0.tar", shard.getvalue()), ("test-0.tar", shard.getvalue())])
    assert open_dataset(shards).how.startswith("WebDataset tars: 2 shards")


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz"])
def test_a_tar_of_samples_is_read_where_it_lies(tmp_path, cache, ending):
    members = [("a/0.jpg", b"x"), ("a/0.cls", b"ant"), ("a/1.jpg", b"y"), ("a/1.cls", b"bee")]
    assert open_dataset(pack(tmp_path / f"a.{ending}", members)).how.startswith("WebDataset tars: 1 shard, 2 classes")
    assert not cache.exists()


def test_it_is_unpacked_once(tmp_path, cache):
    path = pack(tmp_path / "photos.tar", pictures())
    open_dataset(path)
    before = {file: file.stat().st_ino for file in cache.rglob("*.png")}
    assert len(before) == 8
    open_dataset(path)
    assert {file: file.stat().st_ino for file in cache.rglob("*.png")} == before
    # another content of the same size and date is another archive
    told = path.stat()
    pack(path, [(name, data[::-1]) for name, data in pictures()])
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert path.stat().st_size == told.st_size
    assert loaded(open_dataset(path)) == [name.encode()[::-1] for name in open_dataset(path).names]


def test_what_was_changed_is_unpacked_anew(tmp_path, cache):
    path = pack(tmp_path / "photos.zip", pictures())
    open_dataset(path)
    next(cache.rglob("1.png")).unlink()
    samples = open_dataset(path)
    assert len(samples) == 8
    assert loaded(samples) == [name.encode() for name in samples.names]
    next(cache.rglob("about.json")).write_text("{")
    assert len(open_dataset(path)) == 8
    assert len(list(cache.iterdir())) == 1


def test_several_at_once(tmp_path, cache):
    path = pack(tmp_path / "photos.tar.gz", pictures())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(unpacked, [path] * 8))
    assert {one.place for one in found} == {cache / found[0].key}
    assert [one.files for one in found] == [8] * 8
    assert [entry.name for entry in cache.iterdir()] == [found[0].key]


def test_what_a_killed_process_left_is_swept(tmp_path, cache):
    old, held, new = (cache / f"{name}.part" for name in ("old", "held", "new"))
    for folder in (old, held, new):
        folder.mkdir(parents=True)
        make(folder, "files/a.png")
    for folder in (old, held):
        os.utime(folder, (0, 0))
    descriptor = os.open(held, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        open_dataset(pack(tmp_path / "photos.zip", pictures()))
    finally:
        os.close(descriptor)
    assert not old.exists()
    assert held.exists()
    assert new.exists()
    assert len(striate.cache().kept) == 1  # what is half written is no entry


def test_the_cache_counts_and_removes_it(tmp_path, cache):
    path = pack(tmp_path / "photos.zip", pictures())
    open_dataset(path)
    (entry,) = striate.cache().kept
    assert entry.what == f"8 files of {path}, unpacked"
    assert entry.bytes == sum(map(len, FILES))
    assert [one.key for one in striate.cache(entry.key[:6]).removed] == [entry.key]
    assert list(cache.iterdir()) == []
    assert len(open_dataset(path)) == 8


# -- what is refused ------------------------------------------------------------------------------------


def linked(kind: bytes, name: str = "train/ant/9.png", to: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def zip_link(name: str, mode: int) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info, b"/etc/passwd"


HOSTILE_NAMES = [
    ("../escape.png", "holds the name ../escape.png, which leads out of it"),
    ("train/../../escape.png", "which leads out of it"),
    ("..", "which leads out of it"),
    ("/etc/escape.png", "holds the absolute name /etc/escape.png"),
    ("..\\escape.png", "which leads out of it"),
    ("C:\\escape.png", "holds the absolute name"),
    ("C:escape.png", "holds the absolute name"),
    ("\\\\server\\escape.png", "holds the absolute name"),
    ("/".join("d" * 70) + "/1.png", "too long or too deep"),
    ("train/ant/" + "n" * 300 + ".png", "too long or too deep"),
    ("train/ant/1.png", "holds train/ant/1.png twice"),
    ("train/ant/./1.png", "of which one would overwrite the other"),
    ("TRAIN/ant/1.PNG", "holds train/ant/1.png and TRAIN/ant/1.PNG, of which one would overwrite the other"),
    ("train/ant", "of which one would overwrite the other"),
    ("train/ant/1.png/2.png", "of which one would overwrite the other"),
]
ZIP = [
    (zip_link("train/ant/9.png", 0o120777), "holds the link train/ant/9.png"),
    (zip_link("train/ant/9.png", 0o020666), "train/ant/9.png, which is no plain file"),
    (zip_link("train/ant/9.png", 0o010666), "which is no plain file"),
    ((zipfile.ZipInfo(""), b"x"), "holds a file without a name"),
]
TAR = [
    (linked(tarfile.SYMTYPE), "holds the link train/ant/9.png"),
    (linked(tarfile.LNKTYPE, to="train/ant/1.png"), "holds the link train/ant/9.png"),
    (linked(tarfile.CHRTYPE), "holds train/ant/9.png, which is no plain file"),
    (linked(tarfile.BLKTYPE), "which is no plain file"),
    (linked(tarfile.FIFOTYPE), "which is no plain file"),
    (linked(tarfile.GNUTYPE_SPARSE), "which is no plain file"),
    (linked(tarfile.DIRTYPE, "../outside"), "which leads out of it"),
]
MEMBERS = [
    *((ending, (name, b"x"), says) for ending in ("zip", "tar", "tar.xz") for name, says in HOSTILE_NAMES),
    *(("zip", member, says) for member, says in ZIP),
    *((ending, member, says) for ending in ("tar", "tgz") for member, says in TAR),
]


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize(("ending", "member", "says"), MEMBERS, ids=[f"{one[0]}-{one[2][:50]}" for one in MEMBERS])
def test_a_hostile_member(tmp_path, cache, ending, member, says):
    path = pack(tmp_path / f"photos.{ending}", [*pictures(), member])
    before = everything(tmp_path)
    said = refused(path)
    assert said.startswith(f"{path}: ")
    assert says in said
    assert everything(tmp_path) == before
    assert everything(cache.parent) == [cache]
    assert not Path("/etc/escape.png").exists()


def patched(path: Path, offset: int, number: int, form: str) -> Path:
    """A field of every entry of a zip's directory, and of the headers before the files, set to `number`."""
    data = bytearray(path.read_bytes())
    for begin, at in ((b"PK\1\2", offset), (b"PK\3\4", offset - 2)):
        place = data.find(begin)
        while place >= 0:
            struct.pack_into(form, data, place + at, number)
            place = data.find(begin, place + 4)
    path.write_bytes(data)
    return path


# Where a field lies in an entry of a zip's directory: flags, method, checksum, size.
FLAGS, METHOD, CHECKSUM, SIZE = 8, 10, 16, 24

ZIPS = [
    ("a password", lambda path: patched(path, FLAGS, 1, "<H"), "locked with a password"),
    ("a strong password", lambda path: patched(path, FLAGS, 0x41, "<H"), "locked with a password"),
    ("lzma", lambda path: patched(path, METHOD, 14, "<H"), "method 14"),
    ("an unknown method", lambda path: patched(path, METHOD, 97, "<H"), "method 97"),
    ("a wrong checksum", lambda path: patched(path, CHECKSUM, 7, "<I"), "no zip file, or damaged"),
    ("a bomb by its own words", lambda path: patched(path, SIZE, 0xFFFFFF00, "<I"), "more than 100 times its size"),
    ("more than there is", lambda path: patched(path, SIZE, 5000, "<I"), "cut short, or is damaged"),
    ("less than there is", lambda path: patched(path, SIZE, 3, "<I"), "no zip file, or damaged"),
    ("cut short", lambda path: path.write_bytes(path.read_bytes()[:-100]), "no zip file, or damaged"),
    ("empty", lambda path: path.write_bytes(b""), "no zip file, or damaged"),
    ("no zip", lambda path: path.write_bytes(b"a text" * 100), "no zip file, or damaged"),
]


@pytest.mark.parametrize(("damage", "says"), [one[1:] for one in ZIPS], ids=[one[0] for one in ZIPS])
def test_a_hostile_zip(tmp_path, cache, damage, says):
    path = pack(tmp_path / "photos.zip", pictures())
    damage(path)
    assert says in refused(path)
    assert list(cache.iterdir()) == []


@pytest.fixture
def little_to_spare(monkeypatch):
    """What a small archive may unpack to in any case: 1 MiB in place of 64, so that bombs of tests are small."""
    for module in (gzipped, unpacking):
        monkeypatch.setattr(module, "SPARE", 1 << 20)


@pytest.mark.usefixtures("little_to_spare")
def test_a_deflated_bomb(tmp_path, cache):
    path = pack(tmp_path / "photos.zip", [*pictures(), ("train/ant/9.png", bytes(4 << 20))])
    assert path.stat().st_size < 20_000
    assert "unpacks to more than 100 times its size" in refused(path)
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("little_to_spare")
@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz"])
def test_a_compressed_bomb(tmp_path, cache, ending):
    # hidden in a file that is junk, and so would not be written
    path = pack(tmp_path / f"photos.{ending}", [*pictures(), (".junk", bytes(4 << 20))])
    assert path.stat().st_size < 20_000
    assert "unpacks to more than 100 times its size" in refused(path)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_part_of_an_archive_is_not_taken_for_the_whole(tmp_path, cache, ending):
    path = pack(tmp_path / f"photos.{ending}", [(name, os.urandom(2000)) for name, _ in pictures()])
    data = path.read_bytes()
    # of a plain tar: within a file, and before the mark at its end
    for size in (15_000, 8 * (512 + 2048)) if ending == "tar" else (len(data) * 3 // 4, len(data) - 9):
        path.write_bytes(data[:size])
        assert any(word in refused(path) for word in ("cut short", "ends before"))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz"])
def test_damage_in_a_compressed_archive(tmp_path, cache, ending):
    path = pack(tmp_path / f"photos.{ending}", [(name, os.urandom(2000)) for name, _ in pictures()])
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 0xFF
    path.write_bytes(data)
    assert "damaged" in refused(path)
    assert list(cache.iterdir()) == []


def test_limits(tmp_path):
    path = pack(tmp_path / "photos.zip", pictures())
    size = sum(map(len, FILES))
    assert unpack(path, tmp_path / "all", Most(files=8, bytes=size, file_bytes=15)) == Contents(8, size)
    for number, (most, says) in enumerate(
        [
            (Most(files=7), "holds 8 files, over the limit of 7"),
            (Most(bytes=size - 1), "unpacks to more"),
            (Most(file_bytes=14), "is 15 bytes, over the limit of 14"),
        ]
    ):
        with pytest.raises(InputError, match=says):
            unpack(path, tmp_path / str(number), most)


def test_what_the_files_lack_is_said_of_the_archive(tmp_path):
    said = refused(pack(tmp_path / "photos.zip", [("a.png", b"x"), ("b.png", b"y")]))
    assert said.startswith(f"{tmp_path / 'photos.zip'}: 2 pictures, but nothing says their classes")
    assert "it is empty" in refused(pack(tmp_path / "empty.zip", []))
