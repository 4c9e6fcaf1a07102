"""How well a run answers the labelled pictures of a source, each figure with a 95 % interval.

Classes, labels and numbers are matched by name. Without --split the source's test split is
taken, or everything where it has no splits.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from striate.cli.flags import Parser, one_of
from striate.cli.subject_flags import add_subject, subject
from striate.cli.text import decimal_with_interval, has_interval, percent_with_interval, print_json, table
from striate.machine.precision import PRECISIONS
from striate.models.many_views import TTA
from striate.names import on_one_line
from striate.words import counted

# How a figure of an evaluation is called and whether it is a share of pictures, by task.
CLASSES = {
    "accuracy": ("accuracy", True),
    "top5_accuracy": ("top-5 accuracy", True),
    "balanced_accuracy": ("balanced accuracy", True),
    "macro_precision": ("precision, mean over classes", True),
    "macro_f1": ("F1, mean over classes", True),
    "auroc": ("AUROC, mean over classes", True),
    "log_loss": ("log loss", False),
    "brier": ("Brier score", False),
    "ece": ("calibration error (ECE)", True),
    "cross_entropy": ("cross-entropy to the shares", False),
}
LABELS = {
    "mean_average_precision": ("mean average precision", False),
    "label_accuracy": ("labels right", True),
    "all_right": ("all labels right", True),
    "micro_f1": ("F1, all answers", False),
    "macro_f1": ("F1, mean over labels", False),
    "log_loss": ("log loss", False),
}
NUMBERS = {
    "mae": ("mean absolute error", False),
    "usual_mae": ("  of always the mean", False),
    "rmse": ("root mean squared error", False),
    "r2": ("R2", False),
}
FIGURES = {"classification": CLASSES, "multilabel": LABELS, "regression": NUMBERS}
MOST_CLASSES = 40


def add_arguments(parser: Parser) -> None:
    """Flags of `striate evaluate`."""
    add_subject(parser)
    parser.add_argument("source", metavar="SOURCE", help="labelled pictures, in any form that train takes")
    parser.add_argument("--split", metavar="NAME", help="train, validation or test")
    parser.add_argument("--labels", metavar="FILE|folders", help="where the labels are: folders, or a table FILE")
    parser.add_argument("--root", metavar="FOLDER", help="folder of a table's paths, or of a copy of a public set")
    parser.add_argument("--task", metavar="NAME", help="what the targets are: classification, multilabel, regression")
    parser.add_argument("--targets", metavar="COLUMNS", help="columns of a table to learn: building,tree")
    parser.add_argument("--strict", action="store_true", help="refuse a source with pictures that cannot be read")
    parser.add_argument(
        "--precision", type=one_of(PRECISIONS), metavar="NAME", help="number format: float32, bfloat16, auto [float32]"
    )
    parser.add_argument(
        "--tta", type=one_of(tuple(TTA)), metavar="|".join(TTA), help="average the answers to several views [none]"
    )
    parser.add_argument("--json", action="store_true", help="the figures as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Evaluate and print."""
    from striate.actions.evaluate import evaluate
    from striate.cli.live import display

    given = vars(arguments)
    show = display()
    try:
        found = evaluate(
            **subject(given, [given["source"]]),
            source=given["source"],
            split=given.get("split"),
            labels=given.get("labels"),
            root=given.get("root"),
            task=given.get("task"),
            targets=given.get("targets"),
            strict=given.get("strict", False),
            precision=given.get("precision"),
            tta=given.get("tta", "none"),
            observer=show,
        )
    finally:
        show.close()
    plain = found.to_json()
    if given.get("json"):
        print_json(plain)
        return 0
    split = f", {found.split} split" if found.split else ""
    print(on_one_line(f"{counted(found.pictures, found.noun)} of {found.source}{split}"))
    for name, (words, is_share) in FIGURES[plain["task"]].items():
        if plain.get(name) is not None:
            print(f"{words:<29} {_figure(plain[name], is_share)}")
    rows, more = ROWS[plain["task"]](plain, found.noun)
    print()
    print(table(rows[: MOST_CLASSES + 1], right=range(1, len(rows[0]))))
    if len(rows) > MOST_CLASSES + 1:
        print(f"and {counted(len(rows) - MOST_CLASSES - 1, *more)}; --json has them all")
    for note in plain["notes"]:
        print(on_one_line(note))
    return 0


def _by_class(plain: Mapping[str, Any], noun: str) -> tuple[list[list[str]], tuple[str, str]]:
    """The classes as rows under a heading, and what more of them are called."""
    rows = [["class", f"{noun}s", "precision", "recall", "F1"]]
    for one in plain["by_class"]:
        shares = [_share(one[name]) for name in ("precision", "recall", "f1")]
        rows.append([one["name"], f"{one['count']:,}", *shares])
    return rows, ("more class", "more classes")


def _by_label(plain: Mapping[str, Any], _noun: str) -> tuple[list[list[str]], tuple[str, str]]:
    rows = [["label", "have it", "average precision", "precision", "recall", "F1"]]
    for one in plain["by_label"]:
        shares = [_share(one[name]) for name in ("precision", "recall")]
        area, f1 = (_number(one[name]) for name in ("average_precision", "f1"))
        rows.append([one["name"], f"{one['count']:,}", area, *shares, f1])
    return rows, ("more label", "more labels")


def _by_number(plain: Mapping[str, Any], _noun: str) -> tuple[list[list[str]], tuple[str, str]]:
    rows = [["number", "mean absolute error", "always the mean", "RMSE", "R2"]]
    for one in plain["by_number"]:
        usual = f"{one['usual_mae']['value']:.4g}"
        rows.append([one["name"], _number(one["mae"]), usual, _number(one["rmse"]), _number(one["r2"])])
    return rows, ("more number", "more numbers")


ROWS = {"classification": _by_class, "multilabel": _by_label, "regression": _by_number}


def _figure(figure: Mapping[str, Any], is_share: bool) -> str:
    if is_share:
        return percent_with_interval(figure)
    return decimal_with_interval(figure)


def _share(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    text = f"{100 * figure['value']:.1f} %"
    return f"{text} ({100 * figure['low']:.0f}-{100 * figure['high']:.0f})" if has_interval(figure) else text


def _number(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    text = f"{figure['value']:.4g}"
    return f"{text} ({figure['low']:.3g} to {figure['high']:.3g})" if has_interval(figure) else text
