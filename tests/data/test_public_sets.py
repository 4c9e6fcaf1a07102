"""Public sets by name: copies in the layouts that torchvision expects, and what is said where there is none."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil
import struct
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from test_sources import make, refused, rows

import striate
from striate.data.sources import open_dataset
from striate.data.sources.public_sets import PUBLIC_SETS

datasets = pytest.importorskip("torchvision.datasets")

DIGITS = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
LABELS = [2, 0, 1, 2, 0, 1]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    """Where sets would be downloaded; and no way to do so."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("STRIATE_CACHE", str(folder))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    # urllib keeps the first opener that it made, with the proxies of then.
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    return folder / "datasets"


def idx(folder: Path, prefix: str, pictures: np.ndarray, labels: list[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    head = struct.pack(">BBBB3I", 0, 0, 8, 3, *pictures.shape)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(head + pictures.tobytes())
    head = struct.pack(">BBBB1I", 0, 0, 8, 1, len(labels))
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(head + bytes(labels))


def like_mnist(folder: str, train: str = "train", test: str = "t10k"):
    def write(root: Path, monkeypatch) -> None:
        idx(root / folder / "raw", train, DIGITS, LABELS)
        idx(root / folder / "raw", test, DIGITS[:2], LABELS[:2])

    return write


def batch(path: Path, label: str, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = COLOURS[:count].transpose(0, 3, 1, 2).reshape(count, -1)
    path.write_bytes(pickle.dumps({"data": flat, label: LABELS[:count]}))


def cifar10(root: Path, monkeypatch) -> None:
    folder = root / "cifar-10-batches-py"
    batch(folder / "data_batch_1", "labels", 6)
    batch(folder / "test_batch", "labels", 2)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["plane", "car", "bird"]}))
    # a set of six pictures has other checksums than torchvision knows
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["data_batch_1", None]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": None})


def cifar100(root: Path, monkeypatch) -> None:
    folder = root / "cifar-100-python"
    batch(folder / "train", "fine_labels", 6)
    batch(folder / "test", "fine_labels", 2)
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["plane", "car", "bird"]}))
    monkeypatch.setattr(datasets.CIFAR100, "train_list", [["train", None]])
    monkeypatch.setattr(datasets.CIFAR100, "test_list", [["test", None]])
    monkeypatch.setattr(datasets.CIFAR100, "meta", {"filename": "meta", "key": "fine_label_names", "md5": None})


def svhn(root: Path, monkeypatch) -> None:
    from scipy.io import savemat

    known = {}
    for split, count in (("train", 6), ("test", 2)):
        labels = np.array([[10 if one == 0 else one] for one in LABELS[:count]], dtype=np.uint8)
        savemat(root / f"{split}_32x32.mat", {"X": COLOURS[:count].transpose(1, 2, 3, 0), "y": labels})
        known[split] = ["", f"{split}_32x32.mat", None]
    monkeypatch.setattr(datasets.SVHN, "split_list", known)


def stl10(root: Path, monkeypatch) -> None:
    folder = root / "stl10_binary"
    folder.mkdir()
    for split, count in (("train", 6), ("test", 2)):
        # each picture column by column
        large = np.repeat(np.repeat(COLOURS[:count], 3, axis=1), 3, axis=2)
        (folder / f"{split}_X.bin").write_bytes(large.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes(one + 1 for one in LABELS[:count]))
    (folder / "class_names.txt").write_text("plane\ncar\nbird\n")
    monkeypatch.setattr(datasets.STL10, "train_list", [["train_X.bin", None], ["train_y.bin", None]])
    monkeypatch.setattr(datasets.STL10, "test_list", [["test_X.bin", None], ["test_y.bin", None]])


def caltech101(root: Path, monkeypatch) -> None:
    folder = root / "caltech101/101_ObjectCategories"
    names = ("ant/image_0001.jpg", "ant/image_0002.jpg", "bee/image_0001.jpg", "BACKGROUND_Google/image_0001.jpg")
    make(folder, *names)


def pets(root: Path, monkeypatch) -> None:
    make(root / "oxford-iiit-pet/images", "great_dane_1.jpg", "Sphynx_1.jpg", "Sphynx_2.jpg")
    notes = root / "oxford-iiit-pet/annotations"
    notes.mkdir()
    (notes / "trainval.txt").write_text("great_dane_1 1 2 1\nSphynx_1 2 1 1\n")
    (notes / "test.txt").write_text("great_dane_1 1 2 1\nSphynx_2 2 1 1\n")


def flowers(root: Path, monkeypatch) -> None:
    from scipy.io import savemat

    folder = root / "flowers-102"
    make(folder / "jpg", *(f"image_{number:05d}.jpg" for number in range(1, 6)))
    savemat(folder / "imagelabels.mat", {"labels": np.array([[1, 2, 1, 2, 1]])})
    savemat(folder / "setid.mat", {"trnid": [[1, 2]], "valid": [[3, 4]], "tstid": [[5, 2]]})
    known = {"label": ("imagelabels.mat", None), "setid": ("setid.mat", None), "image": ("102flowers.tgz", None)}
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", known)


def eurosat(root: Path, monkeypatch) -> None:
    make(root / "eurosat/2750", "Forest/Forest_1.jpg", "River/River_1.jpg", "River/River_2.jpg")


def food101(root: Path, monkeypatch) -> None:
    make(root / "food-101/images", "pizza/1.jpg", "soup/2.jpg", "pizza/3.jpg")
    (root / "food-101/meta").mkdir()
    (root / "food-101/meta/train.json").write_text(json.dumps({"pizza": ["pizza/1"], "soup": ["soup/2"]}))
    (root / "food-101/meta/test.json").write_text(json.dumps({"pizza": ["pizza/3"], "soup": []}))


def imagenette(root: Path, monkeypatch) -> None:
    make(root / "imagenette2-320", "train/n01440764/a.JPEG", "train/n02102040/b.JPEG")
    make(root / "imagenette2-320", "val/n01440764/c.JPEG", "val/n02102040/d.JPEG")


LAYOUTS = {
    "mnist": (like_mnist("MNIST"), ("0", "1", "2")),
    "fashion-mnist": (like_mnist("FashionMNIST"), ("Pullover", "T-shirt/top", "Trouser")),
    "kmnist": (like_mnist("KMNIST"), ("ki", "o", "su")),
    "emnist": (like_mnist("EMNIST", "emnist-balanced-train", "emnist-balanced-test"), ("0", "1", "2")),
    "cifar10": (cifar10, ("bird", "car", "plane")),
    "cifar100": (cifar100, ("bird", "car", "plane")),
    "svhn": (svhn, ("0", "1", "2")),
    "stl10": (stl10, ("bird", "car", "plane")),
    "caltech101": (caltech101, ("ant", "bee")),
    "oxford-pets": (pets, ("Great Dane", "Sphynx")),
    "flowers102": (flowers, ("hard-leaved pocket orchid", "pink primrose")),
    "eurosat": (eurosat, ("Forest", "River")),
    "food101": (food101, ("pizza", "soup")),
    "imagenette": (imagenette, ("English springer", "tench")),
}


def test_every_set_has_its_layout_here():
    assert LAYOUTS.keys() == PUBLIC_SETS.keys()


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_a_copy_on_disk(tmp_path, monkeypatch, cache, name):
    write, class_names = LAYOUTS[name]
    write(tmp_path, monkeypatch)
    before = sorted(tmp_path.rglob("*"))
    samples = open_dataset(name, root=tmp_path)
    assert samples.class_names == class_names
    assert samples.source == name
    assert f"public set {name}, as torchvision has it (copy in {tmp_path}, " in samples.how
    assert samples.how.endswith(f"nothing is called {name} in the working folder")
    assert set(samples.splits.tolist()) == set(PUBLIC_SETS[name].splits)
    # torchvision's own pictures and classes, row by row
    for split, arguments in PUBLIC_SETS[name].splits.items():
        theirs = getattr(datasets, PUBLIC_SETS[name].factory)(str(tmp_path), **arguments)
        mine = samples.rows(split)
        assert len(mine) == len(theirs) > 0
        for place, row in enumerate(mine.tolist()):
            loaded = samples.pictures.load(int(samples.index[row]))
            if isinstance(loaded, bytes):
                assert samples.names[row].encode().endswith(loaded)  # a file holds its own name
                continue
            picture, number = theirs[place]
            given = np.asarray(picture)
            assert np.array_equal(loaded, given.T if name == "emnist" else given)
            told = [str(one) for one in range(10)] if name in ("mnist", "svhn") else list(theirs.classes)
            assert samples.class_names[samples.targets[row]] == told[number]
    assert sorted(tmp_path.rglob("*")) == before
    assert not cache.exists()


def test_classes_of_files(tmp_path, monkeypatch):
    pets(tmp_path, monkeypatch)
    assert rows(open_dataset("oxford-pets", root=tmp_path)) == {
        "oxford-iiit-pet/images/great_dane_1.jpg": ("Great Dane", "test"),
        "oxford-iiit-pet/images/Sphynx_1.jpg": ("Sphynx", "train"),
        "oxford-iiit-pet/images/Sphynx_2.jpg": ("Sphynx", "test"),
    }
    caltech101(tmp_path, monkeypatch)
    assert rows(open_dataset("caltech101", root=tmp_path)) == {
        "caltech101/101_ObjectCategories/ant/image_0001.jpg": ("ant", ""),
        "caltech101/101_ObjectCategories/ant/image_0002.jpg": ("ant", ""),
        "caltech101/101_ObjectCategories/bee/image_0001.jpg": ("bee", ""),
    }


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_without_a_network(cache, name):
    said = refused(name)
    assert said.startswith(f"{name}: its {PUBLIC_SETS[name].megabytes:,} MB cannot be downloaded (")
    assert said.endswith("download it elsewhere, and name the folder with the copy: --root FOLDER")
    assert "refused" in said
    assert "\n" not in said
    assert {path.suffix for path in cache.iterdir()} == {".lock"}


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_a_folder_without_a_copy(tmp_path, cache, name):
    make(tmp_path, "ant/1.png", "bee/2.png")
    before = sorted(tmp_path.rglob("*"))
    assert f"no copy of {name} as torchvision lays it out (there is no {PUBLIC_SETS[name].holds} in it)" in refused(
        name, root=tmp_path
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_in_the_working_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "mnist", "ant/1.png", "bee/2.png")
    samples = open_dataset("mnist")
    assert samples.class_names == ("ant", "bee")
    assert samples.how.endswith("mnist here is taken, and not the public set of this name")
    assert "did you mean 'fashion-mnist'" in refused("fashon-mnist")
    assert "leave --labels away" in refused("cifar10", labels="folders")


def test_damaged_copies(tmp_path, monkeypatch):
    like_mnist("MNIST")(tmp_path, monkeypatch)
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").write_bytes(b"none")
    assert f"{tmp_path}: its copy of mnist cannot be read (" in refused("mnist", root=tmp_path)
    cifar10(tmp_path, monkeypatch)
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["data_batch_1", "0" * 32]])
    assert "cannot be read (Dataset not found or corrupted" in refused("cifar10", root=tmp_path)


def test_what_was_downloaded_is_found_again(cache, monkeypatch):
    # as a download leaves it
    like_mnist("MNIST")(cache / "mnist", monkeypatch)
    samples = open_dataset("mnist")
    assert len(samples) == 8
    assert "(downloaded, and compared with torchvision's checksums)" in samples.how
    (entry,) = striate.cache().kept
    assert (entry.key, entry.what) == ("mnist", "the public set mnist")
    assert entry.bytes == sum(path.stat().st_size for path in cache.rglob("*ubyte"))
    (cache / "svhn.part").mkdir()  # a download that was stopped
    assert [one.key for one in striate.cache("mnist").removed] == ["mnist"]
    assert sorted(path.name for path in cache.iterdir()) == ["mnist.lock", "svhn.lock"]


@pytest.mark.long
@pytest.mark.shared_data
def test_mnist_is_mnist(shared_data, tmp_path):
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for path in (shared_data / "mnist").glob("*.gz"):
        with gzip.open(path) as packed, (raw / path.stem).open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    ours, files = open_dataset("mnist", root=tmp_path), open_dataset(shared_data / "mnist")
    assert ours.class_names == files.class_names
    assert ours.splits.tolist() == files.splits.tolist()
    assert np.array_equal(ours.targets, files.targets)
    for row in (0, 59_999, 60_000, 69_999):
        assert np.array_equal(ours.pictures.load(row), files.pictures.load(row))
