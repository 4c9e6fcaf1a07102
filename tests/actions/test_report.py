"""`striate report`: the page of a run made anew, and one page for several runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import striate
from striate.errors import InputError

SETTINGS = {"network": "lenet5", "device": "cpu", "threads": 1, "batch_size": 16, "precision": "float32"}


class Heard(striate.Observer):
    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)


@pytest.fixture(scope="module")
def source(pictures, tmp_path_factory) -> Path:
    """A copy, since a test takes it away."""
    return Path(shutil.copytree(pictures, tmp_path_factory.mktemp("report") / "patterns"))


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory) -> list[striate.Run]:
    """One and two epochs, the same pictures and splits."""
    place = tmp_path_factory.mktemp("runs")
    return [
        striate.train(source, out=place / f"epochs-{epochs}", epochs=epochs, seed=1, **SETTINGS) for epochs in (1, 2)
    ]


@pytest.fixture
def copies(trained, tmp_path) -> list[striate.Run]:
    return [striate.Run(Path(shutil.copytree(run.folder, tmp_path / run.folder.name))) for run in trained]


def test_the_page_made_anew_is_the_page_that_training_wrote(trained):
    run = trained[1]
    before = run.report.read_bytes()
    assert before.count(b"<img") > 5  # pictures are on it
    run.report.unlink()
    assert not run.finished
    heard = Heard()
    assert striate.report(run, observer=heard) == run.report
    assert run.report.read_bytes() == before
    assert run.finished
    assert heard.warned == []


def test_where_the_pictures_are_gone_the_rest_is_made_and_it_is_said(copies, source, tmp_path):
    run = copies[0]
    recipe = run.folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(source), str(tmp_path / "gone")))
    heard = Heard()
    striate.report(run, observer=heard)
    page = run.report.read_text()
    assert "<img" not in page
    assert "no such file or folder" in heard.warned[0]
    kept = run.metrics["page"]
    number = len(kept["mistakes"]) + len(kept["unsure"])
    assert f"{number:,} pictures that belong on the page are not there any more" in heard.warned[1]
    assert f"{number:,} of the pictures that belong on this page were not there any more" in page
    if kept["mistakes"]:
        assert "There is none" not in page
    accuracy = run.metrics["test"]["accuracy"]["value"]
    assert f"{100 * accuracy:.1f}" in page


def test_a_page_beside_the_run_leaves_the_runs_own(copies, tmp_path):
    run = copies[0]
    before = run.report.read_bytes()
    place = tmp_path / "page.html"
    assert striate.report(run, out=place) == place
    assert striate.report(run, out=place) == place  # ours, so that it may be replaced
    assert run.report.read_bytes() == before
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(InputError, match=r"mine.html is there and is no page of striate report"):
        striate.report(run, out=tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_two_runs_side_by_side(copies, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = striate.report(copies)
    assert place == Path("comparison.html")
    assert striate.report(copies) == Path("comparison-2.html")
    page = place.read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for run in copies:
        accuracy = run.metrics["test"]["accuracy"]
        assert str(run) in text
        assert f"{100 * accuracy['value']:.1f}" in text
        assert f"{100 * accuracy['low']:.1f}" in text
    assert "tested on the same pictures" in text
    values = [run.metrics["test"]["accuracy"]["value"] for run in copies]
    best = copies[values.index(max(values))]
    assert text.index(str(best)) <= min(text.index(str(run)) for run in copies)
    # A run of one epoch is a point, one of two a line, in each drawing.
    charts = page.count("<svg viewBox")
    assert charts == 3
    assert page.count('class="line run') == page.count('class="dot run') == charts
    for outside in ("http://", "https://", "<script"):
        assert outside not in page


def test_runs_that_were_tested_on_other_pictures_are_said_to_be(copies, make_pictures, tmp_path):
    other = striate.train(make_pictures(tmp_path / "few", count=12, seed=3), out=tmp_path / "o", epochs=1, **SETTINGS)
    page = striate.report([copies[0], other], out=tmp_path / "page.html").read_text()
    assert "not all tested on the same pictures" in page


def test_what_has_no_results_is_refused(copies, tmp_path):
    with pytest.raises(InputError, match="there is no such run"):
        striate.report(tmp_path / "nowhere")
    further = copies[0]
    # As a run is that was asked to go further and was stopped.
    recipe = further.folder / "recipe.toml"
    text = recipe.read_text()
    steps = int(re.search(r"^steps = (\d+)$", text, re.MULTILINE)[1])  # type: ignore[index]
    recipe.write_text(text.replace(f"\nsteps = {steps}\n", f"\nsteps = {3 * steps}\n"))
    further.report.unlink()
    with pytest.raises(InputError, match="has not come to its end"):
        striate.report(further)
    assert not further.report.exists()
    (copies[1].folder / "metrics.json").unlink()
    with pytest.raises(InputError, match="has not come to its end"):
        striate.report(copies)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("page",), None),
        (("page",), {"title": 3}),
        (("page", "mistakes"), [{"name": "x"}]),
        (("page", "counts"), {"train": [1]}),
        (("page", "unsure"), [{"name": "x", "target": "y", "top": [["a", "high"]]}]),
        (("test",), {"accuracy": 1}),
        (("test", "class_names"), ["a", "b"]),
        (("test", "by_class"), []),
        (("left_out",), [{"path": 3}]),
        (("equal_pictures",), {"inside": [[{"path": None}]]}),
        (("best_epoch",), "first"),
        (("counts",), []),
    ],
)
def test_a_broken_or_hostile_run_is_one_sentence(copies, path, value):
    place = copies[0].folder / "metrics.json"
    metrics = json.loads(place.read_text())
    part = metrics
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    place.write_text(json.dumps(metrics))
    before = copies[0].report.read_bytes()
    with pytest.raises(InputError):
        striate.report(copies[0])
    assert copies[0].report.read_bytes() == before


def test_a_history_that_is_none_is_one_sentence(copies):
    (copies[0].folder / "history.csv").write_text("epoch,loss\n1,high,3\n")
    with pytest.raises(InputError, match=r"history.csv: cannot be read"):
        striate.report(copies[0])
