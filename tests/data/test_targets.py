"""What the columns of a table say is to be learned: recognised, said, overridden, and refused with the line."""

from __future__ import annotations

import numpy as np
import pytest
from test_sources import make, refused

from striate.data.sources import open_dataset

NAMES = [f"{number}.png" for number in range(6)]


@pytest.fixture
def photos(tmp_path):
    return make(tmp_path, *NAMES)


def table(folder, header, *rows):
    """A table of the six pictures: `header` and `rows` are what stands after the path."""
    lines = [f"{name},{row}" for name, row in zip(NAMES, rows, strict=False)]
    path = folder / "labels.csv"
    path.write_text("\n".join([f"path,{header}", *lines]) + "\n", encoding="utf-8")
    return path


def matrix(*rows):
    return np.array([[float(value) for value in row.split(",")] for row in rows], dtype=np.float32)


class TestOneColumn:
    def test_a_class(self, photos):
        samples = open_dataset(table(photos, "label", "b", "a", "b"))
        assert (samples.task, samples.class_names, samples.targets.tolist()) == (
            "classification",
            ("a", "b"),
            [1, 0, 1],
        )

    def test_whole_numbers_are_classes_and_that_is_said(self, photos):
        path = table(photos, "label", "10", "9", "10")
        samples = open_dataset(path)
        assert (samples.class_names, samples.targets.tolist()) == (("9", "10"), [1, 0, 1])
        assert "whole numbers are taken for classes (as numbers: --task regression)" in samples.how
        numbers = open_dataset(path, task="regression")
        assert (numbers.task, numbers.class_names) == ("regression", ("label",))
        np.testing.assert_array_equal(numbers.targets, [[10], [9], [10]])
        assert numbers.targets.dtype == np.float32

    def test_so_are_whole_numbers_with_a_point(self, photos):
        assert "whole numbers are taken for classes" in open_dataset(table(photos, "age", "31.0", "32.0", "31.0")).how

    def test_floats_too_large_to_have_a_fraction_are_no_classes(self, photos):
        samples = open_dataset(table(photos, "label", "1.5e30", "-2.25e+29", "3e30"))
        assert samples.task == "regression"
        np.testing.assert_array_equal(samples.targets, np.array([[1.5e30], [-2.25e29], [3e30]], dtype=np.float32))
        written_out = open_dataset(table(photos, "label", "12345678901234567890", "7", "7"))
        assert written_out.class_names == ("7", "12345678901234567890")

    def test_digits_that_are_not_kept_are_a_doubt(self, photos):
        seconds = [f"{1_700_000_000.5 + 3 * n}" for n in range(6)]
        doubt = "'time' has more digits than the 7 that are kept, and differs by little: subtract its least value"
        assert open_dataset(table(photos, "time", *seconds)).doubts == (doubt,)
        two = table(photos, "time,age", *(f"{value},{n}.5" for n, value in enumerate(seconds)))
        assert open_dataset(two).doubts == (doubt,)
        assert open_dataset(two, targets="age").doubts == ()

    def test_an_empty_list_among_texts_says_that_they_are_labels(self, photos):
        samples = open_dataset(table(photos, "label", "ant|bee", "ant", "[]"))
        assert (samples.task, samples.class_names) == ("multilabel", ("ant", "bee"))
        np.testing.assert_array_equal(samples.targets, [[1, 1], [1, 0], [0, 0]])

    def test_numbers_with_fractions_are_numbers_and_that_is_said(self, photos):
        path = table(photos, "label", "1.5", "-2", "1e-3")
        samples = open_dataset(path)
        assert samples.task == "regression"
        np.testing.assert_allclose(samples.targets, [[1.5], [-2], [0.001]])
        assert "'label' is learned as a number (as classes: --task classification)" in samples.how
        assert open_dataset(path, task="classification").class_names == ("-2", "1e-3", "1.5")

    def test_a_column_of_numbers_needs_no_known_name(self, photos):
        samples = open_dataset(table(photos, "angle_deg", "9.7", "0.6", "-12"))
        assert (samples.task, samples.class_names) == ("regression", ("angle_deg",))

    @pytest.mark.parametrize("separator", ["|", ";", ","])
    def test_separated_labels(self, photos, separator):
        rows = [f'"{separator.join(parts)}"' for parts in (["cat", " dog"], ["dog"], ["cat"], ["cat", "owl"], ["owl"])]
        path = table(photos, "label", *rows)
        samples = open_dataset(path)
        assert (samples.task, samples.class_names) == ("multilabel", ("cat", "dog", "owl"))
        np.testing.assert_array_equal(samples.targets, [[1, 1, 0], [0, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]])
        assert f"labels separated by '{separator}' (each text one class: --task classification)" in samples.how
        assert len(open_dataset(path, task="classification").class_names) == 5

    def test_no_label_is_written_and_nothing_is_left_out(self, photos):
        samples = open_dataset(table(photos, "tags", "a|b", "", "b", "[]", "a"))
        assert samples.names == ("0.png", "2.png", "3.png", "4.png")
        np.testing.assert_array_equal(samples.targets, [[1, 1], [0, 1], [0, 0], [1, 0]])
        assert [(left.name, left.reason) for left in samples.left_out] == [
            ("1.png", "no labels (where a picture has none, write [])")
        ]

    def test_names_of_classes_with_commas_stay_whole(self, photos):
        names = ['"tench, Tinca tinca"', '"great white shark, white shark, man-eater"', "goldfish"]
        samples = open_dataset(table(photos, "label", *names, *names))
        assert samples.task == "classification"
        assert len(samples.class_names) == 3

    def test_a_part_that_stands_nowhere_else_makes_no_list_and_is_doubted(self, photos):
        path = table(photos, "label", "cat|dog", "dog", "cat|owl")
        samples = open_dataset(path)
        assert samples.class_names == ("cat|dog", "cat|owl", "dog")
        assert samples.doubts == (
            "labels such as 'cat|dog' are taken for one class each; if they name several: --task multilabel",
        )
        assert open_dataset(path, task="multilabel").class_names == ("cat", "dog", "owl")

    def test_written_lists(self, photos):
        samples = open_dataset(table(photos, "tags", "\"['b', 'a']\"", '"[""b""]"', "[]"))
        assert (samples.task, samples.class_names) == ("multilabel", ("a", "b"))
        np.testing.assert_array_equal(samples.targets, [[1, 1], [0, 1], [0, 0]])

    def test_labels_that_are_only_asked_for(self, photos):
        samples = open_dataset(table(photos, "label", "b", "a", "b"), task="multilabel")
        np.testing.assert_array_equal(samples.targets, [[0, 1], [1, 0], [0, 1]])
        one = open_dataset(table(photos, "car,x", "1,a", "0,b", "1,c"), targets="car", task="multilabel")
        assert one.class_names == ("car",)
        np.testing.assert_array_equal(one.targets, [[1], [0], [1]])

    def test_decimal_commas_are_no_labels(self, photos):
        said = refused(table(photos, "label", '"1,5"', '"2,5"', '"5,1"'))
        assert "line 2: '1,5' in 'label' looks like a number with a decimal comma; write it with a point" in said


class TestSeveralColumns:
    def test_zeros_and_ones_are_labels(self, photos):
        rows = ["1,0,1", "0,0,0", "0,1,1"]
        path = table(photos, "tree,car,dog", *rows)
        samples = open_dataset(path)
        assert (samples.task, samples.class_names) == ("multilabel", ("tree", "car", "dog"))
        np.testing.assert_array_equal(samples.targets, matrix(*rows))
        assert "columns of 0 and 1 are labels" in samples.how
        assert open_dataset(path, task="regression").task == "regression"

    def test_true_and_false_are_ones_and_zeros(self, photos):
        samples = open_dataset(table(photos, "tree,car", "True,False", "true,TRUE", "False,False"))
        np.testing.assert_array_equal(samples.targets, [[1, 0], [1, 1], [0, 0]])

    def test_one_1_a_row_is_a_class(self, photos):
        path = table(photos, "rust,healthy,scab", "1,0,0", "0,1,0", "0,1,0")
        samples = open_dataset(path)
        assert (samples.task, samples.class_names) == ("classification", ("healthy", "rust"))
        assert samples.targets.tolist() == [1, 0, 0]
        assert "with one 1 a row are classes (as labels: --task multilabel)" in samples.how
        assert open_dataset(path, task="multilabel").class_names == ("rust", "healthy", "scab")

    def test_numbers(self, photos):
        rows = ["1.5,2", "-3,0.25", "7,1"]
        samples = open_dataset(table(photos, "width,height", *rows))
        assert (samples.task, samples.class_names) == ("regression", ("width", "height"))
        np.testing.assert_array_equal(samples.targets, matrix(*rows))

    def test_shares_that_sum_to_1_are_soft_labels(self, photos):
        path = table(photos, "spiral,elliptic,bar", "0.333,0.333,0.333", "0.5,0.25,0.25", "1,0,0")
        samples = open_dataset(path)
        assert (samples.task, samples.class_names) == ("classification", ("bar", "elliptic", "spiral"))
        np.testing.assert_allclose(samples.targets, [[1 / 3] * 3, [0.25, 0.25, 0.5], [0, 0, 1]], rtol=1e-6)
        np.testing.assert_allclose(samples.targets.sum(axis=1), 1, rtol=1e-6)
        assert "soft labels (as numbers: --task regression)" in samples.how
        assert open_dataset(path, task="regression").targets[0, 0] == np.float32(0.333)

    @pytest.mark.parametrize(
        ("header", "odd", "rest", "task", "doubt"),
        [
            ("a,b", "0.1,1", "0,1 1,0 1,1 0,0", "regression", "hold 0 and 1 alone, as labels do"),
            (
                "a,b",
                "1,1",
                "0,1 1,0 1,0 1,0",
                "multilabel",
                "have exactly one 1, as classes do",
            ),
            ("a,b", "0.5,0.5", "0,1 1,0 1,0 1,0", "classification", "hold 0 and 1 alone, as labels do"),
            (
                "a,b",
                "0.5,0.4",
                "0.2,0.8 0.5,0.5 0.1,0.9 1,0",
                "regression",
                "are shares that sum to 1, as those of classes do",
            ),
            ("label", "1.5", "1 2 3 1", "regression", "hold a whole number, as classes do"),
        ],
    )
    def test_one_row_that_alone_decides_what_is_learned_is_doubted(self, photos, header, odd, rest, task, doubt):
        rows = rest.split()
        samples = open_dataset(table(photos, header, *rows[:2], odd, *rows[2:]))
        assert samples.task == task
        assert len(samples.doubts) == 1
        assert "line 4 " in samples.doubts[0]
        assert samples.doubts[0].startswith("all rows but ")
        assert doubt in samples.doubts[0]
        # Two such rows, or fewer rows, are no slip.
        assert open_dataset(table(photos, header, *rows[:2], odd, odd, *rows[2:])).doubts == ()
        assert open_dataset(table(photos, header, *rows[:2], odd)).doubts == ()

    def test_columns_that_count_rows_are_nothing_to_learn(self, photos):
        samples = open_dataset(table(photos, "id,Unnamed: 0,age", "1,0,33.5", "2,1,40", "3,2,7"))
        assert samples.class_names == ("age",)

    def test_which_columns_can_be_said(self, photos):
        path = table(photos, "label,tree,Road,note", "a,0.5,0.2,x", "b,0.1,0.7,y")
        samples = open_dataset(path, targets="road, tree")
        assert (samples.task, samples.class_names) == ("regression", ("Road", "tree"))
        np.testing.assert_array_equal(samples.targets, matrix("0.2,0.5", "0.7,0.1"))
        assert open_dataset(path, targets=["note"]).class_names == ("x", "y")

    def test_empty_ones_are_left_out_with_the_reason(self, photos):
        samples = open_dataset(table(photos, "width,height", "1.5,2", ",3", "2,nan", "7,1"))
        assert samples.names == ("0.png", "3.png")
        assert [(one.name, one.reason) for one in samples.left_out] == [
            ("1.png", "no number in 'width'"),
            ("2.png", "no number in 'height'"),
        ]
        one = open_dataset(table(photos, "label", "0.5", "", "1.5"))
        assert [(left.name, left.reason) for left in one.left_out] == [("1.png", "no number in 'label'")]


WRONG = [
    ("label", ["a", "b", ""], {}, "line 4: no label ('') for 2.png; fill it in, or take the line out"),
    ("label", ["a", "b"], {"task": "regression"}, "line 2: 'a' in 'label' is no number; correct it, leave it empty"),
    ("label", ["a"], {"task": "regresion"}, "no task 'regresion'; did you mean 'regression'?"),
    ("label", ["a"], {"targets": "lable"}, "no column 'lable'; did you mean 'label'?"),
    ("label", ["a"], {"targets": "path"}, "the column 'path' names the pictures, so it cannot be learned"),
    ("label", ["a"], {"targets": " , "}, "--targets names no column"),
    ("x,y", ["1.5,2", "2,abc"], {"targets": "x,y"}, "line 3: 'abc' in 'y' is no number"),
    ("x,y", ["1.5,2", "2,inf"], {}, "line 3: 'inf' in 'y' is too large a number"),
    ("x,y", ["1.5,2", "2,1e39"], {}, "line 3: '1e39' in 'y' is too large a number"),
    ("x,y", [",", ","], {"targets": "x,y"}, "no row has a number in 'x', 'y'"),
    ("x,y", ["1,0", "1,0.5"], {"task": "multilabel"}, "line 3: 0.5 in 'y'; a label is 1 (there) or 0 (not there)"),
    ("x,y", ["0.5,0.5", "0.5,0.6"], {"task": "classification"}, "line 3: 1.png has shares that sum to 1.1; soft"),
    ("x,y", ["0.5,0.5", "1.5,-0.5"], {"task": "classification"}, "line 3: 1.png has a negative share"),
    ("x,y,note", ["1,2,a", "3,4,b"], {}, "no column for the label (label, class, target, class_name)"),
    ("x,x", ["1,2"], {"targets": "x"}, "two columns are called 'x'"),
]


@pytest.mark.parametrize(("header", "rows", "options", "said"), WRONG, ids=[row[3][:45] for row in WRONG])
def test_wrong_targets(photos, header, rows, options, said):
    assert said in refused(table(photos, header, *rows), **options)


def test_soft_labels_of_which_one_does_not_sum_to_1(photos):
    """Nine of ten rows sum to 1: they all were meant to."""
    many = make(photos, *[f"more/{number}.png" for number in range(12)])
    lines = ["0.png,0.25,0.75", *[f"more/{number}.png,0.5,0.5" for number in range(12)], "5.png,0.5,0.1"]
    path = many / "labels.csv"
    path.write_text("\n".join(["path,a,b", *lines]))
    assert "line 15: 5.png has shares that sum to 0.6; soft labels ('a', 'b') sum to 1 (as numbers" in refused(path)
    assert open_dataset(path, task="regression").targets[-1].tolist() == [0.5, pytest.approx(0.1)]


def test_the_same_picture_twice_with_other_numbers(photos):
    path = photos / "labels.csv"
    path.write_text("path,x,y\n0.png,1.5,2\n0.png,1.5,2\n0.png,1.5,3\n")
    assert "lines 2 and 4 name 0.png twice, as '1.5, 2' and '1.5, 3'" in refused(path)


class TestBesideClassFolders:
    def test_numbers_do_not_count_unless_they_are_named(self, tmp_path):
        make(tmp_path, "ant/1.png", "bee/2.png")
        (tmp_path / "sizes.csv").write_text("path,width\nant/1.png,3.5\nbee/2.png,4.5\n")
        samples = open_dataset(tmp_path)
        assert samples.class_names == ("ant", "bee")
        assert "sizes.csv has columns of numbers, which are not used (to learn them: --labels sizes.csv)" in samples.how
        for options in ({"labels": "sizes.csv"}, {"targets": "width"}, {"task": "regression", "labels": "sizes.csv"}):
            assert open_dataset(tmp_path, **options).class_names == ("width",)

    def test_labels_that_are_no_classes_are_no_agreement(self, tmp_path):
        make(tmp_path, "ant/1.png", "bee/2.png")
        (tmp_path / "labels.csv").write_text("path,label\nant/1.png,3.5\nbee/2.png,4.5\n")
        assert "ant/1.png is 'label 3.5' in the table and 'ant' by its folder" in refused(tmp_path)


class TestSourcesWithOneClass:
    def test_classes_that_are_numbers_can_be_learned_as_such(self, tmp_path):
        make(tmp_path, "3/a.png", "10/b.png", "0.5/c.png")
        samples = open_dataset(tmp_path, task="regression")
        assert dict(zip(samples.names, samples.targets[:, 0].tolist(), strict=True)) == {
            "0.5/c.png": 0.5,
            "3/a.png": 3.0,
            "10/b.png": 10.0,
        }
        assert samples.how.endswith("the classes are numbers, learned as such")
        # as a run that has learned them asks for them
        assert open_dataset(tmp_path, task="regression", targets="number").class_names == ("number",)

    def test_what_cannot_be_is_refused(self, tmp_path):
        make(tmp_path, "ant/a.png", "bee/b.png")
        assert "the class 'ant' is no number" in refused(tmp_path, task="regression")
        assert "class folders give each picture one class; for several a table is needed" in refused(
            tmp_path, task="multilabel"
        )
        assert "class folders have no columns, so there is no 'tree' to learn" in refused(tmp_path, targets="tree")
        (tmp_path / "labels.csv").write_text("path,trees\nant/a.png,1.5\nbee/b.png,2\n")
        assert "labels.csv: no column 'tree'; did you mean 'trees'?" in refused(tmp_path, targets="tree")


class TestSplitTables:
    """Tables that are called by splits, or lie in split folders as Hugging Face's image folders have them."""

    def test_metadata_in_each_split(self, tmp_path):
        make(tmp_path, "train/1.png", "train/2.png", "test/1.png")
        (tmp_path / "train/metadata.csv").write_text("file_name,label\n1.png,a\n2.png,b\n")
        (tmp_path / "test/metadata.csv").write_text("file_name,label\n1.png,b\n")
        samples = open_dataset(tmp_path)
        assert samples.names == ("test/1.png", "train/1.png", "train/2.png")
        assert samples.splits.tolist() == ["test", "train", "train"]
        assert [samples.label(row) for row in range(3)] == ["b", "a", "b"]
        assert samples.pictures.load(samples.index[0]) == b"test/1.png"
        assert "each table is a split" in samples.how

    def test_numbers_in_each_split(self, tmp_path):
        make(tmp_path, "train/1.png", "train/2.png", "test/1.png")
        (tmp_path / "train/metadata.csv").write_text("file_name,age\n1.png,30.5\n2.png,7\n")
        (tmp_path / "test/metadata.csv").write_text("file_name,age\n1.png,12\n")
        samples = open_dataset(tmp_path)
        assert (samples.task, samples.targets[:, 0].tolist()) == ("regression", [12, 30.5, 7])

    def test_metadata_at_the_top(self, tmp_path):
        make(tmp_path, "train/1.png", "train/2.png", "test/1.png")
        (tmp_path / "metadata.csv").write_text("file_name,label\ntrain/1.png,a\ntrain/2.png,b\ntest/1.png,b\n")
        assert open_dataset(tmp_path).splits.tolist() == ["train", "train", "test"]

    def test_tables_called_by_splits(self, tmp_path):
        make(tmp_path, "1.png", "2.png", "3.png")
        (tmp_path / "train.csv").write_text("path,label\n1.png,a\n2.png,b\n")
        (tmp_path / "test.csv").write_text("path,label\n3.png,a\n")
        samples = open_dataset(tmp_path)
        assert dict(zip(samples.names, samples.splits.tolist(), strict=True)) == {
            "1.png": "train",
            "2.png": "train",
            "3.png": "test",
        }
        (tmp_path / "test.csv").write_text("path,label\n2.png,b\n")
        assert "test.csv line 2 and train.csv line 3 put 2.png into two splits" in refused(tmp_path)
        (tmp_path / "test.csv").write_text("path,class\n3.png,a\n")
        assert "has other columns" in refused(tmp_path)
        (tmp_path / "test.csv").write_text("path,label\n3.png,\n")
        assert "test.csv line 2: no label ('') for 3.png" in refused(tmp_path)


@pytest.mark.shared_data
class TestSharedTables:
    def test_camvid(self, shared_data):
        numbers = open_dataset(
            shared_data / "tables/camvid-fractions.csv", root=shared_data, targets="building,tree,road,car"
        )
        assert (numbers.task, numbers.class_names) == ("regression", ("building", "tree", "road", "car"))
        assert numbers.targets[0].tolist() == pytest.approx([0.3739, 0.0133, 0.0938, 0.2365])
        every = open_dataset(shared_data / "tables/camvid-fractions.csv", root=shared_data)
        assert (every.task, len(every.class_names)) == ("regression", 11)
        labels = open_dataset(shared_data / "tables/camvid-multilabel.csv", root=shared_data)
        assert (labels.task, len(labels.class_names)) == ("multilabel", 7)
        assert labels.label(0) == "pole, tree, sign, car"
        for samples in (numbers, every, labels):
            assert samples.pictures_by_split() == {"train": 100, "test": 50}
            assert samples.names[0] == "camvid-150/train/images/0001TP_006690.jpg"

    def test_rotations_of_pictures_in_an_idx_file_name_no_picture(self, shared_data):
        said = refused(shared_data / "tables/mnist-rotation.csv", root=shared_data)
        assert "no column for the path" in said
        assert "'idx_file', 'index', 'angle_deg'" in said
