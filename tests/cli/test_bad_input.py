"""Mistakes of the user's: exit status 2 and one sentence that says what, where and what to do; nothing lost.

One table, each row through the command line. What a row makes lies in an empty working folder, whose every name,
byte and time is the same afterwards.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from command import QUICK, here, snapshot, write_pictures

Make = Callable[[Path], object]


@dataclass(frozen=True)
class Row:
    """What is there (`make` in the working folder), what is asked, and what the sentence says (patterns)."""

    name: str
    make: Make
    arguments: str
    says: tuple[str, ...]


def pictures(place: Path) -> Path:
    return write_pictures(place / "pictures")


def nothing(place: Path) -> None:
    """The working folder stays empty."""


def also(*steps: Make) -> Make:
    def make(place: Path) -> None:
        for step in steps:
            step(place)

    return make


def file(name: str, content: str | bytes) -> Make:
    def make(place: Path) -> None:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def folder(name: str) -> Make:
    return lambda place: (place / name).mkdir(parents=True)


def one_class(place: Path) -> None:
    write_pictures(place / "pictures", classes=("a",))


def one_picture(place: Path) -> None:
    write_pictures(place / "pictures")
    write_pictures(place / "pictures", classes=("lonely",), count=1)


def unreadable(place: Path) -> None:
    for name in ("a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png", "b/3.png"):
        file(f"pictures/{name}", b"no picture")(place)


def some_broken(place: Path) -> None:
    write_pictures(place / "pictures")
    file("pictures/a/zero.png", b"")(place)


def table(text: str) -> Make:
    def make(place: Path) -> None:
        write_pictures(place / "all", classes=("x",), count=6)
        for number, path in enumerate(sorted((place / "all/x").iterdir())):
            path.rename(place / f"all/{number}.png")
        (place / "all/x").rmdir()
        (place / "all/labels.csv").write_text(text, encoding="utf-8")

    return make


NUMBERS = "a,b,class\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n"


def zipped(name: str, flags: int = 0) -> Make:
    """A zip of class folders, and of one more file."""

    def make(place: Path) -> None:
        with zipfile.ZipFile(place / "all.zip", "w") as archive:
            for one in ("a/0.png", "b/0.png", name):
                archive.writestr(zipfile.ZipInfo(one), b"x")
        data = (place / "all.zip").read_bytes()
        entry = data.rindex(b"PK\1\2")
        changed = data[: entry + 8] + bytes([data[entry + 8] | flags]) + data[entry + 9 :]
        (place / "all.zip").write_bytes(changed)

    return make


def arrays(change: Callable[[bytes], bytes] = bytes, **of: object) -> Make:
    """An archive of NumPy's, after `change` of its bytes."""

    def make(place: Path) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, **{"images": np.zeros((6, 8, 8), np.uint8), "labels": np.arange(6) % 2, **of})
        (place / "set.npz").write_bytes(change(buffer.getvalue()))

    return make


class Hostile:
    """What would make a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("ran",))


def pickled(place: Path) -> None:
    values = {b"data": Hostile(), b"labels": [0, 1]}
    file("cifar/data_batch_1", pickle.dumps(values, 2))(place)


def parquet(columns: dict[str, object], share: float = 1.0) -> Make:
    def make(place: Path) -> None:
        pyarrow, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        buffer = io.BytesIO()
        pq.write_table(pyarrow.table(columns), buffer)
        (place / "set.parquet").write_bytes(buffer.getvalue()[: int(share * buffer.tell())])

    return make


LABELS = "".join(f"{number}.png,{'ab'[number % 2]}\n" for number in range(6))
SHARES = "".join(f"{number}.png,0.{number},0.{10 - number}\n" for number in range(1, 6))
AGES = "".join(f"{number}.png,{number}.5\n" for number in range(6))
TRAIN = "train pictures --out run " + " ".join(QUICK)
EXISTING = also(pictures, folder("runs"))

SOURCES = [
    Row("missing path", pictures, "train pitcures", ("no such file or folder", "did you mean 'pictures'")),
    Row("missing path, nothing near", nothing, "train photos", ("photos: no such file or folder",)),
    Row("address", nothing, "train https://example.org/photos", ("download it first",)),
    Row("empty folder", folder("pictures"), TRAIN, ("no labelled pictures found", "it is empty")),
    Row("a picture as source", pictures, "train pictures/a/0.png", ("no source of pictures", "name a folder")),
    Row("a name that cannot be", nothing, "train " + "x" * 300, ("cannot be opened",)),
    Row("no source", nothing, "train", ("required: SOURCE", "striate train --help")),
    Row("two sources", pictures, "train pictures more", ("'more' is one argument too many",)),
    Row("one class", one_class, TRAIN, ("one class only", "'a'")),
    Row("a class with one picture", one_picture, TRAIN, ("class 'lonely' has .*one picture",)),
    Row("only unreadable pictures", unreadable, TRAIN, ("none of its pictures can be read|no .* can be read",)),
    Row("broken files, strict", some_broken, TRAIN + " --strict", ("a/zero.png", "--strict", "1 of 13")),
    Row("flat folder without labels", table("nothing\n"), TRAIN.replace("pictures", "all"), ("labels.csv",)),
    Row("table without a label column", table("path\n" + LABELS), "train all", ("label",)),
    Row("table without a path column", table("name of it,label\n" + LABELS), "train all", ("path",)),
    Row("table with an empty label", table("path,label\n" + LABELS + "5.png,\n"), "train all", ("line 8", "label")),
    Row("table with a NaN label", table("path,label\n0.png,a\n1.png,NaN\n2.png,b\n"), "train all", ("line 3", "label")),
    Row("table that leaves", table("path,label\n../secret.png,a\n" + LABELS), "train all", ("leaves|outside",)),
    Row("table, absolute path", table("path,label\n/etc/passwd,a\n" + LABELS), "train all", ("leaves|outside",)),
    Row(
        "table with a missing file, strict",
        table("path,label\n" + LABELS + "gone.png,a\n"),
        "train all --out run --strict " + " ".join(QUICK),
        ("gone.png", "--strict"),
    ),
    Row(
        "soft labels that do not sum to 1",
        table("path,a,b\n" + SHARES + "0.png,0.5,0.9\n"),
        "train all --task classification",
        ("labels.csv: line 7: 0.png has shares that sum to 1.4", "soft labels .* sum to 1"),
    ),
    Row(
        "text among numbers",
        table("path,age\n0.png,3.5\n1.png,4\n2.png,old\n"),
        "train all --targets age --task regression",
        ("line 4: 'old' in 'age' is no number", "leave it empty"),
    ),
    Row(
        "a label that is neither 0 nor 1",
        table("path,car,tree\n0.png,0,1\n1.png,0,2\n"),
        "train all --task multilabel",
        ("line 3: 2 in 'tree'; a label is 1 .there. or 0",),
    ),
    Row(
        "numbers that are classes",
        table("path,label\n" + LABELS),
        "train all --task regression",
        ("line 2: 'a' in 'label' is no number",),
    ),
    Row(
        "unknown column",
        table("path,age\n0.png,3.5\n"),
        "train all --targets aeg",
        ("labels.csv: no column 'aeg'; did you mean 'age'",),
    ),
    Row(
        "unknown column of a table",
        table("path,age\n0.png,3.5\n"),
        "inspect all/labels.csv --targets aeg",
        ("no column 'aeg'; did you mean 'age'",),
    ),
    Row(
        "columns of class folders",
        pictures,
        "train pictures --targets age",
        ("class folders have no columns", "tables"),
    ),
    Row("labels of class folders", pictures, "train pictures --task multilabel", ("one class", "a table is needed")),
    Row("numbers of class folders", pictures, "train pictures --task regression", ("the class 'a' is no number",)),
    Row(
        "class weights of numbers",
        table("path,age\n" + AGES),
        "train all --class-weights balanced",
        ("class_weights balanced means nothing for numbers", "leave it away"),
    ),
    Row(
        "a number that is always the same",
        table("path,age\n" + "".join(f"{number}.png,2.5\n" for number in range(6))),
        "train all",
        ("'age' is 2.5 in all of the [0-9]+ training pictures", "nothing to learn"),
    ),
    Row(
        "an angle that is not there",
        table("path,angle\n" + AGES),
        "train all --angles angel",
        ("no number 'angel'; did you mean 'angle'",),
    ),
    Row("angles of classes", pictures, TRAIN + " --angles a", ("angles are numbers, these are classes",)),
    Row("unknown task", pictures, "inspect pictures --task multilable", ("did you mean 'multilabel'",)),
    Row("npz, cut off", arrays(lambda data: data[:300]), "train set.npz", ("set.npz: damaged or cut short",)),
    Row(
        "npz that lies",
        arrays(lambda data: data.replace(b"(6, 8, 8)", b"(9, 8, 8)")),
        "train set.npz",
        ("set.npz: images: ", "its header says 9 x 8 x 8 values, 576 bytes, but 384|damaged"),
    ),
    Row(
        "npz of objects",
        arrays(labels=np.array([Hostile()] * 6, dtype=object)),
        "train set.npz",
        ("set.npz: labels: an array of objects, which would be code to run",),
    ),
    Row("npz without labels", arrays(labels=np.zeros((6, 2, 2))), "train set.npz", ("one label a picture is needed",)),
    Row(
        "a pickle that would execute",
        pickled,
        "train cifar",
        ("data_batch_1: a pickle that asks for (posix|nt).mkdir",),
    ),
    Row(
        "cifar, cut off",
        file("cifar/data_batch_1.bin", bytes(5000)),
        "train cifar",
        ("data_batch_1.bin: 5,000 bytes are no whole number of pictures",),
    ),
    Row("parquet, cut off", parquet({"label": ["a"]}, 0.6), "train set.parquet", ("no Parquet file, damaged or cut",)),
    Row(
        "parquet without pictures",
        parquet({"label": ["a"]}),
        "train set.parquet",
        ("no column for the path", "'label'"),
    ),
    Row(
        "a line that is no JSON",
        also(table(""), file("all/labels.jsonl", '{"path": "0.png", "label": "a"}\n{"path": "1.png", label: "b"}\n')),
        "train all/labels.jsonl",
        ("labels.jsonl: line 2: no JSON",),
    ),
    Row("labels table that is not there", pictures, TRAIN + " --labels lables.csv", ("lables.csv", "no such table")),
    Row(
        "zip that climbs out", zipped("../../escape.png"), "train all.zip", ("all.zip: ", "escape.png, which leads out")
    ),
    Row("zip, absolute name", zipped("/etc/escape.png"), "train all.zip", ("the absolute name /etc/escape.png",)),
    Row("zip that overwrites", zipped("A/0.PNG"), "inspect all.zip", ("a/0.png and A/0.PNG", "overwrite the other")),
    Row("zip with a password", zipped("a/1.png", flags=1), "train all.zip", ("locked with a password",)),
    Row("zip that is none", file("all.zip", "no zip"), "train all.zip", ("all.zip: no zip file", "name the folder")),
    Row("a packed file of another kind", file("all.7z", "7z"), "train all.7z", ("all.7z: a packed file", ".zip")),
    Row(
        "numbers, a field of texts", file("t.csv", NUMBERS + "red,1,x\n"), "train t.csv", ("'red' in 'a' is no number",)
    ),
    Row(
        "numbers, a decimal comma",
        file("t.csv", "a;b;class\n1;2,5;x\n"),
        "train t.csv",
        ("write it with a decimal point",),
    ),
    Row(
        "numbers, a header alone",
        file("t.csv", "a,b,class\n"),
        "train t.csv",
        ("t.csv: the table has a header, but no row",),
    ),
    Row(
        "numbers, a header in a folder",
        file("all/t.csv", "a,b,class\n"),
        "inspect all",
        ("t.csv: .*header, but no row",),
    ),
    Row("numbers, no row of use", file("t.csv", "a,b,class\n1,,x\n,2,y\n"), "train t.csv", ("no row can be used",)),
    Row("numbers, an unknown target", file("t.csv", NUMBERS), "train t.csv --targets clas", ("did you mean 'class'",)),
    Row("numbers, a network of pictures", file("t.csv", NUMBERS), "train t.csv --network lenet5", ("linear or mlp",)),
    Row("numbers that are varied", file("t.csv", NUMBERS), "train t.csv --augment.rotation 5", ("are not varied",)),
    Row("a public set, nearly", nothing, "train minst", ("minst: no such file or folder", "did you mean 'mnist'")),
    Row("a copy that is none", pictures, "train mnist --root pictures", ("pictures: no copy of mnist", "MNIST/raw")),
    Row("a copy that is not there", nothing, "inspect cifar10 --root gone", ("gone: no such folder", "--root")),
    Row("page in the source", pictures, "inspect pictures --out pictures/page.html", ("inside the source", "--out")),
    Row("page in the source, by default", pictures, "inspect .", ("inside the source", "--out")),
    Row("inspect a missing path", nothing, "inspect photos", ("photos: no such file or folder",)),
]

OPTIONS = [
    Row("unknown command", nothing, "trian pictures", ("no command 'trian'", "did you mean 'train'")),
    Row("unknown option before the command", nothing, "--verison", ("no option '--verison'",)),
    Row("unknown option", pictures, "train pictures --epocs 3", ("no option '--epocs'", "did you mean '--epochs'")),
    Row("unknown option alone", nothing, "train --epocs", ("no option '--epocs'", "did you mean '--epochs'")),
    Row("unknown option with =", pictures, "train pictures --optimiser=sgd", ("did you mean '--optimizer'",)),
    Row("unknown short option", pictures, "train pictures -e", ("no option '-e'",)),
    Row("abbreviated option", pictures, "train pictures --epoch 3", ("no option '--epoch'", "'--epochs'")),
    Row("unknown network", pictures, "train pictures --network resnt18", ("no network 'resnt18'", "'resnet18'")),
    Row("unknown device", pictures, "train pictures --device cdua", ("no device 'cdua'", "did you mean 'cuda'")),
    Row("device that is not there", pictures, "train pictures --device mps", ("--device mps", "--device auto")),
    Row("unknown choice", pictures, "train pictures --optimizer admaw", ("did you mean 'adamw'",)),
    Row("unknown precision", pictures, "train pictures --precision float61", ("one of auto, float32",)),
    Row("zero epochs", pictures, "train pictures --epochs 0", ("epochs must be at least 1, got 0",)),
    Row("half an epoch", pictures, "train pictures --epochs 1.5", ("--epochs: must be a whole number, got '1.5'",)),
    Row("negative rate", pictures, "train pictures --learning-rate -1", ("learning_rate must be above 0",)),
    Row("negative rate, exponent", pictures, "train pictures --learning-rate -1e-3", ("must be above 0",)),
    Row("rate that is no number", pictures, "train pictures --learning-rate nan", ("finite",)),
    Row("endless rate", pictures, "train pictures --learning-rate inf", ("finite",)),
    Row("empty batch", pictures, "train pictures --batch-size 0", ("batch_size must be at least 1",)),
    Row("a batch of words", pictures, "train pictures --batch-size large", ("whole number or auto, got 'large'",)),
    Row("negative seed", pictures, "train pictures --seed -1", ("seed must be at least 0",)),
    Row("one fold", pictures, "train pictures --folds 1", ("folds must be 2 to 100, got 1",)),
    Row("a fold that there is not", pictures, "train pictures --fold 6/5", ("such as 2/5, got '6/5'",)),
    Row("folds for minutes", pictures, "train pictures --folds 3 --minutes 1", ("minutes and folds cannot both",)),
    Row("more folds than pictures", pictures, "train pictures --folds 90", ("90 folds; take fewer",)),
    Row("folds and a curve", pictures, "train pictures --folds 3 --learning-curve", ("--folds and --learning-curve",)),
    Row("folds into a run", EXISTING, "train pictures --folds 3 --out runs --overwrite", ("--overwrite gives up one",)),
    Row("a share of more than all", pictures, "train pictures --share 1.5", ("share must be", "1.5")),
    Row("both epochs and minutes", pictures, "train pictures --epochs 1 --minutes 1", ("epochs and minutes",)),
    Row("weights of nobody", pictures, "train pictures --weights w.pth", ("add --network",)),
    Row(
        "weights that are not there",
        pictures,
        "train pictures --network linear --weights w.pth",
        ("w.pth: there is no such file",),
    ),
    Row("unknown loss", pictures, "train pictures --loss hinges", ("loss: must be one of", "did you mean 'hinge'")),
    Row(
        "a loss of numbers", pictures, TRAIN + " --loss huber", ("does not fit classification", "cross-entropy, focal")
    ),
    Row(
        "smoothed labels of a hinge",
        pictures,
        TRAIN + " --loss hinge --label-smoothing 0.1",
        ("label_smoothing 0.1 means nothing to the loss hinge",),
    ),
    Row("a negative penalty", pictures, "train pictures --regularizer.l1 -1", ("regularizer.l1 must be at least 0",)),
    Row("dropout of everything", pictures, "train pictures --dropout 1", ("dropout must be at most 0.99",)),
    Row(
        "twice as rare",
        pictures,
        "train pictures --balance --class-weights balanced",
        ("cannot both be given", "twice"),
    ),
    Row("averaged twice", pictures, "train pictures --swa 0.5 --averaging 0.9", ("swa and averaging cannot both",)),
    Row(
        "lbfgs in small batches",
        pictures,
        "train pictures --optimizer lbfgs --batch-size 8",
        ("all pictures at once", "batch_size cannot be given"),
    ),
    Row(
        "lbfgs in few digits",
        pictures,
        "train pictures --optimizer lbfgs --precision bfloat16",
        ("to the last digit", "leave precision away"),
    ),
    Row(
        "momentum of adam",
        pictures,
        "train pictures --optimizer adam --optimizer.momentum 0.5",
        ("optimizer.momentum means nothing to the optimizer adam", "take sgd or rmsprop or muon"),
    ),
    Row(
        "how smooth no distortion is",
        pictures,
        "train pictures --epochs 1 --network lenet5 --augment.elastic-sigma 3",
        ("augment.elastic_sigma shapes elastic, which is off", "--augment.elastic"),
    ),
    Row(
        "more batches than pictures",
        pictures,
        "train pictures --epochs 1 --network lenet5 --accumulate 1000",
        ("accumulate: 1,000 batches of", "at most"),
    ),
    Row(
        "lbfgs by other draws in each step",
        pictures,
        "train pictures --optimizer lbfgs --balance --dropout 0.2",
        ("curvature of one function", "balance and dropout", "leave it away"),
    ),
    Row("a rate for lbfgs", pictures, "train pictures --find-rate --optimizer lbfgs", ("no rate is to be found",)),
    Row(
        "a page of rates in the source",
        pictures,
        "train pictures --find-rate --out pictures/rate.html",
        ("inside the source", "--out"),
    ),
    Row(
        "a page of rates over other files",
        also(pictures, file("rate.html", "my page")),
        "train pictures --find-rate --out rate.html",
        ("no page of striate train --find-rate",),
    ),
    Row("a layer that is not there", pictures, TRAIN + " --freeze heat", ("no layer 'heat'", "did you mean 'head'")),
    Row("nothing left to train", pictures, TRAIN + " --freeze head", ("nothing left to train",)),
    Row("no batches", pictures, "train pictures --accumulate 0", ("accumulate must be at least 1",)),
    Row("rates that rise", pictures, "train pictures --optimizer.layer-decay 2", ("layer_decay must be at most 1",)),
    Row("a value is missing", pictures, "train pictures --epochs", ("--epochs: expected one argument",)),
    Row(
        "TensorBoard's files in the source",
        pictures,
        TRAIN + " --tensorboard pictures/logs",
        ("inside the source", "--tensorboard"),
    ),
    Row(
        "a file for TensorBoard's",
        also(pictures, file("logs", "x")),
        TRAIN + " --tensorboard logs",
        ("logs: is a file",),
    ),
    Row(
        "TensorBoard without pictures", nothing, "train photos --tensorboard logs", ("photos: no such file or folder",)
    ),
    Row("a port that is none", nothing, "serve run --port 65536", ("port must be 0 to 65535", "got 65536")),
    Row("a port of words", nothing, "serve run --port http", ("--port: must be a whole number", "got 'http'")),
    Row("to serve no run", nothing, "serve run --port 0", ("run: there is no such run",)),
]

RECIPES = [
    Row("no recipe", pictures, "train pictures --recipe r.toml", ("r.toml: the recipe cannot be read",)),
    Row(
        "recipe that does not parse",
        also(pictures, file("r.toml", "epochs = = 3")),
        "train pictures --recipe r.toml",
        ("r.toml: not a recipe in TOML", "line 1"),
    ),
    Row(
        "recipe of a wrong type",
        also(pictures, file("r.toml", 'epochs = "three"')),
        "train pictures --recipe r.toml",
        ("r.toml", "epochs must be a whole number, got 'three'"),
    ),
    Row(
        "recipe with an unknown key",
        also(pictures, file("r.toml", "lerning_rate = 0.1")),
        "train pictures --recipe r.toml",
        ("r.toml: no setting 'lerning_rate'", "did you mean 'learning_rate'"),
    ),
    Row(
        "recipe with an unknown key of a part",
        also(pictures, file("r.toml", "[optimizer]\nmomentun = 0.1")),
        "train pictures --recipe r.toml",
        ("no setting 'optimizer.momentun'", "did you mean 'momentum'"),
    ),
    Row(
        "recipe with a value for a table",
        also(pictures, file("r.toml", "optimizer = 3")),
        "train pictures --recipe r.toml",
        ("optimizer must be a table",),
    ),
    Row(
        "recipe of a later version",
        also(pictures, file("r.toml", "schema = 99")),
        "train pictures --recipe r.toml",
        ("schema 99", "update striate"),
    ),
    Row(
        "recipe that is no text",
        also(pictures, file("r.toml", b"\xff\xfe\x00")),
        "train pictures --recipe r.toml",
        ("r.toml: not a recipe in TOML",),
    ),
    Row("recipe that is a folder", pictures, "train pictures --recipe pictures", ("pictures: the recipe cannot",)),
]


def linked(place: Path) -> None:
    pictures(place)
    (place / "run").symlink_to(place / "nowhere")


OUTPUTS = [
    Row("other files", also(pictures, file("run/thesis.tex", "years of work")), TRAIN, ("other files", "thesis.tex")),
    Row(
        "other files, overwrite",
        also(pictures, file("run/thesis.tex", "years of work")),
        TRAIN + " --overwrite",
        ("other files", "thesis.tex"),
    ),
    Row(
        "somebody else's model, overwrite",
        also(pictures, file("run/config.json", '{"model_type": "bert"}'), file("run/model.safetensors", "theirs")),
        TRAIN + " --overwrite",
        ("other files",),
    ),
    Row(
        "somebody's recipe alone, overwrite",
        also(pictures, file("run/recipe.toml", "epochs = 3")),
        TRAIN + " --overwrite",
        ("other files",),
    ),
    Row("a file of that name", also(pictures, file("run", "x")), TRAIN, ("there is a file of that name",)),
    Row("a file on the way", also(pictures, file("f", "x")), TRAIN.replace("run", "f/run", 1), ("is a file",)),
    Row("a link that leads nowhere", linked, TRAIN, ("link that leads nowhere",)),
    Row("a name that is too long", pictures, TRAIN.replace("run", "x" * 300, 1), ("too long",)),
    Row("inside the source", pictures, TRAIN.replace("run", "pictures/run", 1), ("inside the source", "--out")),
    Row("the source itself", pictures, TRAIN.replace("run", "pictures", 1), ("inside the source",)),
    Row(
        "runs/ inside the source",
        pictures,
        "train . " + " ".join(QUICK),
        ("inside the source", "--out"),
    ),
    Row(
        "runs is a file",
        also(pictures, file("runs", "x")),
        "train pictures " + " ".join(QUICK),
        ("runs: is a file", "--out"),
    ),
]


@pytest.mark.parametrize("row", SOURCES + OPTIONS + RECIPES + OUTPUTS, ids=lambda row: row.name)
def test_a_mistake_is_one_sentence_and_changes_nothing(
    row: Row, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row.make(place)
    before = snapshot(place, times=False)
    source = snapshot(place / "pictures") if (place / "pictures").is_dir() else {}
    sentence = here(capsys, *row.arguments.split()).sentence
    for pattern in row.says:
        assert re.search(pattern, sentence), sentence
    assert snapshot(place, times=False) == before
    if source:
        assert snapshot(place / "pictures") == source


# -- runs that are none -------------------------------------------------------------------------------


def removed(name: str) -> Make:
    return lambda place: (place / "run" / name).unlink()


def cut(name: str, share: float) -> Make:
    def make(place: Path) -> None:
        path = place / "run" / name
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return make


def changed(edit: Callable[[dict[str, object]], object]) -> Make:
    def make(place: Path) -> None:
        path = place / "run" / "config.json"
        config = json.loads(path.read_text())
        edit(config)
        path.write_text(json.dumps(config))

    return make


def emptied(place: Path) -> None:
    shutil.rmtree(place / "run")
    (place / "run").mkdir()


def linked_to_itself(place: Path) -> None:
    (place / "run/config.json").unlink()
    (place / "run/config.json").symlink_to("config.json")


def a_pipe(place: Path) -> None:
    (place / "run/config.json").unlink()
    os.mkfifo(place / "run/config.json")


def one_deeper(place: Path) -> None:
    """As the folder of several trainings has them."""
    (place / "run").rename(place / "inner")
    (place / "run").mkdir()
    (place / "inner").rename(place / "run/fold-1")


ASKED = ("predict run pictures", "evaluate run pictures", "describe run", "explain run pictures/a/0.png")

RUNS: list[tuple[str, Make, tuple[str, ...]]] = [
    ("no folder", lambda place: shutil.rmtree(place / "run"), ("no such run|no network",)),
    ("empty", emptied, ("run: not a run",)),
    ("without settings", also(removed("config.json"), removed("recipe.toml")), ("not a run",)),
    ("not finished", removed("config.json"), ("no model yet", "striate resume run")),
    ("a folder of runs", one_deeper, ("run: not a run itself: it holds 1 run", "such as run/fold-1")),
    ("settings cut off", cut("config.json", 0.5), ("config.json: cannot be read",)),
    ("settings empty", cut("config.json", 0), ("config.json: cannot be read",)),
    ("settings no table", lambda place: file("run/config.json", "[1]")(place), ("config.json: not what striate",)),
    ("settings linked to themselves", linked_to_itself, ("no model yet|not a run",)),
    ("settings a pipe", a_pipe, ("no model yet|not a run",)),
    ("settings nested", lambda place: file("run/config.json", "[" * 100_000)(place), ("config.json: cannot be read",)),
    ("no weights", removed("model.safetensors"), ("model.safetensors: the weights are missing",)),
    ("weights cut off", cut("model.safetensors", 0.7), ("model.safetensors: the weights cannot be read",)),
    ("weights a text", lambda place: file("run/model.safetensors", "x")(place), ("the weights cannot be read",)),
    ("no schema", changed(lambda config: config.pop("schema")), ("no schema number",)),
    ("a later schema", changed(lambda config: config.update(schema=99)), ("later version", "update striate")),
    (
        "unknown network",
        changed(lambda config: config["network"].update(name="linaer")),
        ("config.json: no network 'linaer'", "did you mean 'linear'"),
    ),
    (
        "weights of another network",
        changed(lambda config: config["network"].update(name="mlp")),
        ("model.safetensors: weights of another network", "tensors differ"),
    ),
    (
        "another number of classes",
        changed(lambda config: config["task"].update(class_names=["a", "b", "c"])),
        ("weights of another network",),
    ),
    (
        "another size",
        changed(lambda config: config["input"].update(height=4096, width=4096)),
        ("weights of another network",),
    ),
    ("a size that cannot be", changed(lambda config: config["input"].update(height=10**9)), ("input size must be",)),
    ("a negative size", changed(lambda config: config["input"].update(height=-8)), ("input size must be",)),
    ("a mean that is none", changed(lambda config: config["input"].update(mean=[1e999, 0, 0])), ("finite",)),
    (
        "an unknown argument",
        changed(lambda config: config["network"].update(arguments={"widht": 3})),
        ("no argument 'widht'",),
    ),
    (
        "a network too large to be",
        changed(lambda config: config.update(network={"name": "mlp", "arguments": {"hidden": [10**9, 10**9]}})),
        ("weights",),
    ),
    ("unknown task", changed(lambda config: config["task"].update(name="clasification")), ("did you mean",)),
    ("classes that are numbers", changed(lambda config: config["task"].update(class_names=[1, 2])), ("texts",)),
    ("equal classes", changed(lambda config: config["task"].update(class_names=["a", "a"])), ("differ",)),
    (
        "too many classes",
        changed(lambda config: config["task"].update(class_names=[str(k) for k in range(100_001)])),
        ("100,000 classes",),
    ),
    ("a network of the user's own", changed(lambda config: config["network"].update(name="own")), ("network=module",)),
]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(("make", "says"), [row[1:] for row in RUNS], ids=[row[0] for row in RUNS])
def test_a_broken_or_hostile_run_is_refused(
    make: Make, says: tuple[str, ...], asked: str, place: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(place)
    before = snapshot(place)
    sentence = here(capsys, *asked.split()).sentence
    for pattern in says:
        assert re.search(pattern, sentence), sentence
    assert snapshot(place) == before


def sourced(source: str) -> Make:
    """The run's recipe names another source."""

    def make(place: Path) -> None:
        path = place / "run/recipe.toml"
        path.write_text(re.sub(r'source = ".*"', f'source = "{source}"', path.read_text()))

    return make


ON_A_RUN = [
    Row("existing run", nothing, TRAIN, ("holds a run already", "--overwrite", "striate resume run")),
    Row("resume of what came to its end", nothing, "resume run", ("came to its end", "--epochs N")),
    Row("resume to fewer epochs", nothing, "resume run --epochs 1", ("has 1 epoch;", "more than that")),
    Row("resume to no epochs", nothing, "resume run --epochs 0", ("whole number of at least 1",)),
    Row("resume of a folder of pictures", nothing, "resume pictures", ("no run to go on with",)),
    Row("resume of a folder of runs", one_deeper, "resume run", ("holds 1 run; name one", "run/fold-1")),
    Row("report of a folder of runs", one_deeper, "report run", ("holds 1 run; name one", "run/fold-1")),
    Row("resume of nothing", nothing, "resume rnu", ("no run to go on with",)),
    Row("resume of an unwritable name", nothing, "resume " + "x" * 300, ("no run to go on with",)),
    Row(
        "resume without its pictures",
        sourced("gone"),
        "resume run --epochs 2",
        ("gone: no such file or folder",),
    ),
    Row(
        "resume of a recipe that does not parse",
        file("run/recipe.toml", "=="),
        "resume run --epochs 2",
        ("recipe.toml: not a recipe",),
    ),
    Row(
        "resume of a recipe without a source",
        file("run/recipe.toml", "epochs = 2"),
        "resume run",
        ("names no source",),
    ),
    Row("predict nothing", nothing, "predict run", ("required: PICTURE",)),
    Row("predict what is not there", nothing, "predict run gone.png", ("gone.png: no such file",)),
    Row(
        "predict several that are not there",
        nothing,
        "predict run gone.png away.png",
        ("none of the 2 pictures can be read", "gone.png: no such file"),
    ),
    Row("predict an address", nothing, "predict run http://example.org/a.png", ("download it first",)),
    Row("predict an empty folder", folder("empty"), "predict run empty", ("no picture in this folder",)),
    Row("predict a pattern of nothing", nothing, "predict run pictures/*.jpg", ("nothing matches",)),
    Row("predict for no answer", nothing, "predict run pictures --top 0", ("--top: must be a whole number",)),
    Row("predict in no format", nothing, "predict run pictures --format cvs", ("did you mean 'csv'",)),
    Row("predict on no device", nothing, "predict run pictures --device gpu", ("no device 'gpu'",)),
    Row("predict with a number for a device", nothing, "predict run pictures --device cuda:x", ("no device",)),
    Row("evaluate a split that is not there", nothing, "evaluate run pictures --split test", ("has no splits",)),
    Row("evaluate what is not there", nothing, "evaluate run pitcures", ("did you mean 'pictures'",)),
    Row(
        "evaluate an unknown class",
        lambda place: write_pictures(place / "pictures", classes=("c",)),
        "evaluate run pictures",
        ("does not know the class c", "it knows a, b"),
    ),
    Row(
        "evaluate broken files, strict",
        file("pictures/a/zero.png", b""),
        "evaluate run pictures --strict",
        ("a/zero.png", "--strict"),
    ),
    Row(
        "evaluate numbers by a run of classes",
        table("path,age\n" + "".join(f"{number}.png,{number}.5\n" for number in range(6))),
        "evaluate run all",
        ("all: it holds numbers, and the model answers classes", "name a source with classes"),
    ),
    Row(
        "evaluate labels by a run of classes",
        table("path,car,tree\n" + "".join(f"{number}.png,{number % 2},1\n" for number in range(6))),
        "evaluate run all",
        ("all: it holds labels, and the model answers classes",),
    ),
    Row("runs in no folder", nothing, "runs rnus", ("rnus: there is no such folder",)),
    Row("runs in a file", nothing, "runs pictures/a/0.png", ("is a file",)),
    Row(
        "sizes that contradict each other",
        pictures,
        "train pictures --augment.erasing-smallest 0.5",
        ("must not exceed",),
    ),
    Row(
        "two policies of augmentation",
        pictures,
        "train pictures --augment.rand-augment 2 --augment.trivial-augment",
        ("rand_augment and augment.trivial_augment cannot both be given",),
    ),
    Row(
        "a distortion that folds",
        pictures,
        "train pictures --augment.elastic 100 --augment.elastic-sigma 2",
        ("augment.elastic must be at most 16 where augment.elastic_sigma is 2",),
    ),
    Row("a quality below 1", pictures, "train pictures --augment.jpeg 100", ("augment.jpeg must be at most 99",)),
    Row(
        "paths of class folders",
        pictures,
        "train pictures --root .",
        ("class folders have no table of paths, so --root",),
    ),
    Row(
        "paths of a table of numbers",
        file("rows.csv", NUMBERS),
        "train rows.csv --root .",
        ("tables of numbers have no table of paths",),
    ),
    Row("no mean", pictures, "train pictures --mean pictrue", ("--mean", "did you mean 'picture'")),
    Row(
        "a mean picture for published weights",
        pictures,
        "train pictures --mean picture --network resnet18 --pretrained",
        ("mean picture and pretrained cannot both be given",),
    ),
    Row(
        "a mean picture for weights that are chosen",
        pictures,
        "train pictures --mean picture --network efficientnet-lite0",
        ("know their own mean", "--no-pretrained"),
    ),
    Row("predict in no views", nothing, "predict run pictures --tta flipp", ("--tta", "did you mean 'flip'")),
    Row("evaluate in no views", nothing, "evaluate run pictures --tta ten-crops", ("--tta", "'ten-crop'")),
    Row("from what is no run", pictures, "train pictures --from pictures", ("pictures: not a run",)),
    Row("from nowhere", pictures, "train pictures --from nowhere", ("nowhere: there is no such run",)),
    Row("push of what is no run", nothing, "push pictures hf://me/letters", ("pictures: not a run",)),
    Row("push to nowhere", nothing, "push run", ("required: hf://OWNER/NAME",)),
    Row(
        "push to a name of one part", nothing, "push run letters", ("letters: is no run on the Hub", "hf://owner/name")
    ),
    Row("predict by a broken address", nothing, "predict hf://me pictures", ("is no run on the Hub",)),
    Row("export of what is no run", nothing, "export pictures", ("pictures: not a run",)),
    Row("export of nothing that is", nothing, "export rnu --out run.onnx", ("rnu: there is no such run",)),
    Row("export to what is unknown", nothing, "export run --to onxx", ("did you mean 'onnx'",)),
    Row("export to a name that is taken", file("a.onnx", "x"), "export run --out a.onnx", ("there already", "--out")),
    Row("export under another ending", nothing, "export run --out run.pb", (r"run\.pb", r"ends with \.onnx")),
    Row("export to no folder", nothing, "export run --out gone/run.onnx", ("gone is no folder",)),
    Row("export beside a network", nothing, "export run --network linear", ("one argument too many|give the run or",)),
    Row("export on a device", nothing, "export run --device cuda", ("no option '--device'",)),
    Row("report of nothing", nothing, "report", ("RUN",)),
    Row("report of what is no run", pictures, "report pictures", ("pictures: not a run",)),
    Row("describe nothing that is", nothing, "describe lienar", ("did you mean 'linear'",)),
]

EXPLAIN = "explain run pictures/a/0.png"
EXPLAINED = [
    Row("no picture", nothing, "explain run", ("required: PICTURE",)),
    Row("a picture that is not there", nothing, "explain run gone.png", ("gone.png: no such file",)),
    Row("a folder of pictures", nothing, "explain run pictures", ("12 pictures; one at a time",)),
    Row("no picture at all", nothing, "explain run run/config.json", ("run/config.json: ",)),
    Row("an unknown class", nothing, EXPLAIN + " --class cat", ("no class 'cat'", "known: a, b")),
    Row("a class beyond the last", nothing, EXPLAIN + " --class 2", ("no class 2", "there are 2")),
    Row("a label of nobody", nothing, EXPLAIN + " --label cat", ("no class 'cat'",)),
    Row("an unknown method", nothing, EXPLAIN + " --method grad-cma", ("no method", "did you mean 'grad-cam'")),
    Row("no method", nothing, EXPLAIN + " --method ,", ("no method ''",)),
    Row(
        "a network without a map",
        nothing,
        EXPLAIN + " --method grad-cam",
        ("no layer with a map of more than one cell",),
    ),
    Row("no layer of that name", nothing, EXPLAIN + " --layer laeyr4", ("laeyr4",)),
    Row("a layer for what looks at none", nothing, EXPLAIN + " --method gradient --layer x", ("leave --layer away",)),
    Row("an output where there is one", nothing, EXPLAIN + " --output logits", ("one tensor of scores",)),
    Row("a folder that holds files", nothing, EXPLAIN + " --out pictures", ("pictures is there and holds files",)),
    Row("a file of that name", nothing, EXPLAIN + " --out pictures/a/0.png", ("is no folder",)),
    Row("a place in no folder", nothing, EXPLAIN + " --out gone/why", ("gone is no folder",)),
    Row(
        "a run of rows, asked of no picture",
        changed(lambda config: config["input"].update(fields={"names": ["a"], "logarithms": [False]})),
        "explain run run/recipe.toml",
        ("needs a network that takes pictures; this one takes rows of a table of numbers",),
    ),
    Row("inside the source", sourced("pictures"), EXPLAIN + " --out pictures/why", ("inside the source", "--out")),
    Row("a run beside a network", nothing, EXPLAIN + " --network linear", ("one argument too many|give the run or",)),
]


@pytest.mark.parametrize("row", ON_A_RUN + EXPLAINED, ids=lambda row: row.name)
def test_a_mistake_beside_a_run_changes_nothing(
    row: Row, place: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row.make(place)
    before = snapshot(place)
    sentence = here(capsys, *row.arguments.split()).sentence
    for pattern in row.says:
        assert re.search(pattern, sentence), sentence
    assert snapshot(place) == before
