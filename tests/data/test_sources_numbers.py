"""Tables of numbers: which columns are fields, which is learned, what is left out, what is refused and how."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_sources import make, refused

from striate.data.reading import checksum, grey_block, load_pixels
from striate.data.sources import open_dataset
from striate.data.sources.number_rows import find_rows
from striate.data.store import build_store
from striate.errors import InputError

FLOWERS = "length,width,species\n5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,3.3,virginica\n5.8,2.7,virginica\n"


def write(folder, text, name="flowers.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def values(samples):
    return [samples.pictures.load(int(index)).tolist() for index in samples.index]


def test_fields_and_a_class(tmp_path):
    samples = open_dataset(write(tmp_path, FLOWERS))
    assert samples.fields == ("length", "width")
    assert samples.class_names == ("setosa", "virginica")
    assert samples.targets.tolist() == [0, 0, 1, 1]
    assert samples.names == ("flowers.csv#1", "flowers.csv#2", "flowers.csv#3", "flowers.csv#4")
    wanted = np.array([[5.1, 3.5], [4.9, 3.0], [6.3, 3.3], [5.8, 2.7]], dtype=np.float32)
    assert values(samples) == wanted.tolist()
    assert samples.how == "table of numbers flowers.csv: 2 classes ('species'), 4 rows of 2 fields ('length', 'width')"
    assert samples.noun == "row"
    # a row is a picture of one pixel with a channel for each field
    assert load_pixels(samples, 2).tolist() == [[wanted[2].tolist()]]
    store = build_store(samples, np.array([3, 1])).store
    assert store.uniform
    assert store.block(np.array([0, 1]))[:, 0, 0].tolist() == wanted[[3, 1]].tolist()
    block, checksums = grey_block(samples, np.arange(4))
    assert block.shape == (4, 1, 1, 2)
    assert checksums.tolist() == [checksum(load_pixels(samples, row)) for row in range(4)]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators(tmp_path, separator):
    assert len(open_dataset(write(tmp_path, FLOWERS.replace(",", separator)))) == 4


def test_json_lines(tmp_path):
    lines = [{"length": 5.1, "species": "setosa"}, {"length": 6, "species": "virginica"}]
    samples = open_dataset(write(tmp_path, "\n".join(map(json.dumps, lines)), "flowers.jsonl"))
    assert samples.fields == ("length",)
    assert values(samples) == [[np.float32(5.1)], [6.0]]


@pytest.mark.parametrize(
    ("header", "learned", "fields"),
    [
        ("a,b,label", "label", ("a", "b")),
        ("Target,b,c", "Target", ("b", "c")),
        ("id,b,class", "class", ("b",)),
        (",b,class", "class", ("b",)),
        ("a,split,class", "class", ("a",)),
        ("a,b,quality", "quality", ("a", "b")),  # the only column of texts
    ],
)
def test_which_column_is_what(tmp_path, header, learned, fields):
    middle = "train" if "split" in header else "2"
    lines = [f"1,{middle},x", f"3,{middle},y"] if not header.startswith("Target") else ["x,2,1", "y,2,3"]
    samples = open_dataset(write(tmp_path, "\n".join([header, *lines]) + "\n"))
    assert samples.fields == fields
    assert f"('{learned}')" in samples.how
    assert samples.class_names == ("x", "y")
    if header[0] in ",i":
        assert "not used, as it numbers the rows" in samples.how


def test_named_targets(tmp_path):
    path = write(tmp_path, "a,b,c,label\n1,2.5,x,p\n3,4.5,y,q\n5,6.5,x,p\n")
    assert "'x' in 'c' is no number" in refused(path)
    samples = open_dataset(write(tmp_path, "a,b,c\n1,2.5,7\n3,4.5,8\n5,6.5,9\n"), targets="b")
    assert samples.task == "regression"
    assert samples.fields == ("a", "c")
    assert samples.targets.tolist() == [[2.5], [4.5], [6.5]]
    samples = open_dataset(path.with_name("flowers.csv"), targets="b,c", task="regression")
    assert samples.fields == ("a",)
    assert samples.class_names == ("b", "c")
    assert "no column 'd'" in refused(path, targets="d")


def test_whole_numbers_that_seldom_repeat_are_numbers(tmp_path):
    rows = "".join(f"{n},{7 * n % 31}.0\n" for n in range(30))
    samples = open_dataset(write(tmp_path, "a,target\n" + rows))
    assert samples.task == "regression"
    assert "'target' is learned as a number, for most of its values occur once or twice" in samples.how
    assert open_dataset(tmp_path / "flowers.csv", task="classification").task == "classification"
    rows = "".join(f"{n},{n % 3}\n" for n in range(30))
    assert open_dataset(write(tmp_path, "a,target\n" + rows)).class_names == ("0", "1", "2")


def test_missing_numbers_are_left_out_and_counted(tmp_path):
    text = "a,b,class\n1,2,x\n,2,x\n1,nan,y\n3,?,y\n5,1e39,y\n1,inf,y\n7,8,y\n"
    samples = open_dataset(write(tmp_path, text))
    assert values(samples) == [[1.0, 2.0], [7.0, 8.0]]
    assert samples.names == ("flowers.csv#1", "flowers.csv#7")
    assert [(left.name, left.reason) for left in samples.left_out] == [
        ("flowers.csv#2", "no number in 'a'"),
        ("flowers.csv#3", "no number in 'b'"),
        ("flowers.csv#4", "no number in 'b'"),
        ("flowers.csv#5", "1e+39, which is too large, in 'b'"),
        ("flowers.csv#6", "inf, which is too large, in 'b'"),
    ]
    assert samples.how.endswith("5 rows are left out, for a number is missing there")
    assert "no row can be used; the first is flowers.csv#1 (no number in 'a')" in refused(
        write(tmp_path, "a,b,class\n,1,x\n,2,y\n")
    )


def test_splits_and_groups(tmp_path):
    text = "a,class,split,group\n1,x,train,p\n2,y,train,p\n3,x,Test,q\n4,y,test,\n"
    samples = open_dataset(write(tmp_path, text))
    assert samples.splits.tolist() == ["train", "train", "test", "test"]
    assert samples.groups.tolist()[:3] == ["p", "p", "q"]
    assert samples.groups[3] not in ("p", "q", "")
    assert "line 2: the split is 'fold1'; known: train, validation, test" in refused(
        write(tmp_path, "a,class,split\n1,x,fold1\n")
    )


def test_tables_that_are_called_by_splits(tmp_path):
    write(tmp_path, FLOWERS, "train.csv")
    write(tmp_path, "species,width,length\nsetosa,1,2\nvirginica,3,4\n", "test.csv")
    samples = open_dataset(tmp_path)
    assert samples.splits.tolist() == ["train"] * 4 + ["test"] * 2
    assert values(samples)[4:] == [[2.0, 1.0], [4.0, 3.0]]  # fields by name
    write(tmp_path, FLOWERS, "more.csv")
    assert "3 tables of numbers, 'more.csv', 'test.csv', 'train.csv'; name one" in refused(tmp_path)


def test_one_table_alone_in_a_folder(tmp_path):
    write(tmp_path, FLOWERS)
    make(tmp_path, "readme.txt")
    samples = open_dataset(tmp_path)
    assert samples.fields == ("length", "width")
    assert samples.source == str(tmp_path)
    make(tmp_path, "ant/1.png", "bee/1.png")
    assert open_dataset(tmp_path).fields == ()  # pictures come first


def test_many_digits_that_are_not_kept_are_a_doubt(tmp_path):
    rows = "".join(f"{1_700_000_000 + n},{n},{'xy'[n % 2]}\n" for n in range(20))
    samples = open_dataset(write(tmp_path, "time,a,class\n" + rows))
    assert samples.doubts == (
        "'time' has more digits than the 7 that are kept, and differs by little: subtract its least value",
    )


@pytest.mark.parametrize("text", ["a,b,c,d\n1,2,3,ant\n1,2,x,bee\n", "a,b,c\n1,2,3\n2,3,4\n"], ids=["slip", "no label"])
def test_a_table_of_numbers_that_is_not_recognised_is_told_how_to_be(tmp_path, text):
    told = "if its rows are what is to be learned from, name the answer: --targets COLUMN"
    assert told in refused(write(tmp_path, text))
    assert told not in refused(write(tmp_path, "id,name,kind,age\n1.png,a,x,3\n2.png,b,y,4\n", "pictures.csv"))


WRONG = [
    (
        FLOWERS.replace("species", "class") + "red,1,setosa\n",
        "line 6: 'red' in 'length' is no number, and fields must be; take the column out",
    ),
    ("a;b;class\n1;2,5;x\n2;3,5;y\n", "line 2: '2,5' in 'b' is no number; write it with a decimal point"),
    ("picture,a,class\n1.png,1,x\n2.png,2,y\n", "if the column names pictures, call it path"),
    ("a,a,class\n1,2,x\n", "two columns are called 'a'"),
    ("a,b,class\n1,2,x\n3,4,\n", "line 3: no label ('') for flowers.csv#2"),
    ("a,b,class\n1,2,x\n3,4,y,5\n", "line 3: 4 fields, but 3 columns"),
    ("a,b,c\n1,2,3\n", "no column for the path"),  # nothing says what is to be learned
]


@pytest.mark.parametrize(("text", "says"), WRONG, ids=[says[:40] for _, says in WRONG])
def test_wrong_tables(tmp_path, text, says):
    assert says in refused(write(tmp_path, text))


def test_rows_to_be_answered(tmp_path):
    path = write(tmp_path, "note,width,length\nx,1,2\ny,,4\n")
    samples = find_rows([path, write(tmp_path, FLOWERS, "more.csv")], ("length", "width"))
    assert samples.names[:3] == (f"{path}#1", f"{path}#2", f"{tmp_path / 'more.csv'}#1")
    assert samples.pictures.load(0).tolist() == [2.0, 1.0]
    with pytest.raises(InputError, match="no number in 'width'"):
        samples.pictures.load(1)
    for fields, says in ((("length", "widht"), "did you mean 'width'"), (("length", "x"), "columns there: 'note'")):
        with pytest.raises(InputError, match=says):
            find_rows([path], fields)
    with pytest.raises(InputError, match="the run answers rows of a table of numbers"):
        find_rows([make(tmp_path, "a.png") / "a.png"], ("length",))
    with pytest.raises(InputError, match=r"gone.csv: no such file"):
        find_rows([tmp_path / "gone.csv"], ("length",))
