"""Runs compared picture by picture: against counts by hand, scipy, and the files that they are read from."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

import striate
from striate.actions.compared import Measured, compare, difference, measured, raised, unlike
from striate.errors import InputError
from striate.evaluation.paired import holm
from striate.evaluation.paired_labels import swaps
from striate.models.predictions import Answered, columns, lines, read_predictions
from striate.reports.comparison import PairedPrecision, Pairing

SETTINGS = {"network": "lenet5", "device": "cpu", "threads": 1, "batch_size": 16, "precision": "float32"}


def written(place: Path, task: str, targets: np.ndarray, answers: np.ndarray, names: tuple[str, ...]) -> Answered:
    """What a run would have written, and read back."""
    pictures = [f"{number}.png" for number in range(len(targets))]
    with place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns(task, names))
        writer.writerows(lines(task, pictures, targets, answers, names))
    return read_predictions(place, task, names)


def run(name: str, task: str, names: tuple[str, ...], answered: Answered, content: str = "") -> Measured:
    return Measured(run=name, task=task, class_names=names, answered=answered, content=content, split="test")


def turned(tested: Measured, order: list[int]) -> Measured:
    """The same run with its pictures in another order."""
    one = tested.answered
    assert one.sure is not None
    moved = Answered(
        names=tuple(one.names[k] for k in order),
        targets=one.targets[order],
        answers=one.answers[order],
        sure=one.sure[order],
    )
    return Measured(
        run=tested.run, task=tested.task, class_names=tested.class_names, answered=moved, content="", split="test"
    )


@pytest.fixture
def labels(tmp_path: Path) -> tuple[Measured, Measured, np.ndarray, np.ndarray, np.ndarray]:
    """Two runs of labels, the second better, with targets and both answers (40, 3)."""
    names = ("a,b", 'say "c"', "ä; d")
    generator = np.random.default_rng(0)
    targets = (generator.random((40, 3)) < 0.4).astype(np.float32)
    first = np.clip(0.5 + 0.3 * (targets - 0.5) + generator.normal(size=(40, 3)) * 0.3, 0, 1)
    second = np.clip(0.5 + 0.8 * (targets - 0.5) + generator.normal(size=(40, 3)) * 0.3, 0, 1)
    runs = [
        run(name, "multilabel", names, written(tmp_path / f"{name}.csv", "multilabel", targets, answers, names))
        for name, answers in (("one", first), ("two", second))
    ]
    return runs[0], runs[1], targets, first, second


def test_labels_are_read_back_as_they_were_written(labels) -> None:
    one, _, targets, first, _ = labels
    assert (one.answered.targets == (targets > 0.5)).all()
    assert (one.answered.answers == (first > 0.5)).all()
    assert one.answered.sure == pytest.approx(np.where(first > 0.5, first, 1 - first), abs=1e-6)


def test_labels_are_compared_by_their_share_of_right_ones(labels) -> None:
    one, two, targets, first, second = labels
    found = compare(one, two, seed=1)
    right, other = (first > 0.5) == targets, (second > 0.5) == targets
    shares = other.mean(axis=1) - right.mean(axis=1)
    assert found.values == pytest.approx((right.mean(), other.mean()))
    assert found.test.difference.value == pytest.approx(shares.mean())
    scipys = stats.permutation_test(
        (shares,), lambda values, axis: values.mean(axis=axis), permutation_type="samples", n_resamples=20_000,
        vectorized=True, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found.p == pytest.approx(scipys.pvalue, abs=0.01)
    assert found.changed == ((shares < 0).sum(), (shares > 0).sum())
    gains = [shares[int(one.name.split(".")[0])] for one in found.only_second]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == shares.max()
    raw = [
        stats.binomtest(int((right[:, k] & ~other[:, k]).sum()), int((right[:, k] != other[:, k]).sum())).pvalue
        for k in range(3)
    ]
    assert min(part.p for part in found.parts) == pytest.approx(min(1, 3 * min(raw)))
    # In another order of pictures it is the same.
    again = compare(one, turned(two, list(range(39, -1, -1))), seed=1)
    assert again == found


def test_of_labels_the_mean_average_precision_is_tested_too(labels) -> None:
    one, two, targets, first, second = labels
    found = compare(one, two, seed=1)
    expected = [metrics.average_precision_score(targets, np.round(answers, 6)) for answers in (first, second)]
    assert found.precision is not None
    assert (found.precision.first, found.precision.second) == pytest.approx(expected)
    assert found.precision == swaps(np.round(first, 6), np.round(second, 6), targets > 0.5, seed=1)
    # Both tests of the pair are told at once, and so are those of several pairs.
    (told,) = raised([found])
    assert told.precision is not None
    assert sorted([told.p, told.precision.p]) == pytest.approx(sorted(holm([found.p, found.precision.p])))
    assert told.p > found.p
    plain = json.loads(json.dumps(told.to_json()))
    assert plain["precision"]["p"] == told.precision.p
    assert plain["precision"]["difference"]["value"] == pytest.approx(expected[1] - expected[0])
    assert plain["values"] == pytest.approx(found.values)


@pytest.mark.parametrize(
    ("p", "precise", "values", "says"),
    [
        (0.2, 0.3, (0.5, 0.6), "these 40 pictures do not tell one and two apart"),
        (0.01, 0.02, (0.5, 0.6), "the better one is two: chance alone hardly makes such a difference"),
        (0.2, 0.01, (0.5, 0.6), "the larger mean average precision is that of two: chance alone hardly makes such a"),
        (0.01, 0.2, (0.5, 0.6), "the larger share of labels right is that of two: chance alone hardly makes such a"),
        (0.01, 0.01, (0.6, 0.5), "the larger share of labels right is that of two, the larger mean average precision "
         "is that of one: chance alone hardly makes either difference"),
    ],
)  # fmt: skip
def test_the_verdict_names_what_differs(p: float, precise: float, values: tuple[float, float], says: str) -> None:
    difference = {"value": values[1] - values[0], "low": None, "high": None}
    pairing = Pairing(
        first="one",
        second="two",
        task="multilabel",
        n=40,
        measure="share of labels right",
        more_is_better=True,
        values=(0.7, 0.8),
        difference={"value": 0.1, "low": None, "high": None},
        p=p,
        parts=(),
        changed=(3, 7),
        precision=PairedPrecision(values=values, difference=difference, p=precise, exact=False),
    )
    assert pairing.verdict().startswith(says)
    assert f"would come about in {100 * precise:.1f}\u00a0% of all tests" in pairing.evidence_of_precision()


def test_numbers_are_compared_by_their_errors(tmp_path: Path) -> None:
    names = ("angle", "share")
    generator = np.random.default_rng(2)
    targets = np.stack([generator.uniform(-45, 45, 30), generator.random(30)], axis=1).astype(np.float32)
    first, second = (targets + generator.normal(size=(30, 2)) * (scale, 0.1) for scale in (9, 3))
    one, two = (
        run(name, "regression", names, written(tmp_path / f"{name}.csv", "regression", targets, answers, names))
        for name, answers in (("one", first), ("two", second))
    )
    assert (one.answered.targets.astype(np.float32) == targets).all()
    found = compare(one, two)
    errors, others = (np.abs(answers.astype(np.float32) - targets.astype(float)) for answers in (first, second))
    scaled = ((others - errors) / targets.std(axis=0, dtype=float)).mean(axis=1)
    assert found.test.difference.value == pytest.approx(scaled.mean(), rel=1e-5)
    assert not found.more_is_better
    assert [part.second - part.first for part in found.parts] == pytest.approx((others - errors).mean(axis=0), rel=1e-4)
    assert found.only_second[0].name == f"{int(scaled.argmin())}.png"
    assert found.changed == ((scaled > 0).sum(), (scaled < 0).sum())
    alone = []
    for name, answers in (("three", first[:, :1]), ("four", second[:, :1])):
        kept = written(tmp_path / f"{name}.csv", "regression", targets[:, :1], answers, ("angle",))
        alone.append(run(name, "regression", ("angle",), kept))
    # One number stays in its own units.
    assert compare(*alone).values == pytest.approx((errors[:, 0].mean(), others[:, 0].mean()))


def test_what_differs_between_tests_is_named(labels) -> None:
    one, two, *_ = labels
    assert difference(one, turned(two, list(range(39, -1, -1)))) == ""
    assert difference(one, turned(two, list(range(38)))) == "one was tested on 38.png and 1 more, two was not"
    assert difference(turned(one, [0, 1]), two).startswith("two was tested on 10.png and 37 more, one was not")
    moved = turned(two, list(range(40)))
    moved.answered.targets[5] = ~moved.answered.targets[5]
    assert difference(one, moved).startswith("5.png is ")
    other = run("three", "regression", ("x",), one.answered)
    assert difference(one, other) == "one is a run of multilabel, three of regression"
    named = run("four", "multilabel", ("a,b", "x", "ä; d"), one.answered)
    assert "answers 'say \"c\"', four does not" in difference(one, named)
    contents = [run(name, "multilabel", one.class_names, one.answered, content) for name, content in ("px", "qy")]
    assert "have the same names and other content" in difference(*contents)
    with pytest.raises(InputError, match=r"only where they were tested alike: 5\.png is"):
        compare(one, moved)


HEADING = "path,target,answer,p(a)\n"


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "path\n",
        "path,target,answer\n",
        HEADING + 'x,"[""z""]",[],0.5\n',
        HEADING + "x,[],[],?\n",
        HEADING + "x,[],[],nan\n",
        HEADING + "x,[],[],1\nx,[],[],1\n",
        HEADING + "x," + "[" * 100_000 + ",[],1\n",
    ],
    ids=range(8),
)
def test_a_file_that_is_none_is_one_sentence(tmp_path: Path, damage: str) -> None:
    (tmp_path / "predictions.csv").write_text(damage)
    with pytest.raises(InputError, match=r"predictions\.csv: cannot be read"):
        read_predictions(tmp_path / "predictions.csv", "multilabel", ("a",))


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory) -> tuple[Path, list[striate.Run]]:
    """A source, and runs of one and of four epochs on it."""
    place = tmp_path_factory.mktemp("compared")
    source = Path(shutil.copytree(pictures, place / "patterns"))
    return source, [
        striate.train(source, out=place / f"epochs-{epochs}", epochs=epochs, seed=1, **SETTINGS) for epochs in (1, 4)
    ]


def test_two_runs_on_one_page_are_tested_and_their_changed_pictures_shown(trained, tmp_path) -> None:
    source, runs = trained
    found = compare(*(measured(one, "test") for one in runs))
    rows = [list(csv.DictReader((one.folder / "predictions.csv").read_text().splitlines())) for one in runs]
    right = [np.array([row["target"] == row["prediction"] for row in one]) for one in rows]
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    assert found.changed == only
    assert sum(only) > 0
    assert found.p == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)
    page = striate.report(runs, out=tmp_path / "page.html").read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    names = [re.search(r"[^/]*$", str(one))[0] for one in runs]  # type: ignore[index]
    assert f"Right in {runs[1]} alone ({only[1]})" in text
    assert f"{names[0]} alone answered {only[0]} rightly" in text
    assert "McNemar" in text
    assert page.count("<img") == min(12, only[0]) + min(12, only[1])
    for name in ("dark", "light", "striped"):
        assert name in text
    # Pictures that are gone are named all the same.
    recipe = runs[0].folder / "recipe.toml"
    kept = recipe.read_text()
    recipe.write_text(kept.replace(str(source), str(tmp_path / "gone")))
    try:
        bare = striate.report(runs, out=tmp_path / "bare.html").read_text()
    finally:
        recipe.write_text(kept)
    assert "<img" not in bare
    assert found.only_second[0].name in bare


def text_of(page: Path) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.read_text()))


def of_other_targets(run: striate.Run, place: Path) -> striate.Run:
    """The same run on the same pictures, the targets of which were taken for others."""
    folder = Path(shutil.copytree(run.folder, place))
    table = folder / "predictions.csv"
    rows = list(csv.reader(table.read_text().splitlines()))
    column = rows[0].index("target")
    for row in rows[1:]:
        row[column] = "dark" if row[column] == "light" else "light"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return striate.Run(folder)


def test_runs_of_other_targets_are_not_ranked_and_the_reason_is_the_true_one(trained, tmp_path) -> None:
    _, runs = trained
    other = of_other_targets(runs[1], tmp_path / "other")
    text = text_of(striate.report([runs[0], other], out=tmp_path / "page.html"))
    assert "The same pictures have other targets in these runs" in text
    assert re.search(rf"What differs: \S+ is \w+ for {runs[0]} and \w+ for {other}", text)
    assert "not all tested on the same pictures" not in text
    for ranking in ("by the best of", "best first", "is best", "best two"):
        assert ranking not in text
    # In the order in which they were named, whichever has the larger figure.
    for named in ([runs[0], other], [other, runs[0]]):
        table = text_of(striate.report(named, out=tmp_path / "page.html")).split("Side by side")[1]
        assert table.index(str(named[0])) < table.index(str(named[1]))


def test_why_runs_are_unlike_is_told_apart(labels) -> None:
    one, two, *_ = labels
    assert unlike(one, two) == ("", "")
    moved = turned(two, list(range(40)))
    moved.answered.targets[5] = ~moved.answered.targets[5]
    assert unlike(one, moved)[0] == "targets"
    assert unlike(one, turned(two, list(range(38))))[0] == "pictures"
    assert unlike(one, run("four", "multilabel", ("a,b", "x", "ä; d"), one.answered))[0] == "names"


def test_a_run_beside_itself_is_refused(trained, tmp_path) -> None:
    _, runs = trained
    again = runs[0].folder / ".." / runs[0].folder.name
    with pytest.raises(InputError, match=r"epochs-1 is named twice; name runs that differ"):
        striate.report([runs[0], runs[1], again], out=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
