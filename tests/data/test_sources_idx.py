"""IDX files: written here by the format's own description, every number type, and headers that lie."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from test_sources import refused

from striate.data.sources import open_dataset
from striate.data.sources.idx import read_values
from striate.errors import InputError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(values: np.ndarray) -> bytes:
    code = CODES[values.dtype.str[1:]]
    return (
        struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
        + values.astype(values.dtype.newbyteorder(">")).tobytes()
    )


def write_set(folder, name="train", pixels=None, labels=None, gz=False, n=6, dot="-"):
    pixels = np.random.default_rng(n).integers(0, 256, (n, 4, 5), dtype=np.uint8) if pixels is None else pixels
    labels = np.arange(len(pixels), dtype=np.uint8) % 3 if labels is None else labels
    start = f"{name}-" if name else ""
    for what, values in (("images", pixels), ("labels", labels)):
        data = idx(values)
        path = folder / f"{start}{what}{dot}idx{values.ndim}-ubyte{'.gz' if gz else ''}"
        path.write_bytes(gzip.compress(data) if gz else data)
    return pixels


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_train_and_t10k(tmp_path, gz, dot):
    train = write_set(tmp_path, "train", gz=gz, n=9, dot=dot)
    test = write_set(tmp_path, "t10k", gz=gz, n=3, dot=dot)
    samples = open_dataset(tmp_path)
    assert samples.splits.tolist() == ["train"] * 9 + ["test"] * 3
    assert samples.class_names == ("0", "1", "2")
    assert samples.targets.tolist() == [0, 1, 2] * 4
    for row in range(12):
        np.testing.assert_array_equal(samples.pictures.load(row), np.concatenate([train, test])[row])
    assert samples.names[0] == f"train-images{dot}idx3-ubyte{'.gz' if gz else ''}#0"
    assert samples.how.endswith("3 classes, 12 pictures")


def test_one_file_is_its_set(tmp_path):
    write_set(tmp_path, "train", n=9)
    write_set(tmp_path, "t10k", n=3)
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        samples = open_dataset(tmp_path / name)
        assert len(samples) == 3
        assert set(samples.splits.tolist()) == {""}


@pytest.mark.parametrize("name", ["", "emnist-letters-train", "kmnist"])
def test_other_names(tmp_path, name):
    write_set(tmp_path, name)
    assert len(open_dataset(tmp_path)) == 6


def test_a_plain_file_beside_its_compressed_copy(tmp_path):
    write_set(tmp_path, "train", gz=True)
    write_set(tmp_path, "train")
    assert open_dataset(tmp_path).names[0] == "train-images-idx3-ubyte#0"


def test_in_a_deeper_folder(tmp_path):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    write_set(tmp_path / "MNIST" / "raw")
    assert open_dataset(tmp_path).how.endswith("all of it in MNIST/raw/")


def test_only_classes_that_occur(tmp_path):
    write_set(tmp_path, labels=np.array([26, 1, 2, 10, 1, 26], np.uint8))
    samples = open_dataset(tmp_path)
    assert samples.class_names == ("1", "2", "10", "26")
    assert samples.targets.tolist() == [3, 0, 1, 2, 0, 3]


def test_names_of_classes(tmp_path):
    write_set(tmp_path)
    (tmp_path / "classes.txt").write_text("shirt\ncoat\nbag\nboot\n\n")
    samples = open_dataset(tmp_path)
    assert samples.class_names == ("bag", "coat", "shirt")
    assert [samples.class_names[target] for target in samples.targets[:3]] == ["shirt", "coat", "bag"]
    (tmp_path / "classes.txt").write_text("shirt\ncoat\n")
    assert "names 2 classes (0 to 1), but a label says 2" in refused(tmp_path)
    (tmp_path / "classes.txt").write_text("shirt\n\ncoat\n")
    assert "one class name a line" in refused(tmp_path)


@pytest.mark.parametrize("kind", CODES)
def test_every_number_type_is_read_exactly(tmp_path, kind):
    values = np.array([[-3.5, 0, 1], [2, 100, 120]])
    values = (np.abs(values) if kind == "u1" else values).astype(kind)
    path = tmp_path / "x"
    path.write_bytes(idx(values))
    read = read_values(path)
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    ("pixels", "first", "said"),
    [
        (np.full((3, 2, 2), 0.5, np.float32), 127.5, "floats in [0, 1] multiplied by 255"),
        (np.full((3, 2, 2), 200.0, np.float64), 200.0, "floats taken as 0 to 255"),
        (np.full((3, 2, 2), 77, np.int32), 77, "int32 values taken as 0 to 255"),
    ],
)
def test_scales(tmp_path, pixels, first, said):
    write_set(tmp_path, pixels=pixels)
    samples = open_dataset(tmp_path)
    assert samples.pictures.load(0)[0, 0] == first
    assert samples.how.endswith(said)


def test_colour(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    write_set(tmp_path, "train", pixels=pixels)
    np.testing.assert_array_equal(open_dataset(tmp_path).pictures.load(5), pixels[5])
    other = tmp_path / "in front"
    other.mkdir()
    write_set(other, "train", pixels=np.ascontiguousarray(np.moveaxis(pixels, 3, 1)))
    np.testing.assert_array_equal(open_dataset(other).pictures.load(5), pixels[5])


def header(*sizes, code=0x08, first=b"\0\0"):
    return first + struct.pack(f">BB{len(sizes)}I", code, len(sizes), *sizes)


WRONG = [
    (b"", "no IDX file (it begins with nothing)"),
    (b"\0\0\x08", "no IDX file"),
    (b"\x89PNG\r\n", "no IDX file (it begins with 89 50 4e 47)"),
    (header(2, 2, 2, code=0x0A) + b"x" * 8, "no IDX file"),
    (header() + b"x", "no IDX file"),
    (b"\0\0\x08\x03\0\0\0\x02", "cut short within its header"),
    (header(6, 4, 5) + b"x" * 119, "which the file cannot hold"),
    (header(6, 4, 5) + b"x" * 121, "but more are there"),
    (header(0, 4, 5), "nothing"),
    (header(6, 0, 5), "nothing"),
    (header(2**32 - 1, 2**32 - 1, 2**32 - 1) + b"x", "which the file cannot hold"),
    (header(20) + b"x" * 20, "shape (N, H, W)"),
    (header(6, 4, 4, 4) + b"x" * 384, "1 or 3 channels"),
    (header(7, 4, 5) + b"x" * 140, "7 pictures, but 6 labels"),
    (header(6, 1, 1, code=0x0D) + struct.pack(">f", float("nan")) * 6, "values in [0, 255] or [0, 1] are needed"),
    (header(6, 1, 1, code=0x0B) + struct.pack(">h", 300) * 6, "got 300 to 300"),
    (header(6, 1, 1, code=0x09) + b"\xff" * 6, "got -1 to -1"),
]


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize(("data", "said"), WRONG, ids=[said for _, said in WRONG])
def test_files_that_lie(tmp_path, data, said, gz):
    write_set(tmp_path, "train")
    path = tmp_path / "train-images-idx3-ubyte"
    path.unlink()
    if gz:
        path = tmp_path / "train-images-idx3-ubyte.gz"
        data = gzip.compress(data)
        if said == "which the file cannot hold":
            said = "bytes, "
    path.write_bytes(data)
    message = refused(tmp_path)
    assert said in message
    assert "train-images-idx3-ubyte" in message


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((6, 1), np.uint8), "whole numbers in one dimension"),
        (np.zeros(6, np.float32), "whole numbers in one dimension"),
        (np.zeros(5, np.uint8), "6 pictures, but 5 labels"),
    ],
)
def test_wrong_labels(tmp_path, labels, said):
    write_set(tmp_path, labels=labels)
    assert said in refused(tmp_path)


def test_damaged_and_cut_compression(tmp_path):
    write_set(tmp_path, gz=True, n=400)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut short" in refused(tmp_path)
    path.write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:])
    assert "damaged" in refused(tmp_path)
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 255]) + whole[101:])
    assert refused(tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path):
    write_set(tmp_path, gz=True)
    total = 160 << 20
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header(160, 1024, 1024))
        for _ in range(8):
            file.write(bytes(total // 8))
    # as large as it says, but 900 times as large as the file: refused by its header alone
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="which the file cannot hold"):
            read_values(path)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_missing_partner(tmp_path):
    write_set(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert "the labels that belong to it are not beside it" in refused(tmp_path)
    assert "the labels" in refused(tmp_path / "train-images-idx3-ubyte")


def test_several_sets(tmp_path):
    write_set(tmp_path, "emnist-letters-train")
    write_set(tmp_path, "emnist-digits-train")
    assert "several sets" in refused(tmp_path)
    assert len(open_dataset(tmp_path / "emnist-digits-train-images-idx3-ubyte")) == 6


def test_a_class_of_the_test_that_training_lacks(tmp_path):
    write_set(tmp_path, "train")
    write_set(tmp_path, "t10k", n=3, labels=np.array([0, 1, 7], np.uint8))
    assert "no training picture has: '7'" in refused(tmp_path)
