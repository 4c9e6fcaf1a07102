"""Parquet: written here by pyarrow as Hugging Face's `datasets` and pandas write it; read back byte by byte."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from test_sources import make, refused

from shards import encoded
from shards import picture as shape_and_shade
from striate.data.decode import decode
from striate.data.samples import Sharded
from striate.data.sources import open_dataset
from striate.data.streaming import Streamed
from striate.errors import InputError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def picture(number):
    return {"bytes": f"picture {number}".encode() * 20, "path": f"{number}.png"}


def write(path, columns, *, names=None, row_group=3, feature=None):
    """`names`: of the classes of `label`, noted as `datasets` notes them."""
    table = pa.table(columns)
    if names is not None:
        label = {"names": names, "_type": "ClassLabel"}
        features = {"image": {"_type": "Image"}, "label": label if feature is None else feature(label)}
        noted = {"info": {"features": features}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(noted)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=row_group)
    return path


def images(numbers, labels, **more):
    return {"image": pa.array([picture(number) for number in numbers], PICTURE), "label": labels, **more}


def loaded(samples):
    return [samples.pictures.load(int(index)) for index in samples.index]


def test_pictures_of_datasets(tmp_path):
    """The layout of a data set on the hub: shards by split in `data`, names of the classes in the schema."""
    names = ["zebra", "ant", "bee"]
    write(tmp_path / "data/train-00000-of-00002.parquet", images(range(7), [2, 0, 1, 2, 0, 1, 2]), names=names)
    write(tmp_path / "data/train-00001-of-00002.parquet", images([7, 8], [0, 1]), names=names)
    write(tmp_path / "data/test-00000-of-00001.parquet", images([9, 10], [1, -1]), names=names)
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    samples = open_dataset(tmp_path)
    assert samples.class_names == ("ant", "bee", "zebra")
    labels = [samples.label(row) for row in range(len(samples))]
    assert labels == ["ant", *["bee", "zebra", "ant", "bee", "zebra", "ant", "bee"], "zebra", "ant"]
    assert samples.splits.tolist() == ["test"] + ["train"] * 9
    numbers = [9, *range(9)]
    assert loaded(samples) == [picture(number)["bytes"] for number in numbers]
    assert [(left.name, left.reason) for left in samples.left_out] == [
        ("test-00000-of-00001.parquet#1", "no label (-1)")
    ]
    assert samples.how.startswith("pictures in test-00000-of-00001.parquet, train-00000-of-00002.parquet")
    assert "3 classes, 11 pictures (columns 'image', 'label')" in samples.how


def test_one_file_in_any_order_and_forward(tmp_path):
    samples = open_dataset(write(tmp_path / "a.parquet", images(range(10), ["x", "y"] * 5)))
    assert isinstance(samples.pictures, Sharded)
    for index in (9, 0, 4, 3, 9, 1):
        assert samples.pictures.load(index) == picture(index)["bytes"]
    reader = samples.pictures.forward()
    assert [reader.load(index) for index in range(10)] == [picture(index)["bytes"] for index in range(10)]
    reader.close()
    assert samples.pictures.places[:, :2].tolist() == [[0, row] for row in range(10)]
    assert set(samples.splits.tolist()) == {""}


@pytest.mark.parametrize("feature", [lambda label: [label], lambda label: {"feature": label, "_type": "Sequence"}])
def test_lists_of_classes(tmp_path, feature):
    columns = images([0, 1, 2], pa.array([[0, 2], [], [1]], pa.list_(pa.int64())))
    samples = open_dataset(write(tmp_path / "a.parquet", columns, names=["c", "b", "a"], feature=feature))
    assert (samples.task, samples.class_names) == ("multilabel", ("a", "b", "c"))
    np.testing.assert_array_equal(samples.targets, [[1, 0, 1], [0, 0, 0], [0, 1, 0]])


def test_plain_bytes_groups_and_splits(tmp_path):
    columns = {
        "jpg": pa.array([b"one", b"two", b"three"], pa.binary()),
        "embedding": pa.array([b"1", b"2", b"3"], pa.binary()),
        "class": ["a", "b", "a"],
        "split": ["train", "train", "test"],
        "group": ["g", None, "g"],
    }
    samples = open_dataset(write(tmp_path / "a.parquet", columns))
    assert loaded(samples) == [b"one", b"two", b"three"]
    assert samples.splits.tolist() == ["train", "train", "test"]
    assert samples.groups.tolist() == ["g", "(a.parquet#1)", "g"]


def test_numbers_and_other_columns(tmp_path):
    columns = images([0, 1], [0, 1], age=[30.5, 41.0], weight=[3, 4], when=pa.array([1, 2], pa.timestamp("s")))
    path = write(tmp_path / "a.parquet", columns)
    samples = open_dataset(path, targets="age,weight")
    assert (samples.task, samples.class_names) == ("regression", ("age", "weight"))
    np.testing.assert_array_equal(samples.targets, [[30.5, 3], [41, 4]])
    assert "row 1: a datetime in 'when'" in refused(path, targets="when,age")
    assert "no column 'agee'; did you mean 'age'?" in refused(path, targets="agee")
    # numbers beside the pictures make no table of numbers of it
    assert loaded(open_dataset(path)) == [picture(0)["bytes"], picture(1)["bytes"]]


def test_decimals_are_numbers(tmp_path):
    ages, kinds = pa.array([Decimal("30.50"), Decimal("41.25")]), pa.array([Decimal(7), Decimal(9)])
    path = write(tmp_path / "a.parquet", images([0, 1], kinds, age=ages))
    np.testing.assert_array_equal(open_dataset(path, targets="age").targets, [[30.5], [41.25]])
    assert open_dataset(path).class_names == ("7", "9")


def test_what_a_table_in_a_folder_lacks(tmp_path):
    make(tmp_path, "1.png")
    write(tmp_path / "a.parquet", {"path": ["1.png"], "weight": [2.5], "who": ["me"]})
    assert "no table of labels in it (a.parquet: no column for the label" in refused(tmp_path)


def test_a_table_of_paths(tmp_path):
    make(tmp_path, "1.png", "deep/2.png")
    samples = open_dataset(write(tmp_path / "a.parquet", {"path": ["1.png", "deep/2.png"], "label": ["b", "a"]}))
    assert samples.names == ("1.png", "deep/2.png")
    assert [samples.label(row) for row in range(2)] == ["b", "a"]
    assert loaded(samples) == [b"1.png", b"deep/2.png"]
    assert samples.how == "table a.parquet: 2 classes, 2 pictures (columns 'path' and 'label')"
    assert open_dataset(tmp_path, labels="a.parquet").names == samples.names


def test_streamed(tmp_path):
    """Read in pieces side by side, each row group by itself; every picture once, in the order that is drawn."""
    encoded_pictures = [encoded(shape_and_shade(number % 3, number, (6, 7))) for number in range(40)]
    for name, numbers in (("train-0", range(25)), ("train-1", range(25, 40))):
        columns = {
            "image": pa.array([{"bytes": encoded_pictures[number], "path": None} for number in numbers], PICTURE),
            "label": [number % 2 for number in numbers],
        }
        write(tmp_path / f"{name}.parquet", columns, row_group=4)
    samples = open_dataset(tmp_path)
    pictures = Streamed(samples, np.arange(40), buffer=8, threads=2)
    order = pictures.order(seed=0, epoch=1)
    found = dict(pictures.pictures(order))
    assert sorted(found) == list(range(40))
    for place, pixels in found.items():
        np.testing.assert_array_equal(pixels, decode(encoded_pictures[place]))


def test_rows_without_bytes(tmp_path):
    columns = images([0, 1], ["a", "b"])
    columns["image"] = pa.array([picture(0), {"bytes": None, "path": "x.png"}], PICTURE)
    samples = open_dataset(write(tmp_path / "a.parquet", columns))
    with pytest.raises(InputError, match="there are no bytes of a picture in its row"):
        samples.pictures.load(1)


def test_damage(tmp_path):
    path = write(tmp_path / "a.parquet", images(range(9), ["a", "b", "c"] * 3))
    whole = path.read_bytes()
    for data in (b"", b"PAR1", whole[:100], whole[: len(whole) // 2], whole[:-8], b"x" * 500):
        path.write_bytes(data)
        said = refused(path)
        assert "no Parquet file, damaged or cut short" in said
        assert said.startswith(str(path))
    # what is inside a row group is seen when it is read, and only its pictures are lost
    path.write_bytes(whole)
    samples = open_dataset(path)
    page = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    path.write_bytes(whole[:page] + b"\xff" * 40 + whole[page + 40 :])
    reasons = []
    for index in range(9):
        try:
            assert samples.pictures.load(index) == picture(index)["bytes"]
        except InputError as error:
            reasons.append((index, str(error)))
    assert [index for index, _ in reasons] == [3, 4, 5]
    assert all("its row group cannot be read" in reason for _, reason in reasons)


WRONG = [
    ({"image": pa.array([b"1"], pa.binary()), "caption": ["x"]}, "no column for the label", {}),
    ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())}, "no rows", {}),
    ({"image": pa.array([b"1"], pa.binary()), "label": pa.array([None], pa.string())}, "row 1: no label", {}),
    ({"note": ["x"], "label": ["a"]}, "no column for the path", {}),
    (
        {"image": pa.array([b"1"], pa.binary()), "label": ["a"]},
        "row 1: 'a' in 'label' is no number",
        {"task": "regression"},
    ),
]


@pytest.mark.parametrize(("columns", "said", "options"), WRONG, ids=[row[1] for row in WRONG])
def test_wrong_tables(tmp_path, columns, said, options):
    assert said in refused(write(tmp_path / "a.parquet", columns), **options)


def test_a_class_that_the_schema_does_not_name(tmp_path):
    path = write(tmp_path / "a.parquet", images([0, 1], [0, 7]), names=["a", "b"])
    assert "row 2: the number of a class in 'label' is 7, but the file names those from 0 to 1" in refused(path)


def test_beside_class_folders(tmp_path):
    make(tmp_path, "a/1.png", "b/2.png")
    path = write(tmp_path / "set.parquet", images([0, 1], ["a", "b"]))
    assert f"say which one counts: --labels {path} or --labels folders" in refused(tmp_path)
    assert loaded(open_dataset(tmp_path, labels=path)) == [picture(0)["bytes"], picture(1)["bytes"]]


def test_files_of_which_some_have_a_split(tmp_path):
    write(tmp_path / "train-0.parquet", images([0, 1], ["a", "b"]))
    write(tmp_path / "more.parquet", images([2], ["a"]))
    assert "some Parquet files are called by a split, and not all" in refused(tmp_path)
    (tmp_path / "more.parquet").unlink()
    write(tmp_path / "test-0.parquet", {"image": pa.array([b"1"], pa.binary()), "species": ["a"]})
    assert "test-0.parquet: no column for the label" in refused(tmp_path)
