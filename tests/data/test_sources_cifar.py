"""CIFAR's four versions, written here byte by byte and by `pickle`; and pickles that would run something."""

from __future__ import annotations

import pickle
import pickletools

import numpy as np
import pytest
from test_sources import refused

from striate.data.sources import open_dataset
from striate.data.sources.pickled import read_pickled
from striate.errors import InputError

NAMES = ["airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def pictures(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def planes(pixels):
    """(N, 32, 32, 3) -> the bytes of red, of green, of blue of each picture."""
    return pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)


def binary(pixels, *labels):
    """Records of CIFAR's binary version: the labels of a picture, then its planes."""
    return b"".join(bytes(of_one) + plane.tobytes() for *of_one, plane in zip(*labels, planes(pixels), strict=True))


def python_2(values):
    """A pickle as Python 2 wrote it: protocol 2, texts as bytes, NumPy by its old name."""
    data = pickle.dumps(values, protocol=2)
    return data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def write_cifar10(folder, *, pickled, test=True):
    """Two training files and a test file of 3 pictures each."""
    folder.mkdir(exist_ok=True, parents=True)
    found = []
    for seed, name in enumerate(["data_batch_1", "data_batch_2", *(["test_batch"] if test else [])]):
        pixels, labels = pictures(3, seed), [[3, 9, 0], [1, 3, 8], [9, 1, 3]][seed]
        if pickled:
            values = {
                b"batch_label": b"batch",
                b"labels": labels,
                b"data": planes(pixels),
                b"filenames": [b"a.png"] * 3,
            }
            (folder / name).write_bytes(python_2(values))
        else:
            (folder / f"{name}.bin").write_bytes(binary(pixels, labels))
        found.append((pixels, labels))
    if pickled:
        meta = {b"num_cases_per_batch": 3, b"label_names": [name.encode() for name in NAMES], b"num_vis": 3072}
        (folder / "batches.meta").write_bytes(python_2(meta))
    else:
        (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    (folder / "readme.html").write_text("<html></html>")
    return np.concatenate([pixels for pixels, _ in found]), [NAMES[label] for _, labels in found for label in labels]


def write_cifar100(folder, *, pickled):
    folder.mkdir(exist_ok=True)
    found = {}
    for seed, (name, count) in enumerate([("test", 2), ("train", 4)]):
        pixels = pictures(count, seed)
        fine, coarse = [7, 99, 7, 99][:count], [3, 19, 3, 19][:count]
        if pickled:
            values = {b"fine_labels": fine, b"coarse_labels": coarse, b"data": planes(pixels)}
            (folder / name).write_bytes(python_2(values))
        else:
            (folder / f"{name}.bin").write_bytes(binary(pixels, coarse, fine))
        found[name] = pixels
    names = {"fine": [f"f{number}" for number in range(100)], "coarse": [f"c{number}" for number in range(20)]}
    if pickled:
        meta = {f"{kind}_label_names".encode(): [name.encode() for name in names[kind]] for kind in names}
        (folder / "meta").write_bytes(python_2(meta))
    else:
        for kind, of_kind in names.items():
            (folder / f"{kind}_label_names.txt").write_text("\n".join(of_kind) + "\n")
    return np.concatenate([found["test"], found["train"]])


def loaded(samples):
    return np.stack([samples.pictures.load(int(index)) for index in samples.index])


@pytest.mark.parametrize("pickled", [False, True])
def test_cifar_10(tmp_path, pickled):
    pixels, labels = write_cifar10(tmp_path / "cifar-10", pickled=pickled)
    samples = open_dataset(tmp_path)
    np.testing.assert_array_equal(loaded(samples), pixels)
    assert [samples.label(row) for row in range(9)] == labels
    assert samples.class_names == tuple(sorted(set(labels)))
    assert samples.splits.tolist() == ["train"] * 6 + ["test"] * 3
    version = "Python" if pickled else "binary"
    assert samples.how.startswith(f"CIFAR-10, {version} version: 3 files, 5 classes, 9 pictures")
    assert samples.names[3] == ("data_batch_2#0" if pickled else "data_batch_2.bin#0")


@pytest.mark.parametrize("pickled", [False, True])
def test_cifar_100(tmp_path, pickled):
    pixels = write_cifar100(tmp_path / "cifar", pickled=pickled)
    samples = open_dataset(tmp_path / "cifar")
    np.testing.assert_array_equal(loaded(samples), pixels)
    assert [samples.label(row) for row in range(6)] == ["f7", "f99", "f7", "f99", "f7", "f99"]
    assert samples.splits.tolist() == ["test"] * 2 + ["train"] * 4
    assert "the fine labels (the others: --targets coarse)" in samples.how
    coarse = open_dataset(tmp_path / "cifar", targets="coarse")
    assert [coarse.label(row) for row in range(6)] == ["c3", "c19", "c3", "c19", "c3", "c19"]
    assert "has the labels coarse and fine, got --targets finer" in refused(tmp_path / "cifar", targets="finer")


def test_one_file_is_its_set(tmp_path):
    write_cifar10(tmp_path, pickled=False)
    samples = open_dataset(tmp_path / "test_batch.bin")
    assert len(samples) == 3
    assert set(samples.splits.tolist()) == {""}
    assert "CIFAR-10, binary version has the labels fine, got --targets coarse" in refused(tmp_path, targets="coarse")
    assert "CIFAR's files give each picture one class" in refused(tmp_path, task="multilabel")
    assert "the class 'airplane' is no number" in refused(tmp_path, task="regression")


def test_without_names_classes_are_numbers(tmp_path):
    write_cifar10(tmp_path, pickled=True)
    (tmp_path / "batches.meta").unlink()
    assert open_dataset(tmp_path).class_names == ("0", "1", "3", "8", "9")


def test_binary_files_that_lie(tmp_path):
    write_cifar10(tmp_path, pickled=False)
    path = tmp_path / "data_batch_1.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert "data_batch_1.bin: 9,218 bytes are no whole number of pictures of 3,073 bytes" in refused(tmp_path)
    path.write_bytes(b"")
    assert "0 bytes are no whole number" in refused(tmp_path)
    path.write_bytes(b"\x0a" + whole[1:])
    assert "picture 0 has the label 10, but CIFAR-10, binary version has 10 classes (0 to 9)" in refused(tmp_path)


WRONG = [
    ({"labels": [0, 1, 2]}, "no array 'data' of 3,072 bytes a picture in it; it holds labels"),
    ({"data": np.zeros((3, 3072), np.int32), "labels": [0, 1, 2]}, "no array 'data'"),
    ({"data": np.zeros((3, 100), np.uint8), "labels": [0, 1, 2]}, "no array 'data'"),
    ({"data": np.zeros((0, 3072), np.uint8), "labels": []}, "no picture in it"),
    ({"data": np.zeros((3, 3072), np.uint8), "labels": [0, 1]}, "'labels' is no list of 3 whole numbers"),
    ({"data": np.zeros((3, 3072), np.uint8), "labels": [0, 1, "x"]}, "'labels' is no list of 3 whole numbers"),
    ({"data": np.zeros((3, 3072), np.uint8), "labels": [0, 1, 10**30]}, "'labels' is no list of 3 whole numbers"),
    ({"data": np.zeros((3, 3072), np.uint8), "labels": [0, 1, 10]}, "picture 2 has the label 10"),
    ([1, 2], "a pickle of a list, where a dictionary of arrays is needed"),
]


@pytest.mark.parametrize(("values", "said"), WRONG, ids=[said[:40] for _, said in WRONG])
@pytest.mark.parametrize("protocol", [2, 5])
def test_pickles_of_something_else(tmp_path, values, said, protocol):
    write_cifar10(tmp_path, pickled=True)
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(values, protocol))
    message = refused(tmp_path)
    assert said in message
    assert message.startswith(str(tmp_path / "data_batch_1"))


VALUES = {
    "numbers": [0, 1, -1, 255, 256, -70_000, 2**31, 2**80, 0.5, True, False, None],
    "texts": ["", "caf\u00e9", b"\x00\xff", "\U0001f600" * 100, b"x" * 300],
    "arrays": {"a": np.arange(6, dtype=">i2").reshape(2, 3), 7: [np.float64(0.5).reshape(1), ()]},
    "by column": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "nested": [[], {}, (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [[["deep"]]]],
}


class TestPickles:
    """`read_pickled` gives what `pickle` gives for data, and runs nothing for anything else."""

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_data_is_read_as_pickle_reads_it(self, protocol):
        data = pickle.dumps(VALUES, protocol)
        found = read_pickled(data)
        assert found["numbers"] == VALUES["numbers"]
        assert found["texts"] == VALUES["texts"]
        assert found["nested"] == VALUES["nested"]
        np.testing.assert_array_equal(found["arrays"]["a"], VALUES["arrays"]["a"])
        np.testing.assert_array_equal(found["by column"], VALUES["by column"])

    def test_what_would_run_is_named_and_not_run(self, tmp_path):
        ran = tmp_path / "ran"

        class Hostile:
            def __reduce__(self):
                return (open, (str(ran), "w"))

        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(InputError, match=r"a pickle that asks for (io|__builtin__|_io)\.open; only arrays"):
                read_pickled(pickle.dumps({"data": Hostile()}, protocol))
        for code in (
            b"cos\nsystem\n(S'touch ran'\ntR.",
            b"(S'touch ran'\nios\nsystem\n.",
            b"\x80\x02cbuiltins\neval\n.",
        ):
            with pytest.raises(InputError, match=r"os\.system|builtins\.eval|INST"):
                read_pickled(code)
        assert not ran.exists()

    def test_known_names_with_other_arguments(self):
        array = b"cnumpy.core.multiarray\n_reconstruct\n"
        for code, said in [
            (array + b"(cnumpy\ndtype\nK\x00\x85C\x01btR.", "an array of another kind"),
            (array + b"(S'x'\ntR.", "missing 2 required"),
            (b"cnumpy\ndtype\n(S'O8'\ntR.", "a pickle of an array of 'O8'"),
            (b"cnumpy\ndtype\n(S'u1,u1'\ntR.", "a pickle of an array of 'u1,u1'"),
            (b"c_codecs\nencode\n(X\x01\x00\x00\x00aS'rot13'\ntR.", "bytes in another encoding"),
            (b"}(K\x01b.", "content for what takes none"),
            (b"cnumpy\nndarray\n}b.", "content for what takes none"),
        ]:
            with pytest.raises(InputError, match=said):
                read_pickled(code)

    @pytest.mark.parametrize("opcode", [one for one in pickletools.opcodes if one.name in ("EXT1", "PERSID", "NEWOBJ")])
    def test_other_opcodes_are_refused(self, opcode):
        with pytest.raises(InputError, match=opcode.name):
            read_pickled(b"}" + opcode.code.encode("latin-1") + b"\x01\n.")

    def test_sizes_that_cannot_be(self):
        data = pickle.dumps({"a": np.zeros(100, np.uint8)}, 2)
        for changed in (data.replace(b"Kd\x85", b"Ke\x85"), data.replace(b"Kd\x85", b"J\xff\xff\xff\x7f\x85")):
            assert changed != data
            with pytest.raises(InputError, match="a pickled array of"):
                read_pickled(changed)
        for hostile in (
            b"S'a\\cb'\n.",
            b"r\xff\xff\xff\xff.",
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
            b"\x8b\xff\xff\xff\x7f.",
            b"",
        ):
            with pytest.raises(InputError, match="damaged or cut short"):
                read_pickled(hostile)
        assert read_pickled(b"}r\xff\xff\xff\xff.") == {}  # a place in the memo is no memory
