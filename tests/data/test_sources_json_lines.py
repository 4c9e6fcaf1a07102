"""Tables as JSON lines: written here by `json`, lists as labels, and every kind of wrong line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_sources import make, refused, rows

from striate.data.sources import open_dataset


@pytest.fixture
def photos(tmp_path):
    return make(tmp_path, *(f"{number}.png" for number in range(1, 5)))


def write(folder, *objects, name="labels.jsonl"):
    path = folder / name
    path.write_bytes("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects).encode())
    return path


@pytest.mark.parametrize("name", ["labels.jsonl", "data.NDJSON"])
def test_classes(photos, name):
    path = write(
        photos,
        {"path": "1.png", "label": "café", "split": "train", "note": {"a": 1}},
        {"label": "x", "split": "train", "path": "2.png"},
        {"split": "test", "path": "3.png", "label": "x"},
        name=name,
    )
    for source in (photos, path):
        samples = open_dataset(source)
        assert rows(samples) == {"1.png": ("café", "train"), "2.png": ("x", "train"), "3.png": ("x", "test")}
        assert samples.how.startswith(f"table {name}: 2 classes, 3 pictures (columns 'path', 'label' and 'split')")
        assert samples.pictures.load(samples.index[1]) == b"2.png"


def test_lists_are_labels(photos):
    lists = [["cat", "dog"], [], ["owl"], None]
    write(photos, *({"file_name": f"{row + 1}.png", "labels": one} for row, one in enumerate(lists)))
    samples = open_dataset(photos)
    assert (samples.task, samples.class_names) == ("multilabel", ("cat", "dog", "owl"))
    np.testing.assert_array_equal(samples.targets, [[1, 1, 0], [0, 0, 0], [0, 0, 1]])
    assert [(left.name, left.reason) for left in samples.left_out] == [
        ("4.png", "no labels (where a picture has none, write [])")
    ]


def test_numbers_and_whole_numbers(photos):
    write(photos, {"path": "1.png", "label": 2}, {"path": "2.png", "label": 10}, {"path": "3.png", "label": 2.0})
    samples = open_dataset(photos)
    assert (samples.class_names, samples.targets.tolist()) == (("2", "10"), [0, 1, 0])
    write(photos, {"path": "1.png", "x": 2, "y": 0.5}, {"path": "2.png", "y": 3}, {"path": "3.png", "x": 1, "y": None})
    assert "line" not in open_dataset(photos).how
    write(photos, {"path": "1.png", "x": 2, "y": 0.5}, {"path": "2.png", "x": True, "y": 3})
    numbers = open_dataset(photos)
    assert numbers.task == "regression"
    np.testing.assert_array_equal(numbers.targets, [[2, 0.5], [1, 3]])


def test_lists_of_numbers_are_numbers_or_soft_labels(photos):
    write(photos, {"path": "1.png", "label": [0.25, 0.75]}, {"path": "2.png", "label": [1.0, 0.0]})
    samples = open_dataset(photos)
    assert (samples.task, samples.class_names) == ("classification", ("label 0", "label 1"))
    np.testing.assert_array_equal(samples.targets, [[0.25, 0.75], [1, 0]])
    write(photos, {"path": "1.png", "label": [0.25, 7.75]}, {"path": "2.png", "label": [1.0, 0.0]})
    assert open_dataset(photos).task == "regression"


def test_metadata_of_image_folders_in_each_split(tmp_path):
    make(tmp_path, "train/1.png", "train/2.png", "validation/1.png")
    write(
        tmp_path / "train",
        {"file_name": "1.png", "label": 0},
        {"file_name": "2.png", "label": 1},
        name="metadata.jsonl",
    )
    write(tmp_path / "validation", {"file_name": "1.png", "label": 1}, name="metadata.jsonl")
    samples = open_dataset(tmp_path)
    assert rows(samples) == {
        "train/1.png": ("0", "train"),
        "train/2.png": ("1", "train"),
        "validation/1.png": ("1", "validation"),
    }


WRONG = [
    (b"", "empty, where a line such as"),
    (b"\n\n", "empty, where a line such as"),
    (b'{"path": "1.png", "label": "a"}\n{"path": "2.png"', "line 2: no JSON"),
    (b'{"path": "1.png", "label": "a"}\n[1, 2]\n', "line 2: no object {...} but a list"),
    (b'{"path": "1.png", "label": "caf\xe9"}\n', "line 1: not UTF-8 text"),
    (b'{"path": ' + b"[" * 100_000, "line 1: no JSON of a table (nested too deeply)"),
    (b'{"path": 3, "label": "a"}\n', "line 1: the path is a int"),
    (b'{"path": "1.png", "label": "a"}\n\n{"label": "a"}\n', "line 3: the path is empty"),
    (b'{"path": "1.png", "label": "a"}\n{"path": "2.png"}\n', "line 2: no label ('') for 2.png"),
    (b'{"path": "1.png", "label": {"a": 1}}\n', "line 1: a dict in 'label', where the name or the number of a class"),
    (b'{"path": "1.png", "label": ["a"]}\n{"path": "2.png", "label": "a"}\n', "line 2: 'a' in 'label' is no list"),
    (b'{"path": "1.png", "label": ["a", ""]}\n', "line 1: an empty label in the list"),
    (b'{"path": "1.png", "label": ["a", ["b"]]}\n', "line 1: a list in 'label'"),
    (b'{"path": "1.png", "label": 1' + b"0" * 30 + b"}\n", "the number of a class in 'label' is too large"),
    (b'{"path": "1.png", "label": 1' + b"0" * 5000 + b"}\n", "line 1: no JSON"),
    (b'{"path": "../1.png", "label": "a"}\n', "line 1: ../1.png leaves the folder"),
    (b'{"path": "\\ud800.png", "label": "a"}\n', "none of the 1 picture it names is there"),
    (b'{"id": 3, "label": "a"}\n', "no column for the path (path, file, filename, image)"),
    (b'{"path": "1.png", "split": "train"}\n', "no column for the label"),
]


def test_lists_of_equally_many_numbers_are_a_number_each(photos):
    path = photos / "labels.jsonl"
    path.write_text(
        '{"path": "1.png", "place": [0.5, 2], "corner": [3, 4]}\n'
        '{"path": "2.png", "place": [1, 1.5], "corner": [5, 6]}\n'
    )
    for task in (None, "regression"):
        found = open_dataset(path, targets="place", task=task)
        assert (found.task, found.class_names) == ("regression", ("place 0", "place 1"))
        assert found.targets.tolist() == [[0.5, 2], [1, 1.5]]
    whole = open_dataset(path, targets="corner", task="regression")
    assert (whole.class_names, whole.targets.tolist()) == (("corner 0", "corner 1"), [[3, 4], [5, 6]])


@pytest.mark.parametrize(("data", "said"), WRONG, ids=[said[:40] for _, said in WRONG])
def test_wrong_lines(photos, data, said):
    path = photos / "labels.jsonl"
    path.write_bytes(data)
    message = refused(path)
    assert said in message
    assert message.startswith(str(path))
    message.encode("utf-8")
