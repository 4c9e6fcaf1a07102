"""Tables of labels: columns, separators, encodings, splits, groups; and every kind of wrong line."""

from __future__ import annotations

import pytest
from test_sources import make, refused, rows

from striate.data.sources import open_dataset
from striate.errors import InputError


@pytest.fixture
def photos(tmp_path):
    return make(tmp_path, *(f"{number}.png" for number in range(1, 7)), "deep/7.png")


def write(folder, text, name="labels.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_flat_folder_with_a_table(photos):
    write(photos, "path,label\n2.png,dog\n1.png,cat\ndeep/7.png,dog\n")
    samples = open_dataset(photos)
    assert rows(samples) == {"2.png": ("dog", ""), "1.png": ("cat", ""), "deep/7.png": ("dog", "")}
    assert samples.class_names == ("cat", "dog")
    assert samples.pictures.load(samples.index[2]) == b"deep/7.png"
    assert samples.how == "table labels.csv: 2 classes, 3 pictures (columns 'path' and 'label')"
    assert samples.groups is None


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_separators(photos, separator, name):
    text = "id,Path,note,Label\n1,1.png,x,cat\n2,2.png,,dog\n".replace(",", separator)
    assert rows(open_dataset(write(photos, text, name))) == {"1.png": ("cat", ""), "2.png": ("dog", "")}


@pytest.mark.parametrize("header", ["FILE,Class", "filename,target", " image , label ", "path,label", "Filepath,CLASS"])
def test_names_of_columns(photos, header):
    assert len(open_dataset(write(photos, f"{header}\n1.png,a\n2.png,b\n"))) == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("path,label\n1.png,caf\u00e9\n2.png,x\n".encode(), ""),
        ("\ufeffpath,label\r\n1.png,caf\u00e9\r\n2.png,x\r\n".encode(), ""),
        ("path,label\n1.png,caf\u00e9\n2.png,x\n".encode("utf-16"), "read as UTF-16"),
        ("path,label\n1.png,caf\u00e9\n2.png,x\n".encode("cp1252"), "read as Windows-1252, since it is no UTF-8"),
        ("sep=;\npath;label\n1.png;caf\u00e9\n2.png;x\n".encode(), ""),
        ("\n\npath,label\n\n1.png,caf\u00e9\n,\n2.png,x".encode(), ""),
        ('"path","label"\n"1.png","caf\u00e9"\n"2.png",x\n'.encode(), ""),
    ],
)
def test_encodings_and_spellings(photos, data, said):
    samples = open_dataset(write(photos, data))
    assert samples.class_names == ("caf\u00e9", "x")
    assert said in samples.how


def test_splits_and_groups(photos):
    write(
        photos,
        "path,label,split,group\n1.png,a,train,p1\n2.png,b,Training,p1\n3.png,a,VAL,p2\n4.png,b,test,p3\n"
        "5.png,b,test,\n6.png,b,test,\n",
    )
    samples = open_dataset(photos)
    assert samples.splits.tolist() == ["train", "train", "validation", "test", "test", "test"]
    groups = samples.groups.tolist()
    assert groups[:4] == ["p1", "p1", "p2", "p3"]
    assert len(set(groups)) == 5  # a picture without a group is alone
    assert "(columns 'path', 'label', 'split' and 'group')" in samples.how


def test_splits_of_the_folders_in_the_paths(tmp_path):
    make(tmp_path, "train/1.png", "train/2.png", "test/3.png")
    write(tmp_path, "path,label\ntrain/1.png,a\ntrain/2.png,b\ntest/3.png,a\n")
    samples = open_dataset(tmp_path)
    assert samples.splits.tolist() == ["train", "train", "test"]
    assert "splits from the folders" in samples.how


def test_backslashes_of_windows(photos):
    assert open_dataset(write(photos, "path,label\ndeep\\7.png,a\n1.png,b\n")).names == ("deep/7.png", "1.png")


def test_paths_from_root(photos, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    table = write(elsewhere, "path,label\n1.png,a\n2.png,b\n")
    assert "--root" in refused(table)
    assert open_dataset(table, root=photos).names == ("1.png", "2.png")
    assert open_dataset(photos, labels=table).names == ("1.png", "2.png")
    assert open_dataset(photos, labels=table).source == str(photos)


def test_absolute_paths_inside(photos):
    table = write(photos, f"path,label\n{photos}/1.png,a\n{photos}/deep/../2.png,b\n")
    assert open_dataset(table).names == ("1.png", "2.png")


def test_missing_files_are_left_out_and_named(photos):
    write(photos, "path,label\n1.png,a\ngone.png,a\n2.png,b\n")
    samples = open_dataset(photos)
    assert samples.names == ("1.png", "2.png")
    assert [(left.name, left.reason) for left in samples.left_out] == [("gone.png", "no such file")]
    assert "1 file missing" in samples.how


def test_lines_for_the_same_picture(photos):
    write(photos, "path,class,x\n1.png,a,0\n1.png,a,1\n./1.png,a,2\n2.png,b,3\n", "boxes.csv")
    samples = open_dataset(photos)
    assert samples.names == ("1.png", "2.png")
    assert "2 lines for a picture named before ignored" in samples.how


WRONG = [
    (
        "path,name\n1.png,a\n",
        "no column for the label (label, class, target, class_name); columns there: 'path', 'name'",
    ),
    ("id,label\n1.png,a\n", "no column for the path (path, file, filename, image)"),
    ("id,name\n1.png,a\n", "no column for the path (path, file, filename, image) and no column for the label"),
    ("1.png,a\n2.png,b\n", "no column for the path"),
    ("path,path,label\n1.png,2.png,a\n", "two columns are called 'path'"),
    ("", "empty, where a header"),
    ("path,label\n", "a header, but names no picture"),
    ("path,label\n1.png,a\n2.png,\n", "line 3: no label ('') for 2.png; fill it in, or take the line out"),
    ("path,label\n1.png,a\n2.png,NaN\n", "line 3: no label ('NaN')"),
    ("path,label\n1.png,a\n2.png\n", "line 3: no label ('')"),
    ("path,label\n1.png,NA\n2.png,b\n", "line 2: no label ('NA')"),
    ("path,label\n,a\n", "line 2: the path is empty"),
    ("path,label\n../x.png,a\n", "line 2: ../x.png leaves the folder"),
    ("path,label\ndeep/../../x.png,a\n", "leaves the folder"),
    ("path,label\n..\\x.png,a\n", "leaves the folder"),
    ("path,label\n/etc/passwd,a\n", "line 2: /etc/passwd leaves the folder"),
    ("path,label\n.,a\n", "leaves the folder"),
    ("path,label\nhttp://example.org/1.png,a\n", "is an address"),
    ("path,label\n1.png,a\n1.png,b\n", "lines 2 and 3 name 1.png twice, as 'a' and 'b'"),
    ("path,label,split\n1.png,a,train\n1.png,a,test\n", "lines 2 and 3 put 1.png into two splits"),
    (
        "path,label,split\n1.png,a,train\n2.png,b,fold3\n",
        "line 3: the split is 'fold3'; known: train, validation, test",
    ),
    ("path,label,split\n1.png,a,train\n2.png,b,\n", "line 3: the split is ''"),
    ("path,label\n1.png,a,b\n", "line 2: 3 fields, but 2 columns"),
    ("path,label\ngone.png,a\nlost.png,b\n", "none of the 2 pictures it names is there"),
    ("path,label,split\n1.png,a,train\n2.png,b,train\n3.png,c,test\n", "no training picture has: 'c'"),
    (b"path,label\n1.png,a\0\n", "no text"),
    (b"\x89PNG\r\n\x1a\n\0\0", "no text"),
    (b"\xff\xfep\0a", "begins like UTF-16"),
    ("path,label\n1.png," + "x" * 200_000 + "\n", "line 2: no line of a table"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[said[:40] for _, said in WRONG])
def test_wrong_tables(photos, text, said):
    assert said in refused(write(photos, text))


def test_wrong_columns_in_a_flat_folder(photos):
    write(photos, "path,name\n1.png,a\n")
    assert "labels.csv: no column for the label" in refused(photos)


def test_a_folder_is_no_picture(photos):
    samples = open_dataset(write(photos, "path,label\ndeep,a\n1.png,b\n"))
    with pytest.raises(InputError, match="a folder, not a file"):
        samples.pictures.load(0)


def test_several_tables(photos):
    write(photos, "path,label\n1.png,a\n2.png,b\n", "a.csv")
    write(photos, "path,label\n1.png,b\n2.png,a\n", "b.tsv")
    write(photos, "camera,lens\nx,y\n", "meta.csv")
    assert "2 tables of labels, 'a.csv', 'b.tsv'; say which one counts: --labels" in refused(photos)
    assert rows(open_dataset(photos, labels="b.tsv"))["1.png"] == ("b", "")
    assert rows(open_dataset(photos, labels=photos / "a.csv"))["1.png"] == ("a", "")
    assert "no such table" in refused(photos, labels="c.csv")


class TestBesideClassFolders:
    @pytest.fixture
    def folders(self, tmp_path):
        names = [f"{split}/{label}/{n}.png" for split in ("train", "test") for label in ("ant", "bee") for n in (1, 2)]
        return make(tmp_path, *names)

    def table(self, folder, changes=(), drop=0, extra="", split=True):
        lines = [
            f"{split}/{label}/{n}.png,{label},{split}"
            for split in ("train", "test")
            for label in ("ant", "bee")
            for n in (1, 2)
        ]
        text = "path,label,split\n" + "\n".join(lines[drop:]) + "\n" + extra
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        if not split:
            text = "\n".join(line.rpartition(",")[0] for line in text.splitlines())
        return write(folder, text)

    def test_that_agree(self, folders):
        self.table(folders)
        samples = open_dataset(folders)
        assert samples.how.endswith("its class folders say the same")
        assert len(samples) == 8

    def test_a_table_without_splits_takes_those_of_the_folders(self, folders):
        self.table(folders, split=False)
        assert rows(open_dataset(folders))["test/ant/1.png"] == ("ant", "test")

    def test_missing_files_are_no_disagreement(self, folders):
        self.table(folders, extra="train/ant/gone.png,ant,train\n")
        samples = open_dataset(folders)
        assert [left.name for left in samples.left_out] == ["train/ant/gone.png"]

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            (
                {"changes": [("train/ant/1.png,ant", "train/ant/1.png,bee")]},
                "train/ant/1.png is 'bee' in the table and 'ant'",
            ),
            (
                {"changes": [("2.png,bee,test", "2.png,bee,train")]},
                "is in the train split of the table and in the test",
            ),
            ({"drop": 1}, "1 picture of the folders not in the table (the first is train/ant/1.png)"),
            ({"extra": "loose.png,ant,train\n"}, "loose.png is in the table, but in no class folder"),
        ],
    )
    def test_that_disagree_are_refused_until_one_counts(self, folders, changes, said):
        make(folders, "loose.png")
        table = self.table(folders, **changes)
        message = refused(folders)
        assert said in message
        assert message.endswith(f"say which one counts: --labels {table} or --labels folders")
        assert len(open_dataset(folders, labels="folders")) == 8
        assert open_dataset(folders, labels=table).how.startswith("table labels.csv")

    def test_another_table_is_said_and_not_used(self, folders):
        write(folders, "camera,lens\nx,y\n", "meta.csv")
        assert "meta.csv: no column for the path" in open_dataset(folders).how

    def test_one_folder_of_pictures_is_a_place(self, tmp_path):
        make(tmp_path, "images/1.png", "images/2.png")
        write(tmp_path, "path,label\nimages/1.png,a\nimages/2.png,b\n")
        assert open_dataset(tmp_path).class_names == ("a", "b")

    def test_one_folder_of_pictures_and_a_wrong_table(self, tmp_path):
        make(tmp_path, "images/1.png", "images/2.png")
        write(tmp_path, "path,species\nimages/1.png,a\nimages/2.png,b\n")
        assert "labels.csv: no column for the label" in refused(tmp_path)

    def test_labels_folders_needs_a_folder(self, folders):
        assert "this is a file" in refused(self.table(folders), labels="folders")
