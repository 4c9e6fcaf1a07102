"""The pages: whole, closed to the outside, and every name on them is text."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explained import drawing, explanation, method
from PIL import Image

from striate.data.contact_sheet import Thumbnail
from striate.data.sources import open_dataset
from striate.data.survey import survey
from striate.evaluation.evaluation import evaluate_classification
from striate.reports.certainty import reliability
from striate.reports.explanation import Drawn, Share, Side, Turning, explanation_page
from striate.reports.pages import Augmented, inspect_page, training_report
from striate.reports.thumbnails import thumbnail
from striate.reports.training_report import Answer, Mistake, Neighbour, TrainingReport

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title>{{ 7*7 }}{% raw %}",
    "שלום עולם",
    "🦊 fox 👩‍👩‍👧",
    "\udcff\udcfe bytes",
    "nul\x00 and \ud800",
    "a very long name, " * 40,
    "exe\u202egpj.x",
    "",
)


class Page(HTMLParser):
    """What a browser would see: tags in balance, texts, attributes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def ids(self) -> set[str]:
        return {attributes["id"] for _, attributes in self.tags if "id" in attributes}


def picture(side: int = 32) -> bytes:
    return thumbnail(np.random.default_rng(side).integers(0, 255, (side, side, 3), dtype=np.uint8))


@functools.cache
def evaluation(num_classes: int, n: int = 200, seed: int = 0, names: tuple[str, ...] | None = None) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, num_classes, n)
    outputs = rng.normal(size=(n, num_classes))
    outputs[np.arange(n), targets] += 2.5
    probabilities = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    names = names or tuple(f"class {k}" for k in range(num_classes))
    return evaluate_classification(probabilities, targets, names).to_json()


def report(names: tuple[str, ...] = ("ant", "bee", "wasp"), **changes: Any) -> TrainingReport:
    mistake = Mistake(
        picture=picture(80),
        name=f"test/{names[0]}/1.png",
        target=names[0],
        prediction=names[1],
        probability=0.987,
        neighbours=tuple(
            Neighbour(picture=picture(), name=f"train/{k}.png", label=names[1], distance=0.25) for k in range(3)
        ),
    )
    values: dict[str, Any] = {
        "title": "insects",
        "source": "photos/insects",
        "created": "2026-05-04 10:00 UTC",
        "command": "striate train photos/insects --seed 7",
        "class_names": names,
        "summary": ("A small network learned 3 classes.",),
        "trust": ("Only 200 test pictures.", "2 of them are in training."),
        "evaluation": evaluation(len(names), names=names),
        "history": [
            {"epoch": e, "loss": 2 / e, "validation_loss": 2.2 / e, "validation_accuracy": 1 - 0.5 / e,
             "learning_rate": 0.1 / e, "update_ratio": 1e-3 / e, "seconds": 1.5}
            for e in range(1, 9)
        ],
        "best_epoch": 6,
        "counts": {"train": [500] * len(names), "validation": [31] * len(names), "test": [66] * len(names)},
        "mistakes": (mistake,),
        "unsure": (
            Answer(picture=picture(), name="u.png", target=names[0], top=((names[1], 0.41), (names[0], 0.39))),
        ),
        "found": 1000,
        "used": 997,
        "left_out": [("a/broken.jpg", "the file ends too early"), ("b.png", "empty"), ("c.png", "empty")],
        "duplicates": [["train/x.png", "train/y.png"]],
        "leaks": [["train/l.png", "test/m.png"]],
        "recipe": {"epochs": 8, "optimizer": {"name": "sgd", "momentum": 0.9}, "minutes": None},
        "resolved": {"device": "cpu", "threads": 2},
        "reasons": ("Small pictures: a small network.",),
        "machine": {"processor": "two cores"},
        "versions": {"striate": "0.1.0", "torch": "2.5"},
        "times": {"training": 83.0},
    }  # fmt: skip
    return TrainingReport(**{**values, **changes})


SURVEY: dict[str, Any] = {
    "source": "photos/insects",
    "class_names": ["ant", "bee"],
    "counts": {"train": [100, 12], "test": [20, 4]},
    "left_out": [("x.png", "empty")],
}


def pages() -> dict[str, str]:
    augmented = Augmented(name="a.png", label="ant", picture=picture(), drawn=(picture(40), picture(41)))
    return {
        "report": training_report(report()),
        "hostile": training_report(hostile()),
        "empty": training_report(TrainingReport(title="", source="", created="", command="", class_names=())),
        "inspect": inspect_page(SURVEY, [Thumbnail(name="a.png", label="ant", picture=picture())], [augmented]),
        "inspect nothing": inspect_page({}),
        "explanation": explanation_page(explanation()),
        "explanation of a mistake": explanation_page(explanation("bee", "ant")),
        "explanation hostile": explanation_page(hostile_explanation()),
        "inspect hostile": inspect_page(
            {
                "source": HOSTILE[0],
                "class_names": list(HOSTILE),
                "counts": {HOSTILE[1]: [1] * len(HOSTILE)},
                "left_out": [(name, name) for name in HOSTILE],
                "leaks": [HOSTILE],
                HOSTILE[2]: {HOSTILE[0]: HOSTILE[1]},
            },
            [Thumbnail(name=name, label=name, picture=picture()) for name in HOSTILE],
        ),
    }


def hostile_explanation() -> Any:
    one, other = HOSTILE[0], HOSTILE[1]
    strange = dict.fromkeys(("title", "network", "created", "command", "seen_words"), HOSTILE[2] + HOSTILE[5])
    drawn = tuple(Drawn(class_name=name, over=drawing(), alone=drawing()) for name in (one, other))
    texts = dict.fromkeys(("title", "answers", "misleads", "cost", "paper", "layer"), HOSTILE[2])
    return explanation(
        one,
        other,
        **strange,
        notes=HOSTILE,
        reasons=HOSTILE,
        shares=tuple(Share(name=name, probability=0.1) for name in HOSTILE),
        methods=(method("m", (one, other), drawn=drawn, **texts),),
        left_out=[(name, name) for name in HOSTILE],
        turning=Turning(picture=None, sentence=HOSTILE[1]),
        sides=tuple(
            Side(
                class_name=name,
                role="the label",
                neighbours=(Neighbour(picture=picture(), name=name, label=name, distance=0.5),),
            )
            for name in HOSTILE
        ),
        settings=dict(zip(HOSTILE, HOSTILE, strict=True)),
        files=[(name, name) for name in HOSTILE],
    )


def hostile() -> TrainingReport:
    plain = report(HOSTILE)
    changed: dict[str, Any] = {
        name: HOSTILE[position % 3] + HOSTILE[5]
        for position, name in enumerate(("title", "source", "created", "command"))
    }
    return dataclasses.replace(
        plain,
        **changed,
        summary=HOSTILE,
        trust=HOSTILE,
        reasons=HOSTILE,
        mistakes=tuple(dataclasses.replace(plain.mistakes[0], name=n, target=n, prediction=n) for n in HOSTILE),
        unsure=tuple(dataclasses.replace(plain.unsure[0], name=n, target=n, top=((n, 0.3),)) for n in HOSTILE),
        left_out=[(name, name) for name in HOSTILE],
        leaks=[HOSTILE],
        duplicates=[HOSTILE],
        recipe=dict(zip(HOSTILE, HOSTILE, strict=True)),
        resolved={HOSTILE[0]: {HOSTILE[1]: HOSTILE}},
        machine={HOSTILE[0]: HOSTILE[1]},
        versions={HOSTILE[0]: HOSTILE[1]},
        history=[{"epoch": 1, HOSTILE[0]: 1.0, "phase": HOSTILE[1]}, {"epoch": 2, "validation_" + HOSTILE[0]: 0.5}],
        counts={HOSTILE[0]: [1] * len(HOSTILE), HOSTILE[1]: [2] * len(HOSTILE)},
    )


ALL = pages()


def test_page_of_a_real_survey(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, number in (("ant", 12), ("bee", 8)):
        (tmp_path / name).mkdir()
        for k in range(number):
            Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(tmp_path / name / f"{k}.png")
    (tmp_path / "bee" / "7.png").write_bytes((tmp_path / "ant" / "3.png").read_bytes())
    (tmp_path / "ant" / "broken.png").write_bytes(b"")
    found, thumbnails, _ = survey(open_dataset(tmp_path), threads=1)
    html = inspect_page(found.to_json(), thumbnails)
    page = Page(html)
    assert "20 pictures of 2 classes" in page.text
    assert re.search(r"21 found = 20 usable \+ 1 not", page.text)
    assert re.search(r"ant/3.png = bee/7.png", page.text)
    assert "one of them must be wrong" in page.text
    assert len([tag for tag, _ in page.tags if tag == "img"]) == len(thumbnails) >= 15
    assert "width 24 24 24 height 20 20 20" in page.text
    assert "All other numbers" not in page.text  # each has its place


@pytest.mark.parametrize("name", ALL)
def test_page_is_closed_to_the_outside(name: str) -> None:
    html = ALL[name]
    html.encode("utf-8")  # no lone surrogate is left
    assert "\x00" not in html
    page = Page(html)
    policies = [a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv")]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    known = {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "video",
        "audio",
        "use",
        "image",
        "foreignobject",
    }
    assert not known & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [key for key in attributes if key.startswith("on")]
        if tag == "img":
            assert attributes["src"].startswith("data:image/")
            assert "alt" in attributes
        elif tag == "a":
            assert attributes["href"].removeprefix("#") in page.ids()
        else:
            assert not {"src", "href", "srcset", "xlink:href"} & set(attributes)
    assert "url(" not in html
    assert "@import" not in html


@pytest.mark.parametrize("name", ALL)
def test_page_is_ordered_for_those_who_hear_it(name: str) -> None:
    page = Page(ALL[name])
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    # No level is skipped downwards.
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert ("html", {"lang": "en"}) in page.tags
    assert [tag for tag, _ in page.tags].count("main") == 1
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes["aria-label"]
        if tag == "section":
            assert attributes["aria-labelledby"] in page.ids()
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_hostile_names_are_shown_as_text() -> None:
    for name in ("hostile", "inspect hostile"):
        text = Page(ALL[name]).text
        for shown in ("<script>alert(1)</script>", "{{ 7*7 }}", "שלום עולם", "🦊 fox", r"\xff\xfe bytes", r"nul\x00"):
            assert shown in text, shown
        assert "\u202e" not in ALL[name]
        assert r"exe\u202egpj" in text


def test_the_answer_comes_first_and_is_the_one_that_was_given() -> None:
    given = report()
    assert given.evaluation is not None
    accuracy = given.evaluation["accuracy"]
    text = Page(ALL["report"]).text
    first = text.index(f"{100 * accuracy['value']:.1f}\xa0%".replace("\xa0", " "))
    assert (
        f"of 200 test pictures right 95 % interval {100 * accuracy['low']:.1f}–{100 * accuracy['high']:.1f} %" in text
    )
    for later in (*given.summary, *given.trust, "How it learned", "What is taken for what", given.command):
        assert text.index(later) > first


def test_every_section_of_the_report_is_there() -> None:
    assert {
        "learning", "confusion", "classes", "mistakes", "unsure", "reliability", "data", "left-out", "recipe",
    } <= Page(ALL["report"]).ids()  # fmt: skip
    text = Page(ALL["report"]).text
    assert re.search(r"1,000 found = 997 used \+ 3 left out", text)
    assert "optimizer.momentum 0.9" in text
    assert "a/broken.jpg the file ends too early" in text
    assert "train/l.png = test/m.png" in text
    assert "1 min 23 s" in text
    # Its neighbours carry the answer's class, so the label is doubted.
    assert "Its neighbours are mostly bee : check the label." in text


def test_matrix_and_class_table_hold_the_numbers_of_the_evaluation() -> None:
    given = report()
    assert given.evaluation is not None
    cells = {(t, p): n for t, p, n in given.evaluation["confusion"]}
    table = ALL["report"].split('class="matrix')[1].split("</table>")[0]
    body = [re.findall(r"<td[^>]*>(\d*)</td>", row) for row in table.split("<tbody>")[1].split("</tr>")[:3]]
    assert [[int(one or 0) for one in row] for row in body] == [
        [cells.get((t, p), 0) for p in range(3)] for t in range(3)
    ]
    rows = ALL["report"].split('id="classes"')[1].split("</section>")[0].split("<tbody>")[1].split("</tr>")[:3]
    shown = [re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", row)).strip() for row in rows]
    expected = sorted(given.evaluation["by_class"], key=lambda one: one["f1"]["value"])
    for row, one in zip(shown, expected, strict=True):
        assert row.startswith(
            f"{one['name']} {one['count']} {100 * one['precision']['value']:.1f}\xa0%".replace("\xa0", " ")
        )
        assert f"{100 * one['f1']['low']:.1f}–{100 * one['f1']['high']:.1f}" in row


def test_a_thousand_classes_stay_under_ten_megabytes() -> None:
    names = tuple(f"class {k} " + "x" * 60 for k in range(1000))
    one = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 50}
    many = {
        "n": 50_000,
        "accuracy": one,
        "by_class": [
            {"name": n, "count": 50, "predicted": 50, "precision": one, "recall": one, "f1": one} for n in names
        ],
        "confusion": [[k, (k * 7) % 1000, 50] for k in range(1000)] + [[3, 4, 77]],
        "bins": [],
    }
    large = np.random.default_rng(0).integers(0, 255, (700, 700, 3), dtype=np.uint8)
    code = io.BytesIO()
    Image.fromarray(large).save(code, "PNG")
    base = report(names)
    html = training_report(
        dataclasses.replace(
            base,
            evaluation=many,
            left_out=[(f"folder/{k}.png", "empty") for k in range(100_000)],
            mistakes=(dataclasses.replace(base.mistakes[0], picture=code.getvalue()),) * 24,
            unsure=base.unsure * 24,
            duplicates=[[f"{k}" * 20 for k in range(100)]] * 5000,
            history=[{"epoch": e, "loss": 1 / e, "validation_loss": float("nan")} for e in range(1, 20_001)],
        )
    )
    assert len(html.encode()) < 10_000_000
    page = Page(html)
    # The most frequent confusion heads the list; the names that do not fit are counted.
    assert "77 of 127" in page.text
    assert "and 99,500 more" in page.text


@pytest.mark.parametrize(
    "changes",
    [
        {"mistakes": ()},
        {"mistakes": (), "unsure": (), "left_out": (), "leaks": (), "duplicates": ()},
        {"history": []},
        {"history": [{"epoch": 1, "loss": 0.5}]},
        {"history": [{"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": float("inf")}]},
        {"evaluation": None, "mistakes": (), "unsure": ()},
        {"split": "validation"},
        {"counts": {}, "found": None, "used": None},
        {"best_epoch": None},
    ],
)
def test_report_with_a_part_missing(changes: dict[str, Any]) -> None:
    text = Page(training_report(report(**changes))).text
    assert "nan" not in text.lower()
    assert not re.search(r"\bNone\b(?! was replaced)", text)
    if changes.get("mistakes") == () and "evaluation" not in changes:
        assert "There is none: every test picture was answered as it is labelled." in text
    if "evaluation" in changes:
        assert "Trained; not yet tested" in text
    if changes.get("split"):
        assert "of 200 validation pictures right" in text
    if changes.get("left_out") == ():
        assert "Nothing: every picture that was found was used." in text


def test_numbers_that_are_none_are_a_dash() -> None:
    broken = {"value": float("nan"), "low": None, "high": float("inf")}
    two = {
        "n": 10,
        "accuracy": {"value": 0.5, "low": float("nan"), "high": None},
        "auroc": broken,
        "by_class": [
            {"name": n, "count": 5, "predicted": 0, "precision": None, "recall": broken, "f1": None} for n in "ab"
        ],
        "confusion": [[0, 0, 5], [1, 0, 5]],
        "bins": [{"low": 0.0, "high": 0.5, "count": 0, "confidence": None, "accuracy": None}],
    }
    page = Page(training_report(report(("a", "b"), evaluation=two, mistakes=(), unsure=())))
    assert "AUROC –" in page.text
    assert "a 5 – – –" in page.text
    assert "nan" not in page.text.lower()
    assert "reliability" not in page.ids()


def test_curves_are_those_of_a_history() -> None:
    history = [
        {
            "epoch": e,
            "step": 10 * e,
            "learning_rate": 0.1,
            "loss": 2 / e,
            **({"validation_log_loss": 2.5 / e, "validation_accuracy": 1 - 0.9 / e} if e % 2 == 0 else {}),
            "update_ratio:stem": 1e-3,
            "update_ratio:<head>": 1e-2 / e,
            "seconds": 3.5 * e,
        }
        for e in range(1, 7)
    ]
    page = Page(training_report(report(history=history, best_epoch=4)))
    spoken = [a["aria-label"] for tag, a in page.tags if tag == "svg" and " by epoch" in a.get("aria-label", "")]
    assert len(spoken) == 4
    assert spoken[0] == "Loss by epoch: training from 2.00 to 0.333; validation from 1.25 to 0.417"
    assert spoken[1] == "Accuracy by epoch: validation from 55.0\xa0% to 85.0\xa0%"
    assert "middle layer from 0.00550 to 0.00133" in spoken[3]
    assert "<head> 0.0100 0.00250 0.00167" in page.text
    assert "update ratio:" not in page.text.replace(
        "update_ratio", "update ratio"
    )  # one column a layer would be too many
    assert "The vertical line is epoch 4" in page.text


def test_without_a_mistake_no_interval_of_no_width_is_claimed() -> None:
    targets = np.arange(30) % 3
    given = evaluate_classification(np.eye(3)[targets] * 0.97 + 0.01, targets, ("a", "b", "c")).to_json()
    assert given["balanced_accuracy"] == {"value": 1, "low": None, "high": None, "n": 30}
    assert "every answer is right" in given["notes"][0]
    text = Page(training_report(report(("a", "b", "c"), evaluation=given, mistakes=()))).text
    assert "95 % interval 88.6–100.0 %" in text  # Wilson's has a width
    assert "100.0–100.0" not in text


def test_pictures_are_in_the_page_bit_for_bit() -> None:
    given = report()
    sources = [attributes["src"] for tag, attributes in Page(ALL["report"]).tags if tag == "img"]
    held = {base64.b64decode(source.split(",")[1]) for source in sources}
    assert {given.mistakes[0].picture, given.unsure[0].picture} <= held
    assert any(attributes.get("class") == "pixel" for tag, attributes in Page(ALL["report"]).tags if tag == "img")
    with pytest.raises(ValueError, match="PNG or JPEG"):
        training_report(report(unsure=(dataclasses.replace(given.unsure[0], picture=b"<svg onload=x>"),)))


def test_a_cell_beyond_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond its 2 classes"):
        training_report(report(("a", "b"), evaluation={"n": 1, "confusion": [[0, 2, 1]]}))


def test_survey_is_told_with_what_stands_in_the_way() -> None:
    page = Page(ALL["inspect"])
    assert {"classes", "sheet", "augmented", "files", "equal", "left-out"} <= page.ids()
    assert re.search("136 pictures of 2 classes", page.text)
    assert re.search(r"137 found = 136 usable \+ 1 not", page.text)
    assert "16 pictures of “bee”, 120 of “ant”" in page.text
    assert "x.png empty" in page.text
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 4
    assert "Nothing stands in the way" in Page(inspect_page({"counts": {"": [50]}, "class_names": ["a"]})).text


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.40, 0.90, "chance alone can make of 40 pictures"), (0.62, 0.78, "10.0 points too sure of itself")],
)
def test_certainty_is_called_wrong_only_beyond_what_chance_can_make(low: float, high: float, said: str) -> None:
    bins = [{"low": 0.7, "high": 0.9, "count": 40, "confidence": 0.8, "accuracy": {"value": 0.7, "low": 0, "high": 1}}]
    found = reliability({"accuracy": {"value": 0.7, "low": low, "high": high}, "bins": bins})
    assert found is not None
    assert said in found.sentence.replace("\u00a0", " ")
