"""What notebooks show: whole fragments of HTML, closed to the outside, every name on them text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_pages import HOSTILE, Page

import striate
from striate.actions.show_batch import ShownBatch
from striate.data.batches import Batch
from striate.data.samples import TRAIN, Samples
from striate.models.run import Run
from striate.reports.notebook import Fragment, figures_of, fragment
from striate.reports.thumbnails import thumbnail
from striate.shown import as_html

CLASSES = (*HOSTILE[:4], "plain")


class Nothing:
    """Pictures that nobody may load: a table is shown without them."""

    def load(self, index: int) -> bytes:
        raise AssertionError("a picture was loaded")


def table(targets: np.ndarray, names: tuple[str, ...], task: str = "classification") -> Samples:
    return Samples(
        source=HOSTILE[1],
        how=HOSTILE[0],
        pictures=Nothing(),
        index=np.arange(len(targets)),
        names=tuple(f"{number}.png" for number in range(len(targets))),
        targets=targets,
        class_names=names,
        splits=np.array([TRAIN if number % 3 else "test" for number in range(len(targets))]),
        task=task,
    )


def closed(html: str) -> Page:
    """The fragment as a browser would see it; fails where it is not whole, or reaches out."""
    html.encode("utf-8")
    page = Page(html)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "a", "html", "body"}
    for tag, attributes in page.tags:
        assert not [key for key in attributes if key.startswith("on")]
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert tag != "img" or attributes["alt"]
    assert "url(" not in html
    assert "@import" not in html
    return page


def test_samples_are_counted_and_not_loaded() -> None:
    page = closed(table(np.arange(30) % 5, CLASSES)._repr_html_())
    for name in CLASSES[:2]:
        assert name in page.text
    assert "30 pictures" in page.text
    assert "class train test" in page.text
    assert f"plain {20 // 5} {10 // 5}" in page.text


def test_of_many_classes_the_first_are_shown_and_the_rest_is_counted() -> None:
    page = closed(table(np.arange(96) % 32, tuple(f"class {k}" for k in range(32)))._repr_html_())
    assert "class 19 2 1" in page.text
    assert "class 20" not in page.text
    assert "and 12 more 24 12" in page.text


def test_samples_of_labels_and_of_numbers() -> None:
    labels = np.eye(3, dtype=np.float32)[np.arange(12) % 3]
    labels[:, 2] = 1
    page = closed(table(labels, ("a", "b", "c"), "multilabel")._repr_html_())
    assert "label train test a 0 4 b 4 0 c 8 4" in page.text
    numbers = np.array([[0, 5], [10, 5], [np.nan, np.nan], [20, 5]], dtype=np.float32)
    page = closed(table(numbers, ("angle", HOSTILE[0]), "regression")._repr_html_())
    assert "angle 0 10.0 20.0" in page.text
    assert f"{HOSTILE[0]} 5.00 5.00 5.00" in page.text


def test_a_batch_is_a_sheet_of_its_pictures_with_their_targets() -> None:
    pictures = torch.arange(40 * 3 * 6 * 6, dtype=torch.uint8).reshape(40, 3, 6, 6)
    rows = np.arange(100, 140)
    batch = Batch(pictures=pictures, targets=torch.arange(40) % 7, rows=rows, weights=None)
    html = batch._repr_html_()
    page = closed(html)
    assert "a batch of 40 pictures, 3x6x6 each" in page.text
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 32
    assert "row 104: 4" in page.text
    fifth = thumbnail(pictures[4].permute(1, 2, 0).numpy(), side=112)
    expected = fragment(Fragment(title="t", pictures=((fifth, "w"),)))
    (source,) = [attributes["src"] for tag, attributes in Page(expected).tags if tag == "img"]
    assert source in html
    shares = torch.zeros(40, 7)
    shares[:, 2], shares[:, 5] = 0.25, 0.75
    mixed = Batch(pictures=pictures.float() / 2, targets=shares, rows=rows, weights=None)
    assert "row 104: 5 (0.750)" in closed(mixed._repr_html_()).text
    few = Batch(pictures=pictures[:, :1], targets=shares[:, 4:6], rows=rows, weights=None)
    assert "row 104: 0, 0.750" in closed(few._repr_html_()).text
    masks = Batch(pictures=pictures, targets=torch.zeros(40, 6, 6), rows=rows, weights=None)
    assert "row 104: 6x6" in closed(masks._repr_html_()).text


def test_figures_are_called_as_in_the_report() -> None:
    def called(task: str, *names: str) -> list[str]:
        figures = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in names}
        return [row[0] for row in figures_of({"task": task, **figures})[1:]]

    assert called("multilabel", "mean_average_precision", "macro_f1", "label_accuracy") == [
        *("mean average precision", "F1, mean over labels", "labels right"),
    ]
    assert called("regression", "mae", "usual_mae", "r2") == ["mean absolute error", "always the mean", "R²"]
    assert called("classification", "ece", "auroc", "macro_f1") == ["calibration error", "AUROC", "F1"]


def test_a_run_shows_its_figures_with_their_intervals(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    labels = np.array(["<b>one</b>", "two"])[np.arange(60) % 2]
    place = tmp_path / "<script>run"
    run = striate.train((pictures, labels), out=place, network="linear", epochs=1, threads=1)
    page = closed(run._repr_html_())
    assert "network: linear" in page.text
    assert f"on {run.metrics['test']['n']} test pictures" in page.text
    accuracy = run.metrics["test"]["accuracy"]
    row = (("figure", "value", "95 % interval"), *figures_of({"accuracy": accuracy})[1:])[1]
    assert row[0] == "accuracy"
    assert " ".join(row).strip() in page.text
    assert str(run.report) in page.text
    (place / "report.html").unlink()
    assert "not finished" in closed(run._repr_html_()).text
    (place / "config.json").write_text(json.dumps({"schema": 99}))
    assert "update striate" in closed(as_html(Run(place))).text


def test_a_sheet_of_training_pictures_has_each_with_what_it_is() -> None:
    shown = ShownBatch(
        source=HOSTILE[1],
        pictures=np.zeros((len(HOSTILE), 8, 9, 1), dtype=np.uint8),
        names=tuple(f"{number}.png" for number in range(len(HOSTILE))),
        targets=HOSTILE,
        varied=HOSTILE[2],
    )
    page = closed(shown._repr_html_())
    assert len([tag for tag, _ in page.tags if tag == "img"]) == len(HOSTILE)
    for name in HOSTILE[:4]:
        assert name in page.text
    assert f"{len(HOSTILE) - 1}.png" in page.text  # of which it is not known what it is
    assert "9x8 pixels" in page.text


def test_an_explanation_shows_the_answer_the_probabilities_and_each_map(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    )
    spec = striate.InputSpec(channels=1, height=12, width=12, mean=(0.5,), deviation=(0.25,))
    picture = np.random.default_rng(0).integers(0, 255, (12, 12), dtype=np.uint8)
    names = [HOSTILE[0], HOSTILE[1], "bee"]
    why = striate.explain(
        network,
        picture,
        input_spec=spec,
        class_names=names,
        method="gradient,grad-cam",
        label="bee",
        out=tmp_path / "why",
    )
    page = closed(why._repr_html_())
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 3
    assert f"{why.answer}, but it is bee" in page.text if why.mistaken else "bee, and so it is" in page.text
    for name, probability in zip(names, why.probabilities, strict=True):
        assert f"{name} {100 * probability:.1f}\xa0%".replace("\xa0", " ") in page.text
    assert "Grad-CAM: " in page.text
    assert str(why.page) in page.text


def test_what_cannot_be_shown_is_a_defect() -> None:
    with pytest.raises(TypeError, match="no HTML for int"):
        as_html(3)
