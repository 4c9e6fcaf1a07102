"""Sources: what is recognised, what is refused with which sentence, what table comes out."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from striate.data.samples import natural_key
from striate.data.sources import SOURCES, open_dataset
from striate.data.sources.pictures import find_pictures
from striate.errors import InputError


def make(root: Path, *names: str | bytes) -> Path:
    """Files of these names, each holding its own name."""
    for name in names:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))
    return root


def rows(samples) -> dict[str, tuple[str, str]]:
    """name -> (class, split)"""
    return {
        name: (samples.class_names[target], str(split))
        for name, target, split in zip(samples.names, samples.targets, samples.splits, strict=True)
    }


def refused(source, **options) -> str:
    with pytest.raises(InputError) as caught:
        open_dataset(source, **options)
    return str(caught.value)


class TestClassFolders:
    def test_classes_in_natural_order(self, tmp_path):
        make(tmp_path, "class 10/a.png", "class 2/b.jpg", "class 2/c.JPEG", "class 1/d.webp")
        samples = open_dataset(tmp_path)
        assert samples.class_names == ("class 1", "class 2", "class 10")
        assert rows(samples) == {
            "class 1/d.webp": ("class 1", ""),
            "class 2/b.jpg": ("class 2", ""),
            "class 2/c.JPEG": ("class 2", ""),
            "class 10/a.png": ("class 10", ""),
        }
        assert [samples.pictures.load(row) for row in samples.index] == [name.encode() for name in samples.names]
        assert samples.how == "class folders: 3 classes, 4 pictures"
        assert samples.source == str(tmp_path)

    @pytest.mark.parametrize(
        "ordered",
        [
            ("-10", "-2", "-1", "0", "1", "2", "10"),
            ("-0.5", "0", "0.25", "0.5", "1.0", "1.5", "10"),
            ("1", "1a", "2", "10", "10a"),
            ("-1", "+1", "1e3", "-1a", "-", "a-2", "a-10"),
            ("release 1.9", "release 1.10"),  # a version is no decimal
            ("9" * 5000, "1" + "0" * 5000, "x" * 10),
            ("٢", "é", "日本"),
        ],
    )
    def test_numbers_stand_by_their_value(self, ordered):
        assert sorted({*ordered}, key=natural_key) == list(ordered)

    def test_classes_below_nought_come_first(self, tmp_path):
        make(tmp_path, *(f"{name}/a.png" for name in ("0", "1", "-1", "-10")))
        assert open_dataset(tmp_path).class_names == ("-10", "-1", "0", "1")

    def test_a_class_that_looks_like_a_split_is_doubted(self, tmp_path):
        make(tmp_path / "a", "train/ant/1.png", "train/bee/2.png", "ant/3.png", "bee/4.png")
        samples = open_dataset(tmp_path / "a")
        assert samples.class_names == ("ant", "bee", "train")
        assert len(samples.doubts) == 1
        assert samples.doubts[0].startswith("train/ is taken for a class")
        # A class may be called so: one that holds pictures and no folders, as others do.
        make(tmp_path / "b", "train/1.png", "plane/2.png", "bus/red/3.png")
        assert open_dataset(tmp_path / "b").doubts == ()
        make(tmp_path / "c", "train/ant/1.png", "test/ant/2.png", "notes/x.png")
        assert open_dataset(tmp_path / "c").doubts == ()

    def test_nested_pictures_belong_to_the_class(self, tmp_path):
        make(tmp_path, "ant/a.png", "ant/train/b.png", "ant/x/y/c.png", "bee/test/d.png")
        assert {name: label for name, (label, _) in rows(open_dataset(tmp_path)).items()} == {
            "ant/a.png": "ant",
            "ant/train/b.png": "ant",
            "ant/x/y/c.png": "ant",
            "bee/test/d.png": "bee",
        }

    @pytest.mark.parametrize(
        ("folders", "splits"),
        [
            (("train", "test"), {"train", "test"}),
            (("Training", "TESTING"), {"train", "test"}),
            (("train", "valid"), {"train", "validation"}),
            (("train", "val", "test"), {"train", "validation", "test"}),
            (("TRAIN", "Validation", "eval"), {"train", "validation", "test"}),
            (("train", "dev", "holdout"), {"train", "validation", "test"}),
        ],
    )
    def test_split_folders_in_their_spellings(self, tmp_path, folders, splits):
        for folder in folders:
            make(tmp_path, f"{folder}/ant/a.png", f"{folder}/bee/b.png")
        samples = open_dataset(tmp_path)
        assert set(samples.splits.tolist()) == splits
        assert samples.class_names == ("ant", "bee")
        assert f"{folders[0]}/" in samples.how

    def test_a_class_called_train_is_a_class(self, tmp_path):
        make(tmp_path, "train/a.png", "plane/b.png", "car/c.png")
        assert open_dataset(tmp_path).class_names == ("car", "plane", "train")

    def test_file_names_mean_nothing(self, tmp_path):
        make(tmp_path, "ant/train_1.png", "ant/test_1.png", "bee/val.png", "bee/train.png")
        assert set(open_dataset(tmp_path).splits.tolist()) == {""}

    def test_a_split_may_lack_a_class_and_labels_do_not_shift(self, tmp_path):
        make(tmp_path, "train/ant/a.png", "train/bee/b.png", "train/cow/c.png", "val/cow/d.png", "val/bee/e.png")
        samples = open_dataset(tmp_path)
        assert rows(samples)["val/cow/d.png"] == ("cow", "validation")
        assert samples.targets.tolist() == [0, 1, 2, 1, 2]

    def test_a_class_unknown_to_training_is_refused(self, tmp_path):
        make(tmp_path, "train/ants/a.png", "train/bees/b.png", "test/Ants/c.png", "test/bees/d.png")
        assert "the test split holds 1 class that no training picture has: 'Ants'; did you mean 'ants'?" in refused(
            tmp_path
        )
        make(tmp_path, "test/wasps/c.png")
        assert "2 classes that no training picture has: 'Ants', 'wasps'" in refused(tmp_path)

    def test_junk_is_nothing(self, tmp_path):
        make(
            tmp_path,
            *("ant/a.png", "ant/.hidden.png", "ant/._a.png", "ant/Thumbs.db", "ant/.ipynb_checkpoints/a.png"),
            *("bee/b.png", "bee/@eaDir/b.png", "__MACOSX/ant/a.png", ".git/x.png", ".DS_Store", "desktop.ini"),
        )
        samples = open_dataset(tmp_path)
        assert samples.names == ("ant/a.png", "bee/b.png")
        assert samples.how == "class folders: 2 classes, 2 pictures"

    def test_what_is_passed_by_is_said(self, tmp_path):
        make(tmp_path, "ant/a.png", "ant/a.xml", "ant/b.json", "bee/b.png", "cover.jpg", "empty/readme.md")
        samples = open_dataset(tmp_path)
        assert samples.class_names == ("ant", "bee")
        assert samples.how == (
            "class folders: 2 classes, 2 pictures; 'empty' without a picture, so no class; "
            "1 picture outside of class folders not used; 3 files that are no pictures ignored"
        )

    def test_a_test_folder_without_classes_is_not_used(self, tmp_path):
        make(tmp_path, "train/ant/a.png", "train/bee/b.png", "test/1.png", "test/2.png")
        samples = open_dataset(tmp_path)
        assert set(samples.splits.tolist()) == {"train"}
        assert "test/ holds 2 pictures without class folders and is not used" in samples.how

    def test_a_train_folder_without_classes_is_refused(self, tmp_path):
        make(tmp_path, "train/1.png", "test/ant/1.png", "test/bee/2.png")
        assert "nothing to learn from" in refused(tmp_path)

    def test_one_split_named_twice_is_refused(self, tmp_path):
        make(tmp_path, "train/ant/a.png", "val/ant/a.png", "valid/bee/a.png")
        assert "'val', 'valid'" in refused(tmp_path)

    def test_folders_in_one_folder_are_found(self, tmp_path):
        make(tmp_path, "photos/photos/train/ant/a.png", "photos/photos/train/bee/b.png", "__MACOSX/x")
        samples = open_dataset(tmp_path)
        assert samples.class_names == ("ant", "bee")
        assert samples.how.endswith("all of it in photos/photos/train/")
        assert samples.source == str(tmp_path)

    def test_links_are_followed_and_loops_end(self, tmp_path):
        outside = make(tmp_path / "outside", "c.png")
        source = make(tmp_path / "source", "ant/a.png", "bee/b.png")
        (source / "ant" / "again").symlink_to(source, target_is_directory=True)
        (source / "bee" / "more").symlink_to(outside, target_is_directory=True)
        (source / "bee" / "linked.png").symlink_to(outside / "c.png")
        (source / "bee" / "broken.png").symlink_to(outside / "nothing.png")
        samples = open_dataset(source)
        assert "bee/more/c.png" in samples.names
        assert samples.pictures.load(samples.names.index("bee/linked.png")) == b"c.png"
        assert len(samples) < 12
        with pytest.raises(InputError, match=r"^no such file$"):
            samples.pictures.load(samples.names.index("bee/broken.png"))

    def test_names_of_all_kinds(self, tmp_path):
        try:
            make(tmp_path, b"caf\xe9/\xff\xfe.png", "日本/写真.png", "<script>/a b.png", "ñ/'\"&.png")
        except OSError:
            pytest.skip("this file system takes only UTF-8 names")
        samples = open_dataset(tmp_path)
        assert set(samples.class_names) == {"caf\\xe9", "日本", "<script>", "ñ"}
        assert len(samples) == 4
        for name in (*samples.names, *samples.class_names, samples.how):
            name.encode("utf-8")
        loaded = {samples.pictures.load(row) for row in samples.index}
        assert b"caf\xe9/\xff\xfe.png" in loaded

    def test_composed_and_decomposed_letters_are_one_class(self, tmp_path):
        make(tmp_path, "train/caf\u00e9/a.png", "train/x/b.png", "test/cafe\u0301/c.png")
        assert open_dataset(tmp_path).class_names == ("caf\u00e9", "x")

    def test_what_is_no_file_has_a_reason(self, tmp_path):
        make(tmp_path, "ant/a.png", "bee/b.png")
        os.mkfifo(tmp_path / "bee" / "pipe.png")
        samples = open_dataset(tmp_path)
        with pytest.raises(InputError, match="not a regular file"):
            samples.pictures.load(samples.names.index("bee/pipe.png"))

    def test_nothing_is_written(self, tmp_path):
        make(tmp_path, "ant/a.png", "bee/b.png")
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        open_dataset(tmp_path)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before

    def test_many_files_are_listed_quickly(self, tmp_path):
        for label in range(10):
            (tmp_path / str(label)).mkdir()
            for number in range(1000):
                os.close(os.open(tmp_path / str(label) / f"{number}.png", os.O_CREAT))
        start = time.perf_counter()
        samples = open_dataset(tmp_path)
        assert len(samples) == 10_000
        assert time.perf_counter() - start < 2  # 0.05 s on an idle core; 100,000 in under 1 s


class TestRefusals:
    def test_missing_path(self, tmp_path):
        make(tmp_path, "photos/ant/a.png")
        assert refused(tmp_path / "photo").endswith("no such file or folder; did you mean 'photos'?")

    def test_empty_folder(self, tmp_path):
        said = refused(tmp_path)
        assert "looked for class folders" in said
        assert said.endswith("it is empty")

    def test_only_junk(self, tmp_path):
        make(tmp_path, ".git/a.png", "Thumbs.db")
        assert refused(tmp_path).endswith("it is empty")

    def test_flat_folder(self, tmp_path):
        make(tmp_path, "a.png", "b.png")
        assert "2 pictures, but nothing says their classes; move them into one folder a class" in refused(tmp_path)

    def test_folders_without_pictures(self, tmp_path):
        make(tmp_path, "docs/a.txt", "src/b.py")
        assert "it holds 'docs', 'src'" in refused(tmp_path)

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("a.png", "no source of pictures"),
            ("a.zip", "unpack it"),
            ("a.npy", "name the folder"),
            ("a.xlsx", "no source"),
            ("a.npz", "damaged or cut short"),
            ("a.parquet", "no Parquet file"),
        ],
    )
    def test_a_file_that_is_no_source(self, tmp_path, name, said):
        make(tmp_path, name)
        assert said in refused(tmp_path / name)

    def test_addresses(self):
        assert "download it first" in refused("https://example.org/photos")
        assert "name it as text" in refused(Path("s3://bucket/photos"))

    def test_odd_paths(self, tmp_path):
        assert "no file can have this name" in refused("a\0b")
        assert "File name too long" in refused(tmp_path / ("x" * 300))

    @pytest.mark.parametrize("source", [None, 3, 2.5])
    def test_other_things(self, source):
        assert "a source is a path or arrays" in refused(source)

    def test_root_must_be_there(self, tmp_path):
        make(tmp_path, "ant/a.png")
        assert "(--root)" in refused(tmp_path, root=tmp_path / "nowhere")

    @pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may list every folder")
    def test_a_folder_that_may_not_be_listed(self, tmp_path):
        make(tmp_path, "ant/a.png", "bee/b.png")
        (tmp_path / "bee").chmod(0)
        try:
            assert "Permission denied" in refused(tmp_path)
        finally:
            (tmp_path / "bee").chmod(0o700)


class TestFindPictures:
    def test_files_folders_patterns_and_lists(self, tmp_path, monkeypatch):
        make(
            tmp_path, "a.png", "in/10.png", "in/2.png", "in/deep/3.jpg", "in/notes.txt", "in/.x.png", "p1.bmp", "p2.bmp"
        )
        monkeypatch.chdir(tmp_path)
        samples = find_pictures(["a.png", "in", "p*.bmp", "-"], stdin=["a.png\n", "\n", "in/2.png\r\n"])
        assert samples.names == (
            *("a.png", "in/2.png", "in/10.png", "in/deep/3.jpg", "p1.bmp", "p2.bmp", "a.png", "in/2.png"),
        )
        assert (samples.targets == -1).all()
        assert samples.class_names == ()
        assert samples.pictures.load(1) == b"in/2.png"
        assert samples.how == "8 pictures"

    def test_what_is_no_name_is_refused(self):
        with pytest.raises(InputError, match=r"got a value of type ndarray; arrays .* by striate.load\(run\).predict"):
            find_pictures([np.zeros((8, 8), np.uint8)])

    def test_what_is_missing_is_a_row_that_says_so(self, tmp_path):
        make(tmp_path, "a.png", "notes.txt", "empty/x.txt")
        names = ["gone.png", "a.png", "notes.txt", "empty", "*.gif", "a\0b.png"]
        samples = find_pictures([tmp_path / name for name in names])
        reasons = []
        for row in range(len(samples)):
            try:
                reasons.append(samples.pictures.load(row))
            except InputError as error:
                reasons.append(str(error))
        assert reasons == [
            *("no such file", b"a.png", b"notes.txt", "no picture in this folder", "nothing matches this pattern"),
            "no file can have this name",
        ]

    def test_a_name_with_brackets_that_is_there_is_no_pattern(self, tmp_path):
        make(tmp_path, "[1].png", "1.png")
        assert find_pictures([tmp_path / "[1].png"]).pictures.load(0) == b"[1].png"

    def test_recursive_pattern(self, tmp_path):
        make(tmp_path, "a/1.png", "b/c/2.png", "b/x.txt")
        names = find_pictures([f"{tmp_path}/**/*.png"]).names
        assert [Path(name).name for name in names] == ["1.png", "2.png"]

    @pytest.mark.parametrize(
        ("arguments", "stdin", "said"),
        [
            ([], None, "no picture named"),
            (["-"], [], "no picture named"),
            (["-"], None, "standard input"),
            (["https://example.org/a.png"], None, "download it first"),
        ],
    )
    def test_refusals(self, arguments, stdin, said):
        with pytest.raises(InputError, match=said):
            find_pictures(arguments, stdin)


class TestSharedData:
    """The real sets, with the counts of their README."""

    pytestmark = pytest.mark.shared_data

    @pytest.mark.parametrize(
        ("name", "classes", "train", "test", "how"),
        [
            ("mnist", 10, 60_000, 10_000, "IDX files"),
            ("fashion-mnist", 10, 60_000, 10_000, "IDX files"),
            ("cifar10-jpeg", 10, 50_000, 10_000, "WebDataset tars: 12 shards"),
            ("hymenoptera", 2, 120, 200, "its class folders say the same"),
            ("caltech101-20", 20, 200, 400, "its class folders say the same"),
            ("raccoon-boxes", 1, 120, 40, "table boxes.csv"),
        ],
    )
    def test_counts(self, shared_data, name, classes, train, test, how):
        start = time.perf_counter()
        samples = open_dataset(shared_data / name)
        assert time.perf_counter() - start < 10  # 2.8 s for the 12 shards on a busy core
        assert len(samples.class_names) == classes
        assert {split: int(count.sum()) for split, count in samples.counts().items()} == {"train": train, "test": test}
        assert how in samples.how
        assert samples.left_out == ()

    def test_pictures_and_labels_belong_together(self, shared_data):
        import gzip
        import tarfile

        mnist = open_dataset(shared_data / "mnist")
        with gzip.open(shared_data / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
            pixels = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 28, 28)
        with gzip.open(shared_data / "mnist" / "t10k-labels-idx1-ubyte.gz") as file:
            labels = np.frombuffer(file.read()[8:], np.uint8)
        for row in (0, 1, 9_999):
            np.testing.assert_array_equal(mnist.pictures.load(60_000 + row), pixels[row])
            assert mnist.class_names[mnist.targets[60_000 + row]] == str(labels[row])
        cifar = open_dataset(shared_data / "cifar10-jpeg" / "train-009.tar.gz")
        names = (shared_data / "cifar10-jpeg" / "classes.txt").read_text().split()
        of_row = {name: row for row, name in enumerate(cifar.names)}
        with tarfile.open(shared_data / "cifar10-jpeg" / "train-009.tar.gz") as tar:
            for member in tar.getmembers()[4000:4040:2]:
                row = of_row[f"train-009.tar.gz/{member.name}"]
                assert cifar.pictures.load(row) == tar.extractfile(member).read()
                label = tar.extractfile(member.name.replace(".jpg", ".cls")).read()
                assert cifar.class_names[cifar.targets[row]] == names[int(label)]

    def test_splits_by_folder_and_by_table_are_equal(self, shared_data):
        table = open_dataset(shared_data / "caltech101-20")
        folders = open_dataset(shared_data / "caltech101-20", labels="folders")
        assert rows(table) == rows(folders)


def test_opening_loads_no_heavy_library(tmp_path):
    make(tmp_path, "ant/a.png", "bee/b.png")
    code = (
        "import sys; from striate.data.sources import open_dataset; open_dataset(sys.argv[1]);"
        "sys.exit(bool({'torch', 'PIL', 'pandas', 'pyarrow', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_recognises_nothing_in_an_empty_folder(tmp_path, name):
    import importlib

    module = importlib.import_module(SOURCES[name])
    assert not module.recognises(tmp_path)
    with pytest.raises(InputError):
        module.read(tmp_path)
