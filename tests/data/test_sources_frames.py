"""Pandas frames: paths, arrays and encoded pictures, and what is learned of them."""

from __future__ import annotations

import numpy as np
import pytest
from test_sources import make, refused

from striate.data.sources import open_dataset
from striate.errors import InputError

pandas = pytest.importorskip("pandas")

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)


def loaded(samples):
    return [samples.pictures.load(int(index)) for index in samples.index]


@pytest.mark.parametrize("of", [str, lambda path: path])
def test_paths(tmp_path, monkeypatch, of):
    make(tmp_path, "1.png", "deep/2.png", "3.png")
    frame = pandas.DataFrame(
        {
            "path": [of(tmp_path / name) for name in ("1.png", "deep/2.png", "3.png", "gone.png")],
            "label": ["b", "a", "b", "a"],
            "split": ["train", "train", "test", "test"],
            "group": ["g", None, "g", "h"],
        },
        index=[7, 7, 8, 9],
    )
    samples = open_dataset(frame)
    assert [samples.label(row) for row in range(3)] == ["b", "a", "b"]
    assert samples.splits.tolist() == ["train", "train", "test"]
    assert samples.groups.tolist() == ["g", "(row 1)", "g"]
    assert loaded(samples) == [b"1.png", b"deep/2.png", b"3.png"]
    assert [(left.name, left.reason) for left in samples.left_out] == [(str(tmp_path / "gone.png"), "no such file")]
    assert samples.source == "arrays"
    assert samples.how == "pandas frame: 2 classes, 4 pictures (columns 'path', 'label')"
    monkeypatch.chdir(tmp_path)
    relative = frame.assign(path=["1.png", "deep/2.png", "3.png", "1.png"])
    assert loaded(open_dataset(relative))[1] == b"deep/2.png"
    assert loaded(open_dataset(relative.assign(path="2.png"), root=tmp_path / "deep"))[0] == b"deep/2.png"


@pytest.mark.parametrize("name", ["pixels", "image"])
def test_arrays(name):
    frame = pandas.DataFrame({name: list(PICTURES), "age": [1.5, 2.0, np.nan, 4.0], "sex": list("mfmf")})
    samples = open_dataset(frame, targets="age")
    assert (samples.task, samples.class_names) == ("regression", ("age",))
    np.testing.assert_array_equal(np.stack(loaded(samples)), PICTURES[[0, 1, 3]])
    assert samples.targets[:, 0].tolist() == [1.5, 2, 4]
    assert [(left.name, left.reason) for left in samples.left_out] == [("row#2", "no number in 'age'")]
    assert open_dataset(frame, targets=["sex"]).class_names == ("f", "m")


@pytest.mark.parametrize("of", [lambda data: data, lambda data: {"bytes": data, "path": None}])
def test_encoded_pictures(of):
    frame = pandas.DataFrame({"image": [of(b"one"), of(b"two")], "tree": [1, 0], "car": [1, 1]})
    samples = open_dataset(frame)
    assert (samples.task, samples.class_names) == ("multilabel", ("tree", "car"))
    assert loaded(samples) == [b"one", b"two"]
    empty = open_dataset(pandas.DataFrame({"image": [{"bytes": None}, {"bytes": b"x"}], "label": ["a", "b"]}))
    with pytest.raises(InputError, match="there are no bytes of a picture in its row"):
        empty.pictures.load(0)


def test_whole_numbers_missing_ones_and_categories():
    frame = pandas.DataFrame({"pixels": list(PICTURES), "label": pandas.Categorical(["b", "a", "b", "c"])})
    assert open_dataset(frame).class_names == ("a", "b", "c")
    frame["label"] = [3, 10, 3, 4]
    assert open_dataset(frame).class_names == ("3", "4", "10")
    frame["label"] = pandas.array([3, None, 3, 4], dtype="Int64")
    assert "row 1: no label ('') for row#1" in refused(frame)


WRONG = [
    ({"path": [], "label": []}, "the frame has no rows"),
    ({"name": ["a"], "label": ["b"]}, "no column of paths (path, file, filename, image) or of pictures (image, img"),
    ({"path": ["a.png"], "species": ["b"]}, "no column for the label (label, class, target, class_name)"),
    ({"path": ["a.png"], "label": ["b"]}, "none of the 1 picture it names is there"),
    (
        {"path": ["http://example.org/a.png"], "label": ["b"]},
        "row 0: 'http://example.org/a.png' is the name of no file",
    ),
    ({"path": [""], "label": ["b"]}, "row 0: '' is the name of no file"),
    ({"pixels": [PICTURES[0], PICTURES[1, :2]], "label": ["a", "b"]}, "'pixels' is no column of paths, of encoded"),
    ({"pixels": [None, PICTURES[1]], "label": ["a", "b"]}, "'pixels' is no column of paths, of encoded"),
    ({"pixels": [3.5, 4.5], "label": ["a", "b"]}, "the frame: 'pixels': shape (N, H, W)"),
    ({"pixels": [PICTURES[0]], "label": ["a"], "split": ["fold 3"]}, "row 0: the split is 'fold 3'"),
]


@pytest.mark.parametrize(("columns", "said"), WRONG, ids=[said[:40] for _, said in WRONG])
def test_wrong_frames(columns, said):
    assert said in refused(pandas.DataFrame(columns))
