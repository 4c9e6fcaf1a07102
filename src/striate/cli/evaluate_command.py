"""How well a run answers the labelled pictures of a source, each figure with a 95 % interval.

Classes are matched by name. Without --split the source's test split is taken, or everything where it has no splits.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from striate.cli.flags import Parser, one_of
from striate.cli.subject_flags import add_subject, subject
from striate.cli.text import has_interval, percent_with_interval, print_json, table
from striate.machine.precision import PRECISIONS
from striate.models.many_views import TTA
from striate.names import on_one_line
from striate.words import counted

# How a figure of `Evaluation` is called and whether it is a share of pictures.
FIGURES = {
    "accuracy": ("accuracy", True),
    "top5_accuracy": ("top-5 accuracy", True),
    "balanced_accuracy": ("balanced accuracy", True),
    "macro_precision": ("precision, mean over classes", True),
    "macro_f1": ("F1, mean over classes", True),
    "auroc": ("AUROC, mean over classes", True),
    "log_loss": ("log loss", False),
    "brier": ("Brier score", False),
    "ece": ("calibration error (ECE)", True),
}
MOST_CLASSES = 40


def add_arguments(parser: Parser) -> None:
    """Flags of `striate evaluate`."""
    add_subject(parser)
    parser.add_argument("source", metavar="SOURCE", help="labelled pictures, in any form that train takes")
    parser.add_argument("--split", metavar="NAME", help="train, validation or test")
    parser.add_argument("--labels", metavar="FILE|folders", help="where the labels are: folders, or a table FILE")
    parser.add_argument("--root", metavar="FOLDER", help="folder to which the paths of a table are relative")
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
    print(on_one_line(f"{counted(found.pictures, 'picture')} of {found.source}{split}"))
    for name, (words, is_share) in FIGURES.items():
        if plain.get(name) is not None:
            print(f"{words:<29} {_figure(plain[name], is_share)}")
    rows = [["class", "pictures", "precision", "recall", "F1"]]
    for one in plain["by_class"][:MOST_CLASSES]:
        shares = [_share(one[name]) for name in ("precision", "recall", "f1")]
        rows.append([one["name"], f"{one['count']:,}", *shares])
    print()
    print(table(rows, right=[1, 2, 3, 4]))
    if len(plain["by_class"]) > MOST_CLASSES:
        print(
            f"and {counted(len(plain['by_class']) - MOST_CLASSES, 'more class', 'more classes')}; --json has them all"
        )
    for note in plain["notes"]:
        print(on_one_line(note))
    return 0


def _figure(figure: Mapping[str, Any], is_share: bool) -> str:
    if is_share:
        return percent_with_interval(figure)
    text = f"{figure['value']:.4f}"
    return f"{text} (95 % interval {figure['low']:.4f} to {figure['high']:.4f})" if has_interval(figure) else text


def _share(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    text = f"{100 * figure['value']:.1f} %"
    return f"{text} ({100 * figure['low']:.0f}-{100 * figure['high']:.0f})" if has_interval(figure) else text
