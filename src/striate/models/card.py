"""The model card: `README.md` of a run, as the Hugging Face Hub reads it. Plain values in, Markdown out.

YAML front matter (library, task, figures with their intervals in words; a licence only where one is given, since
nobody but the owner of the pictures can choose it), then what a person who finds the model has to know.
Format: https://huggingface.co/docs/hub/model-cards. Names from outside cannot become markup. Legend: K classes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from striate.evaluation.headlines import HEADLINES
from striate.names import visible
from striate.words import counted

MOST_CLASSES = 200  # class names that are listed by name


def _first(task: str, kind: str) -> dict[str, tuple[str, str, bool]]:
    """What stands for a task comes first. kind: its type on the Hub."""
    headline = HEADLINES[task]
    return {headline.figure: (headline.name[0].upper() + headline.name[1:], kind, headline.share)}


# Figure -> (name for a person, type on the Hub, whether it is a share), by task.
CLASSES = {
    **_first("classification", "accuracy"),
    "top5_accuracy": ("Top-5 accuracy", "top_5_accuracy", True),
    "balanced_accuracy": ("Balanced accuracy", "balanced_accuracy", True),
    "macro_precision": ("Precision, mean over classes", "precision", True),
    "macro_f1": ("F1, mean over classes", "f1", True),
    "auroc": ("AUROC", "roc_auc", False),
    "log_loss": ("Log loss", "log_loss", False),
    "brier": ("Brier score", "brier_score", False),
    "ece": ("Expected calibration error", "expected_calibration_error", True),
    "cross_entropy": ("Cross-entropy to the given shares", "cross_entropy", False),
}
LABELS = {
    **_first("multilabel", "mean_average_precision"),
    "label_accuracy": ("Labels right", "accuracy", True),
    "all_right": ("All labels right", "exact_match", True),
    "micro_f1": ("F1, all answers", "f1", False),
    "macro_f1": ("F1, mean over labels", "f1", False),
    "log_loss": ("Log loss", "log_loss", False),
}
NUMBERS = {
    **_first("regression", "r_squared"),
    "mae": ("Mean absolute error", "mae", False),
    "usual_mae": ("Mean absolute error of always answering the mean", "mae", False),
    "rmse": ("Root mean squared error", "rmse", False),
}
FIGURES = {"classification": CLASSES, "multilabel": LABELS, "regression": NUMBERS}
NO_PIPELINE = "image-regression"  # the Hub has no such task: a tag alone
# As the Hub calls the task.
HUB = {
    "classification": ("image-classification", "Image classification"),
    "multilabel": ("image-classification", "Multi-label image classification"),
    "regression": (NO_PIPELINE, "Image regression"),
}
HUB_OF_ROWS = {
    "classification": ("tabular-classification", "Tabular classification"),
    "multilabel": ("tabular-classification", "Multi-label tabular classification"),
    "regression": ("tabular-regression", "Tabular regression"),
}


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a model card tells.

    task: in `striate.tasks.TASKS`; class_names: of the classes, the labels or the numbers. evaluation: an evaluation's
    `to_json()` (`striate.evaluation`) for `split`, None where nothing was held out. counts: pictures by split name.
    input_size: (channels, height, width). fields: of a row, where the inputs are rows of a table of numbers. summary,
    trust: sentences, as in the report.
    """

    title: str
    source: str
    network: str
    class_names: Sequence[str]
    counts: Mapping[str, int]
    command: str
    task: str = "classification"
    pretrained: bool = False
    input_size: tuple[int, int, int] | None = None
    fields: Sequence[str] = ()
    evaluation: Mapping[str, Any] | None = None
    split: str = "test"
    summary: Sequence[str] = ()
    trust: Sequence[str] = ()
    left_out: int = 0
    license: str | None = None
    created: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a model of a task is for: a sentence, what its names are, and what to print of an answer."""

    purpose: str
    kinds: str
    answer: str


def _of_classes(names: Sequence[str]) -> Use:
    return Use(
        purpose=f"It says which of {len(names):,} classes a picture shows, for pictures like those it learned "
        "from. It always answers with one of them: it cannot say that a picture shows something else.\n",
        kinds="classes",
        answer="answer.name, answer.label, answer.probability",
    )


def _of_labels(names: Sequence[str]) -> Use:
    return Use(
        purpose=f"It says which of {counted(len(names), 'label')} a picture has, any number of them, for pictures like "
        "those it learned from: each label whose probability is above one half. Of anything else it says nothing.\n",
        kinds="labels",
        answer="answer.name, answer.labels, answer.probabilities",
    )


def _of_numbers(names: Sequence[str]) -> Use:
    return Use(
        purpose=f"It estimates {counted(len(names), 'number')} from a picture, in the units of the table that it "
        "learned from, for pictures like those. It always answers, also for a picture of something else.\n",
        kinds="numbers",
        answer="answer.name, answer.numbers",
    )


USES: dict[str, Callable[[Sequence[str]], Use]] = {
    "classification": _of_classes,
    "multilabel": _of_labels,
    "regression": _of_numbers,
}


def model_card(facts: CardFacts) -> str:
    """The card as text that encodes to UTF-8."""
    figures = _figures(facts.evaluation or {}, FIGURES[facts.task])
    use = USES[facts.task](facts.class_names)
    total = _number((facts.evaluation or {}).get("n"))
    asked = "table.csv" if facts.fields else "picture.jpg"
    parts = [
        _front_matter(facts, figures),
        f"# {markdown(facts.title)}\n",
        " ".join(markdown(one) for one in facts.summary) + "\n" if facts.summary else "",
        "## How good it is\n",
        _table(facts, figures, total),
        "".join(f"- {markdown(one)}\n" for one in facts.trust),
        "## What it is for\n",
        use.purpose.replace("picture", "row of a table") if facts.fields else use.purpose,
        _named(use.kinds, facts.class_names),
        "## How to use it\n",
        "With Striate installed, in this folder:\n",
        _code("bash", f"striate predict . {asked}"),
        _code(
            "python",
            'import striate\n\nmodel = striate.load(".")  # the folder of this file\n'
            f'for answer in model.predict(["{asked}"]):\n'
            f"    print({use.answer})",
        ),
        _inputs(facts),
        "## What it learned from\n",
        _data(facts),
        "## Limits\n",
        _limits(facts, total),
        "## How it was made\n",
        _code("bash", facts.command),
        _made(facts),
    ]
    return "\n".join(part for part in parts if part)


def _inputs(facts: CardFacts) -> str:
    """What the model is given."""
    if facts.fields:
        return f"A table needs a column for each of its fields, by name. {_named('fields', facts.fields)}"
    size = f" ({' × '.join(str(side) for side in facts.input_size)})" if facts.input_size else ""
    return f"Any size, colour mode and orientation will do: the model brings a picture to its own size{size}.\n"


def markdown(text: str) -> str:
    r"""The text as Markdown that shows it, on one line: `*a* <b>` -> `\*a\* &lt;b&gt;`."""
    text = " ".join(visible(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Also what would become a link, a mention, a heading, a list or a cell of its own.
    text = re.sub(r"([\\`*_{}\[\]()#|~$^!])", r"\\\1", text)
    text = re.sub(r"(?i)(https?|ftp|mailto)(:)|(www)(\.)|(@)", _unlinked, text)
    return re.sub(r"^(\d*)([-+=.)])(?=\s|$|[-=])", r"\1\\\2", text)  # a list, or the underline of a heading


def _unlinked(found: re.Match[str]) -> str:
    return "".join(f"\\{part}" if part in ":.@" else part for part in found.groups() if part)


def _quoted(text: str) -> str:
    """A YAML string in double quotes."""
    text = visible(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{text}"'


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


@dataclass(frozen=True, kw_only=True)
class _Figure:
    name: str
    kind: str
    value: float
    shown: str
    interval: str


def _figures(evaluation: Mapping[str, Any], known: Mapping[str, tuple[str, str, bool]]) -> list[_Figure]:
    found = []
    for key, (name, kind, share) in known.items():
        given = evaluation.get(key)
        if not isinstance(given, Mapping) or (value := _number(given.get("value"))) is None:
            continue
        low, high = _number(given.get("low")), _number(given.get("high"))
        interval = ""
        if low is not None and high is not None and low < high:  # of no width: resampling found no spread to tell
            to = " to " if low < 0 else "–"
            interval = f"{100 * low:.1f}{to}{100 * high:.1f} %" if share else f"{_decimal(low)}{to}{_decimal(high)}"
        shown = f"{100 * value:.1f} %" if share else _decimal(value)
        found.append(_Figure(name=name, kind=kind, value=value, shown=shown, interval=interval))
    return found


def _decimal(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 0.01 <= abs(value) < 1e4 else f"{value:.4g}"


def _front_matter(facts: CardFacts, figures: Sequence[_Figure]) -> str:
    kind, name = (HUB_OF_ROWS if facts.fields else HUB)[facts.task]
    lines = ["---"]
    if facts.license:
        lines.append(f"license: {_quoted(facts.license)}")
    lines += [
        "library_name: striate",
        *([f"pipeline_tag: {kind}"] if kind != NO_PIPELINE else []),
        "tags:",
        f"- {kind}",
        "- striate",
    ]
    if figures:
        lines += ["model-index:", f"- name: {_quoted(facts.title)}", "  results:", "  - task:"]
        lines += [f"      type: {kind}", f"      name: {name}", "    dataset:"]
        lines += [
            f"      type: {'tabular' if facts.fields else 'imagefolder'}",
            f"      name: {_quoted(facts.source)}",
            f"      split: {_quoted(facts.split)}",
        ]
        lines.append("    metrics:")
        for one in figures:
            told = f"{one.name} (95 % interval {one.interval})" if one.interval else one.name
            lines += [
                f"    - type: {one.kind}",
                f"      value: {round(one.value, 6)!r}",
                f"      name: {_quoted(told)}",
            ]
    return "\n".join([*lines, "---", ""])


def _table(facts: CardFacts, figures: Sequence[_Figure], total: float | None) -> str:
    if not figures:
        return "Nothing was held out, so nothing is known of how good its answers are.\n"
    one = f"{markdown(facts.split)} {'row' if facts.fields else 'picture'}"
    number = counted(round(total), one) if total else f"the {one}s"
    rows = [f"| {one.name} | {one.shown} | {one.interval or '–'} |" for one in figures]
    return "\n".join([f"On {number}:\n", "| figure | value | 95 % interval |", "|---|---:|---:|", *rows, ""])


def _named(kinds: str, names: Sequence[str]) -> str:
    listed = ", ".join(markdown(name) for name in names[:MOST_CLASSES])
    more = f" and {len(names) - MOST_CLASSES:,} more" if len(names) > MOST_CLASSES else ""
    return f"The {kinds}: {listed}{more}.\n"


def _data(facts: CardFacts) -> str:
    used = sum(facts.counts.values())
    splits = ", ".join(f"{number:,} {markdown(split or 'in all')}" for split, number in facts.counts.items())
    left = f" {facts.left_out:,} could not be used and were left out." if facts.left_out else ""
    return f"{used:,} {'rows' if facts.fields else 'pictures'} from {markdown(facts.source)}: {splits}.{left}\n"


def _limits(facts: CardFacts, total: float | None) -> str:
    said = [
        "The figures hold for rows measured in the same way as these: measure on your own with `striate evaluate`."
        if facts.fields
        else "The figures hold for pictures taken in the same way as these. Other cameras, places, seasons or people "
        "can lower them by any amount: measure on your own pictures with `striate evaluate`.",
        "A number comes without a certainty: the report shows how far off such answers were."
        if facts.task == "regression"
        else "A high probability is no proof. The report shows how far its certainty can be believed.",
    ]
    if total is not None and total < 200:
        number = counted(round(total), "row" if facts.fields else "picture")
        said.append(f"It was measured on {number} only; the intervals are wide for that reason.")
    if facts.pretrained:
        said.append("It started from weights that were trained on other pictures, and may carry their biases.")
    if not facts.license:
        said.append(
            f"No licence is named: ask its maker, and mind the rights in the {'data' if facts.fields else 'pictures'}."
        )
    return "".join(f"- {one}\n" for one in said)


def _made(facts: CardFacts) -> str:
    network = markdown(facts.network) + (", from pretrained weights" if facts.pretrained else "")
    versions = ", ".join(f"{markdown(name)} {markdown(version)}" for name, version in facts.versions.items())
    when = f", {markdown(facts.created)}" if facts.created else ""
    return f"Network: {network}{when}." + (f" Versions: {versions}.\n" if versions else "\n")


def _code(language: str, text: str) -> str:
    """A fenced block that its content cannot leave."""
    text = visible(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"
