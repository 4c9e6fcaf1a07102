"""The model card: front matter that the Hub reads, figures as given, names that stay names."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from striate.models.card import CardFacts, markdown, model_card

FACTS = CardFacts(
    title="insects",
    source="photos/insects",
    network="small-conv",
    class_names=("ant", "bee"),
    counts={"train": 100, "validation": 20, "test": 40},
    command="striate train photos/insects --seed 7",
    pretrained=True,
    input_size=(3, 64, 64),
    evaluation={
        "n": 40,
        "accuracy": {"value": 0.95, "low": 0.835, "high": 0.986, "n": 40},
        "auroc": None,
        "log_loss": {"value": float("nan"), "low": 0.1, "high": 0.2, "n": 40},
        "brier": {"value": 0.0712, "low": 0.05, "high": 0.09, "n": 40},
    },
    summary=("A small network learned 2 classes.",),
    trust=("Only 40 test pictures.",),
    left_out=3,
    versions={"torch": "2.5.1"},
)
HOSTILE = 'x"\n---\nlicense: mit # \\ \udcff\x00\u2028 \U0001f98a'


def front(card: str) -> dict[str, Any]:
    start, matter, _ = card.split("---\n", 2)
    assert start == ""
    loaded: dict[str, Any] = yaml.safe_load(matter)
    return loaded


def test_front_matter_holds_the_figures() -> None:
    matter = front(model_card(FACTS))
    assert matter["library_name"] == "striate"
    assert matter["pipeline_tag"] == "image-classification"
    assert "license" not in matter
    (result,) = matter["model-index"][0]["results"]
    assert result["dataset"] == {"type": "imagefolder", "name": "photos/insects", "split": "test"}
    assert [(one["type"], one["value"]) for one in result["metrics"]] == [("accuracy", 0.95), ("brier_score", 0.0712)]
    assert result["metrics"][0]["name"] == "Accuracy (95 % interval 83.5–98.6 %)"
    assert front(model_card(dataclasses.replace(FACTS, license="cc-by-4.0")))["license"] == "cc-by-4.0"


def test_rows_of_a_table_are_tabular_on_the_hub() -> None:
    for task, kind in (("classification", "tabular-classification"), ("regression", "tabular-regression")):
        evaluation = {"n": 40, "accuracy": {"value": 0.9}, "mae": {"value": 2.0}, "r2": {"value": 0.5}}
        matter = front(model_card(dataclasses.replace(FACTS, task=task, fields=("a", "b"), evaluation=evaluation)))
        assert matter["pipeline_tag"] == kind
        assert kind in matter["tags"]
        (result,) = matter["model-index"][0]["results"]
        assert result["task"]["type"] == kind
        assert result["dataset"]["type"] == "tabular"
    assert [one["type"] for one in result["metrics"]] == ["r_squared", "mae"]  # what stands for the task is first
    assert "pipeline_tag" not in front(model_card(dataclasses.replace(FACTS, task="regression")))


def test_the_hub_library_reads_it() -> None:
    hub = pytest.importorskip("huggingface_hub")
    results = hub.ModelCard(model_card(FACTS)).data.eval_results
    assert [(one.metric_type, one.metric_value) for one in results] == [("accuracy", 0.95), ("brier_score", 0.0712)]


def test_a_person_finds_what_there_is_to_know() -> None:
    card = model_card(FACTS)
    for part in (
        "| Accuracy | 95.0 % | 83.5–98.6 % |",
        "On 40 test pictures:",
        "- Only 40 test pictures.",
        "The classes: ant, bee.",
        "160 pictures from photos/insects: 100 train, 20 validation, 40 test. 3 could not be used",
        "striate train photos/insects --seed 7",
        'model = striate.load(".")',
        "(3 × 64 × 64)",
        "trained on other pictures",
    ):
        assert part in card, part
    assert "Nothing was held out" in model_card(dataclasses.replace(FACTS, evaluation=None))
    assert "model-index" not in front(model_card(dataclasses.replace(FACTS, evaluation=None)))


def test_hostile_names_stay_names() -> None:
    card = model_card(
        dataclasses.replace(
            FACTS,
            title=HOSTILE,
            source=HOSTILE,
            split=HOSTILE,
            class_names=("<script>alert(1)</script>", "a|b", HOSTILE),
            command="striate train '```'\n```\n# gone",
        )
    )
    card.encode("utf-8")
    matter = front(card)
    assert "license" not in matter
    name = matter["model-index"][0]["name"]
    assert name == 'x"\n---\nlicense: mit # \\ \\xff\\x00\\u2028 \U0001f98a'
    assert "<script" not in card
    assert "a\\|b" in card
    # The fence is longer than any in the command, so the command cannot end it.
    assert "````bash\nstriate train '```'\n```\n# gone\n````\n" in card
    assert (
        len([line for line in card.splitlines() if line.startswith("# ")]) == 2
    )  # the title, and the one in the fence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ant 3.5", "ant 3.5"),
        ("*a* _b_ `c`", r"\*a\* \_b\_ \`c\`"),
        ("[x](y)", r"\[x\]\(y\)"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("1. first", r"1\. first"),
        ("- item", r"\- item"),
        ("---", r"\---"),
        ("https://x.org", r"https\://x.org"),
        ("www.x.org", r"www\.x.org"),
        ("@someone", r"\@someone"),
        ("two\n\n# lines", r"two \# lines"),
        ("naïve 🦊 שלום", "naïve 🦊 שלום"),
    ],
)
def test_markdown_shows_the_text_itself(text: str, expected: str) -> None:
    assert markdown(text) == expected
