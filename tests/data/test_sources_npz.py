"""NumPy's files: written by NumPy, headers that lie written here, and what would be code."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from test_sources import make, refused

from striate.data.sources import open_dataset
from striate.errors import InputError

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (6, 4, 5), dtype=np.uint8)
TEST = RNG.integers(0, 256, (3, 4, 5), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)
SAVE = [np.savez, np.savez_compressed]


def loaded(samples):
    return np.stack([samples.pictures.load(int(index)) for index in samples.index])


@pytest.mark.parametrize("save", SAVE)
@pytest.mark.parametrize(
    "names",
    [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels")],
)
def test_splits_as_keras_and_medmnist_have_them(tmp_path, save, names):
    path = tmp_path / "set.npz"
    save(path, **dict(zip(names, (TRAIN, LABELS, TEST, LABELS[:3]), strict=True)))
    for source in (path, tmp_path):
        samples = open_dataset(source)
        assert samples.class_names == ("0", "1", "2")
        assert samples.targets.tolist() == [0, 1, 2] * 3
        assert samples.splits.tolist() == ["train"] * 6 + ["test"] * 3
        np.testing.assert_array_equal(loaded(samples), np.concatenate([TRAIN, TEST]))
        assert samples.how == "arrays in set.npz: 3 classes, 9 pictures"


def test_medmnist_with_validation_and_columns_of_labels(tmp_path):
    several = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1], [1, 0, 0]], np.uint8)
    np.savez(
        tmp_path / "chest.npz",
        **{"train_images": TRAIN, "train_labels": several, "val_images": TEST, "val_labels": several[:3]},
        **{"test_images": TEST, "test_labels": several[3:]},
    )
    samples = open_dataset(tmp_path / "chest.npz")
    assert (samples.task, samples.class_names) == ("multilabel", ("0", "1", "2"))
    assert samples.pictures_by_split() == {"train": 6, "validation": 3, "test": 3}
    np.testing.assert_array_equal(samples.targets, np.concatenate([several, several[:3], several[3:]]))
    np.savez(tmp_path / "chest.npz", train_images=TRAIN, train_labels=LABELS[:, None])
    assert open_dataset(tmp_path / "chest.npz").targets.tolist() == LABELS.tolist()


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("X", "Y"), ("data", "target")])
def test_without_splits(tmp_path, names):
    path = tmp_path / "set.npz"
    np.savez(path, **dict(zip(names, (TRAIN, LABELS), strict=True)))
    samples = open_dataset(path)
    assert set(samples.splits.tolist()) == {""}
    np.testing.assert_array_equal(loaded(samples), TRAIN)


def test_arrays_without_names_and_names_of_classes(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, TRAIN, LABELS)
    assert len(open_dataset(path)) == 6
    np.savez(path, images=TRAIN, labels=LABELS, class_names=np.array(["café", "bag", "boot", "hat"]))
    samples = open_dataset(path)
    assert samples.class_names == ("bag", "boot", "café")
    assert [samples.label(row) for row in range(3)] == ["café", "bag", "boot"]
    np.savez(path, images=TRAIN, labels=np.array(["b", "a"] * 3))
    assert open_dataset(path).targets.tolist() == [1, 0] * 3
    np.savez(path, images=TRAIN, labels=LABELS, class_names=np.array(["a", "b"]))
    assert "'class_names' names 2 classes (0 to 1), but a label says 2" in refused(path)


def test_arrays_side_by_side(tmp_path):
    np.save(tmp_path / "x_train.npy", np.asfortranarray(TRAIN))
    np.save(tmp_path / "y_train.npy", LABELS.astype(">i4"))
    np.save(tmp_path / "x_test.npy", TEST / 255)
    np.save(tmp_path / "y_test.npy", LABELS[:3])
    samples = open_dataset(tmp_path)
    np.testing.assert_allclose(np.stack([samples.pictures.load(row) for row in range(6)]), TRAIN)
    np.testing.assert_allclose(samples.pictures.load(8), TEST[2], rtol=1e-6)
    assert samples.splits.tolist() == ["train"] * 6 + ["test"] * 3
    assert "floats in [0, 1] multiplied by 255" in samples.how


def test_archives_called_by_splits(tmp_path):
    np.savez(tmp_path / "train.npz", images=TRAIN, labels=LABELS)
    np.savez(tmp_path / "val.npz", images=TEST, labels=LABELS[:3])
    samples = open_dataset(tmp_path)
    assert samples.splits.tolist() == ["train"] * 6 + ["validation"] * 3


def test_channels_in_front_and_numbers(tmp_path):
    colour = RNG.integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=colour, labels=np.linspace(0, 1, 6))
    samples = open_dataset(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded(samples), np.moveaxis(colour, 1, 3))
    assert "channels, which come first there, moved to the end" in samples.how
    assert (samples.task, samples.class_names) == ("regression", ("number",))
    np.testing.assert_allclose(samples.targets[:, 0], np.linspace(0, 1, 6), rtol=1e-6)


def test_other_arrays_are_no_source(tmp_path):
    make(tmp_path, "ant/a.png", "bee/b.png")
    np.savez(tmp_path / "features.npz", embedding=np.zeros((2, 8)))
    np.save(tmp_path / "x.npy", TRAIN)
    assert open_dataset(tmp_path).class_names == ("ant", "bee")


def npy(header, data=b"", version=1):
    text = header if isinstance(header, bytes) else header.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


def header(shape="(6, 4, 5)", descr="'|u1'", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def archive(path, **members):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def labels():
    buffer = io.BytesIO()
    np.save(buffer, LABELS)
    return buffer.getvalue()


WRONG = [
    (b"", "no array of NumPy (it begins with nothing)"),
    (b"\x93NUMPX\x01\x00", "no array of NumPy"),
    (npy(header(), b"x" * 119), "its header says 6 x 4 x 5 values, 120 bytes, but 119 are there"),
    (npy(header(), b"x" * 121), "but 121 are there"),
    (npy(header("(0, 4, 5)")), "nothing"),
    (npy(header("(1000000, 1000000, 1000000)"), b"x"), "values, 1,000,000,000,000,000,000 bytes, but 1 are there"),
    (npy(header("(-6, 4, 5)"), b"x"), "its shape is none"),
    (npy(header("6"), b"x"), "its shape is none"),
    (npy(header(descr="'|O'"), b"x" * 120), "an array of objects, which would be code to run"),
    (npy(header(descr="[('a', '|u1')]"), b"x" * 120), "numbers or texts are needed"),
    (npy(header(descr="'|V1'"), b"x" * 120), "an array of '|V1'; numbers or texts are needed"),
    (npy(header(order="3"), b"x" * 120), "its order is none"),
    (npy("__import__('os').system('true')", b"x"), "its header cannot be read"),
    (npy("(" * 5000, b"x"), "its header cannot be read"),
    (npy("{'descr': '|u1'}", b"x"), "its header says something else"),
    (npy(b" " * 20_000, b"x", version=2), "a header of 20,000 bytes"),
    (npy(header(descr="'<c8'"), b"x" * 960), "an array of '<c8'"),
    (npy(header(descr="'<f4'"), struct.pack("<f", float("nan")) * 120), "but some are NaN"),
    (npy(header("(120,)"), b"x" * 120), "shape (N, H, W)"),
    (npy(header("(5, 4, 5)"), b"x" * 100), "images: 5 pictures, but 6 labels in "),
]


@pytest.mark.parametrize(("data", "said"), WRONG, ids=[said[:45] for _, said in WRONG])
def test_arrays_that_lie(tmp_path, data, said):
    path = archive(tmp_path / "a.npz", images=data, labels=labels())
    message = refused(path)
    assert said in message
    assert message.startswith(str(path))


def test_objects_are_never_unpickled(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.savez(tmp_path / "a.npz", images=TRAIN, labels=np.array([Hostile()] * 6, dtype=object))
    assert "labels: an array of objects, which would be code to run" in refused(tmp_path / "a.npz")
    assert not (tmp_path / "ran").exists()


def test_damaged_and_cut_archives(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=TRAIN, labels=LABELS)
    whole = path.read_bytes()
    for data in (whole[:100], whole[:-30], b"", whole[:60] + b"\xff" * 20 + whole[80:]):
        path.write_bytes(data)
        assert "damaged or cut short" in refused(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("images.npy", npy(header(), bytes(120)))
        file.writestr("labels.npy", labels())
    assert "packed in a way that NumPy does not write" in refused(path)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("images.npy", "w", force_zip64=True) as member:
            member.write(npy(header("(160, 1024, 1024)")))
            for _ in range(160):
                member.write(bytes(1 << 20))
        file.writestr("labels.npy", labels())
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="which no set of pictures is"):
            open_dataset(path)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_what_is_missing_is_said(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, features=TRAIN, labels=LABELS)
    assert "no array of pictures with one of labels; it holds 'features', 'labels'" in refused(path)
    np.savez(path, x_train=TRAIN, y_train=LABELS, x_test=TEST)
    assert "'x_test' without what belongs to it, not used" in open_dataset(path).how
    np.savez(path, x=TRAIN, images=TRAIN, y=LABELS)
    assert "two arrays of pictures, 'x' and 'images'" in refused(path)
    np.savez(path, x=TRAIN, y=LABELS, x_test=TEST, y_test=LABELS[:3])
    assert "some arrays are called by a split, others not" in refused(path)
