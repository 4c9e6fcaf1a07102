"""Mutated files of every kind of source: a table of samples or one InputError, in 2 s and 500 MB, nothing else."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import struct
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import fuzz_settings, mutated, within_memory

from striate.data.samples import Samples
from striate.data.sources import open_dataset
from striate.data.sources.files import Files
from striate.errors import InputError


def tried(source: Path) -> Samples | None:
    """The table with every picture loaded, or None where the source or a picture was refused."""
    with within_memory():
        try:
            samples = open_dataset(source)
        except InputError:
            return None
        assert len(samples) == len(samples.targets) == len(samples.splits) == len(samples.index) > 0
        if samples.targets.ndim == 1:
            assert samples.targets.min() >= 0
            assert samples.targets.max() < len(samples.class_names)
        else:
            assert samples.targets.shape == (len(samples), len(samples.class_names))
            assert np.isfinite(samples.targets).all()
        for text in (*samples.names, *samples.class_names, *(left.name for left in samples.left_out)):
            text.encode("utf-8")
        for index in samples.index:
            with suppress(InputError):
                samples.pictures.load(int(index))
    return samples


IMAGES = struct.pack(">BBBB3I", 0, 0, 8, 3, 6, 4, 5) + bytes(range(120))
FLOATS = struct.pack(">BBBB3I", 0, 0, 0x0D, 3, 6, 1, 1) + struct.pack(">6f", 0, 0.1, 0.2, 0.3, 0.4, 1)
LABELS = struct.pack(">BBBB1I", 0, 0, 8, 1, 6) + bytes([0, 1, 2, 0, 1, 2])


@st.composite
def idx_files(draw: st.DrawFn) -> tuple[bytes, bytes, bool]:
    images = draw(st.sampled_from([IMAGES, FLOATS]))
    which = draw(st.sampled_from(["images", "labels", "compressed"]))
    if which == "labels":
        return images, draw(mutated(LABELS)), False
    if which == "compressed":  # the stream itself, or what is in it
        outer = draw(st.booleans())
        data = draw(mutated(gzip.compress(images, mtime=0))) if outer else gzip.compress(draw(mutated(images)), mtime=0)
        return data, LABELS, True
    return draw(mutated(images)), LABELS, False


def write_idx(folder: Path, images: bytes, labels: bytes, compressed: bool) -> Path:
    for old in folder.iterdir():
        old.unlink()
    (folder / f"train-images-idx3-ubyte{'.gz' if compressed else ''}").write_bytes(images)
    (folder / "train-labels-idx1-ubyte").write_bytes(labels)
    return folder


@pytest.mark.parametrize("images", [IMAGES, FLOATS, gzip.compress(IMAGES)])
def test_idx_unmutated(tmp_path, images):
    samples = tried(write_idx(tmp_path, images, LABELS, images[:2] == b"\x1f\x8b"))
    assert samples is not None
    assert samples.targets.tolist() == [0, 1, 2] * 2


@fuzz_settings
@given(idx_files())
def test_idx(tmp_path, files):
    tried(write_idx(tmp_path, *files))


def make_tar(form: int) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as archive:
        for number in range(4):
            for suffix, data in (("jpg", bytes([number]) * 300), ("cls", b"ab"[number % 2 :][:1])):
                folder = "long" * 30 if number == 2 else "k\u00e9y"
                info = tarfile.TarInfo(f"{folder}/{number}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


TARS = [make_tar(form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]


def with_checksums(data: bytes) -> bytes:
    """Each block that is nearly a header gets its checksum again, so that what is in it is looked at."""
    blocks = [bytearray(data[at : at + 512]) for at in range(0, len(data), 512)]
    for block in blocks:
        if len(block) == 512 and block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
    return b"".join(blocks)


@st.composite
def tar_files(draw: st.DrawFn) -> tuple[bytes, str]:
    plain = draw(st.sampled_from(TARS))
    if draw(st.integers(0, 3)) == 0:
        return draw(mutated(gzip.compress(plain, mtime=0))), "a.tar.gz"
    changed = draw(mutated(plain))
    if draw(st.booleans()):
        changed = with_checksums(changed)
    return (gzip.compress(changed, mtime=0), "a.tgz") if draw(st.booleans()) else (changed, "a.tar")


@pytest.mark.parametrize("data", TARS, ids=["ustar", "gnu", "pax"])
@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_tar_unmutated(tmp_path, data, name):
    path = tmp_path / name
    path.write_bytes(data if name == "a.tar" else gzip.compress(data))
    samples = tried(path)
    assert samples is not None
    assert samples.class_names == ("a", "b")
    assert samples.left_out == ()
    assert [samples.pictures.load(row) for row in range(4)] == [bytes([row]) * 300 for row in range(4)]


@fuzz_settings
@given(tar_files())
def test_tar(tmp_path, file):
    data, name = file
    path = tmp_path / name
    path.write_bytes(data)
    tried(path)


TABLE = (
    b"\xef\xbb\xbfpath;label;split;group;note\r\n1.png;caf\xc3\xa9;train;p1;x\r\n"
    b'2.png;dog;train;p1;"a;b"\r\ndeep/3.png;dog;test;p2;\r\n4.png;caf\xc3\xa9;test;;\r\n'
)
NUMBERS = b"path,width,height,tree\n1.png,0.5,1,0\n2.png,2,nan,1\ndeep/3.png,3,4e2,\n4.png,1,2,1\n"
LISTS = b"path,labels\n1.png,a|b\n2.png,b\ndeep/3.png,c|a\n4.png,c\n"
TABLES = [TABLE, TABLE.decode("utf-8-sig").encode("utf-16"), TABLE.replace(b";", b"\t")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "deep").mkdir()
    for name in ("1.png", "2.png", "deep/3.png", "4.png"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize("data", TABLES)
def test_table_unmutated(photos, data):
    (photos / "labels.csv").write_bytes(data)
    samples = tried(photos / "labels.csv")
    assert samples is not None
    assert samples.class_names == ("caf\u00e9", "dog")
    assert samples.splits.tolist() == ["train", "train", "test", "test"]
    assert [samples.pictures.load(row) for row in range(4)] == [b"1.png", b"2.png", b"deep/3.png", b"4.png"]


@fuzz_settings
@given(st.sampled_from([*TABLES, NUMBERS, LISTS]).flatmap(mutated), st.booleans())
def test_table(photos, data, by_folder):
    (photos / "labels.csv").write_bytes(data)
    samples = tried(photos if by_folder else photos / "labels.csv")
    # a change of the header may make a table of numbers of it, which names no file
    if samples is not None and isinstance(samples.pictures, Files):
        # whatever the table says, only files inside its folder are opened
        opened = {samples.pictures.paths[row] for row in samples.index}
        assert all(Path(path).resolve().is_relative_to(photos) for path in opened)


@fuzz_settings
@given(mutated("shirt\ncoat\nb\u00e4g\n".encode()))
def test_list_of_classes(tmp_path, data):
    write_idx(tmp_path, IMAGES, LABELS, False)
    (tmp_path / "classes.txt").write_bytes(data)
    tried(tmp_path)


ARCHIVED = [
    ("ant/1.png", b"1" * 300),
    ("ant/2.png", b"2"),
    ("b\u00e9e/1.png", b"3" * 600),
    ("b\u00e9e/deep/2.png", b""),
]


def make_archive(ending: str) -> bytes:
    raw = io.BytesIO()
    if ending == "zip":
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in ARCHIVED:
                packed.writestr(
                    zipfile.ZipInfo(name), data, [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED][len(data) > 500]
                )
        return raw.getvalue()
    with tarfile.open(fileobj=raw, mode=f"w:{ending.partition('.')[2]}") as archive:
        for name, data in ARCHIVED:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


ARCHIVES = {ending: make_archive(ending) for ending in ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")}


@pytest.fixture
def unpacked_into(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.mark.parametrize("ending", ARCHIVES)
def test_archive_unmutated(tmp_path, unpacked_into, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(ARCHIVES[ending])
    samples = tried(path)
    assert samples is not None
    assert dict(zip(samples.names, map(samples.pictures.load, samples.index), strict=True)) == dict(ARCHIVED)


@fuzz_settings
@given(st.sampled_from(["zip", *ARCHIVES]).flatmap(lambda one: st.tuples(st.just(one), mutated(ARCHIVES[one]))))
def test_archive(tmp_path, unpacked_into, file):
    ending, data = file
    path = tmp_path / f"a.{ending}"
    path.write_bytes(with_checksums(data) if ending == "tar" else data)
    tried(path)
    outside = [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith("a.")]
    assert outside == ["cache"]
    # whatever is kept was kept whole
    assert not any(entry.name.endswith(".part") for entry in unpacked_into.glob("archives/*"))
    shutil.rmtree(unpacked_into / "archives", ignore_errors=True)


@pytest.mark.parametrize(("data", "task", "rows"), [(NUMBERS, "regression", 2), (LISTS, "multilabel", 4)])
def test_table_of_several_unmutated(photos, data, task, rows):
    (photos / "labels.csv").write_bytes(data)
    samples = tried(photos / "labels.csv")
    assert samples is not None
    assert (samples.task, len(samples)) == (task, rows)


JSON_LINES = b"".join(
    json.dumps({"path": name, "label": label, "split": "train", "x": {"y": [1, None, 0.5]}}).encode() + b"\n"
    for name, label in (("1.png", ["a"]), ("2.png", []), ("deep/3.png", ["a", "b"]), ("4.png", ["c\u00e9"]))
)


def test_json_lines_unmutated(photos):
    (photos / "labels.jsonl").write_bytes(JSON_LINES)
    samples = tried(photos / "labels.jsonl")
    assert samples is not None
    assert samples.targets.tolist() == [[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 0, 1]]


@fuzz_settings
@given(mutated(JSON_LINES))
def test_json_lines(photos, data):
    (photos / "labels.jsonl").write_bytes(data)
    tried(photos / "labels.jsonl")


def make_npz(*, compressed: bool) -> bytes:
    raw = io.BytesIO()
    arrays = {"x_train": np.arange(120, dtype=np.uint8).reshape(6, 4, 5), "y_train": np.arange(6) % 3}
    (np.savez_compressed if compressed else np.savez)(raw, **arrays, class_names=np.array(["a", "b", "c"]))
    return raw.getvalue()


NPZ = [make_npz(compressed=compressed) for compressed in (False, True)]


@pytest.mark.parametrize("data", NPZ, ids=["stored", "compressed"])
def test_npz_unmutated(tmp_path, data):
    path = tmp_path / "a.npz"
    path.write_bytes(data)
    samples = tried(path)
    assert samples is not None
    assert samples.class_names == ("a", "b", "c")
    assert samples.pictures.load(5)[3, 4] == 119


NPY = b"{'descr': '|u1', 'fortran_order': False, 'shape': (6, 4, 5), }       \n"
NPY = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(NPY)) + NPY + bytes(120)


@fuzz_settings
@given(st.sampled_from(NPZ).flatmap(mutated), mutated(NPY), st.booleans())
def test_arrays(tmp_path, archive, array, packed):
    for old in tmp_path.iterdir():
        old.unlink()
    if packed:
        (tmp_path / "a.npz").write_bytes(archive)
        tried(tmp_path / "a.npz")
    else:
        (tmp_path / "x.npy").write_bytes(array)
        np.save(tmp_path / "y.npy", np.arange(6))
        tried(tmp_path)


CIFAR = {b"data": np.full((3, 3072), ord("A"), np.uint8), b"labels": [3, 1, 4], b"filenames": ["a.png", b"b.png", b""]}
PICKLES = [pickle.dumps(CIFAR, protocol) for protocol in (0, 2, 4, 5)]


@pytest.mark.parametrize("data", PICKLES)
def test_pickle_unmutated(tmp_path, data):
    (tmp_path / "data_batch_1").write_bytes(data)
    samples = tried(tmp_path)
    assert samples is not None
    assert samples.class_names == ("1", "3", "4")


@fuzz_settings
@given(st.sampled_from(PICKLES).flatmap(mutated))
def test_pickle(tmp_path, data):
    (tmp_path / "data_batch_1").write_bytes(data)
    tried(tmp_path)


def make_parquet(**options: object) -> bytes:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    image = [{"bytes": bytes([number]) * 40, "path": f"{number}.png"} for number in range(6)]
    noted = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}}})}
    table = pa.table({"image": image, "label": [0, 1] * 3, "split": ["train"] * 6}).replace_schema_metadata(noted)
    raw = io.BytesIO()
    pq.write_table(table, raw, row_group_size=2, **options)
    return raw.getvalue()


PARQUETS = [make_parquet(), make_parquet(compression="none", use_dictionary=False), make_parquet(compression="gzip")]


@pytest.mark.parametrize("data", PARQUETS, ids=["snappy", "none", "gzip"])
def test_parquet_unmutated(tmp_path, data):
    path = tmp_path / "a.parquet"
    path.write_bytes(data)
    samples = tried(path)
    assert samples is not None
    assert samples.class_names == ("a", "b")
    assert [samples.pictures.load(row) for row in range(6)] == [bytes([row]) * 40 for row in range(6)]


@fuzz_settings
@given(st.sampled_from(PARQUETS).flatmap(mutated))
def test_parquet(tmp_path, data):
    path = tmp_path / "a.parquet"
    path.write_bytes(data)
    tried(path)


NUMBERS = (
    b"id;length;width;class;split\r\n1;5.1;3.5;ant;train\r\n2;4.9;?;bee;train\r\n3;6.3;1e9;bee;train\r\n"
    b"4;0;-1;ant;test\r\n"
)


@pytest.mark.parametrize("data", [NUMBERS, NUMBERS.replace(b";", b",")])
def test_numbers_unmutated(tmp_path, data):
    (tmp_path / "t.csv").write_bytes(data)
    samples = tried(tmp_path / "t.csv")
    assert samples is not None
    assert samples.fields == ("length", "width")
    assert [samples.pictures.load(int(index)).tolist() for index in samples.index[1:]] == [
        [float(np.float32(6.3)), 1e9],
        [0.0, -1.0],
    ]


@fuzz_settings
@given(mutated(NUMBERS))
def test_numbers(tmp_path, data):
    (tmp_path / "t.csv").write_bytes(data)
    samples = tried(tmp_path / "t.csv")
    if samples is not None and samples.fields:
        rows = [samples.pictures.load(int(index)) for index in samples.index]
        assert all(row.shape == (len(samples.fields),) and np.isfinite(row).all() for row in rows)
