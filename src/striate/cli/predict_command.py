"""Answers for pictures: files, folders, globs, or - for a list of names on stdin.

What cannot be read is named on stderr and the rest goes on; exit status 2 where nothing can be read.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable

import numpy as np

from striate.cli.flags import Parser, one_of, positive
from striate.cli.subject_flags import add_subject, subject
from striate.cli.text import print_json, table
from striate.machine.precision import PRECISIONS
from striate.models.many_views import TTA
from striate.names import on_one_line, visible

FORMATS = ("table", "csv", "jsonl")


def add_arguments(parser: Parser) -> None:
    """Flags of `striate predict`."""
    add_subject(parser)
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", help="files, folders, globs, or -")
    parser.add_argument("--top", type=positive, metavar="K", help="show the K most probable classes [1]")
    parser.add_argument(
        "--format", type=one_of(FORMATS), metavar="|".join(FORMATS), help="how the answers are written [table]"
    )
    parser.add_argument("--json", action="store_true", help="the same as --format jsonl")
    parser.add_argument(
        "--precision", type=one_of(PRECISIONS), metavar="NAME", help="number format: float32, bfloat16, auto [float32]"
    )
    parser.add_argument(
        "--tta", type=one_of(tuple(TTA)), metavar="|".join(TTA), help="average the answers to several views [none]"
    )


def run(arguments: argparse.Namespace, started: float) -> int:
    """Predict and print."""
    from striate.actions.predict import predict
    from striate.cli.live import display

    given = vars(arguments)
    show = display()
    try:
        names = _names_on_stdin() if "-" in given["pictures"] else None
        found = predict(
            **subject(given, given["pictures"]),
            pictures=given["pictures"],
            precision=given.get("precision"),
            tta=given.get("tta", "none"),
            names_from=names,
            observer=show,
        )
    finally:
        show.close()
    for name, reason in found.unreadable:
        print(on_one_line(f"striate: {name}: {reason}"), file=sys.stderr)
    top = min(given.get("top", 1), len(found.class_names))
    kind = "jsonl" if given.get("json") else given.get("format", "table")
    ranked = [
        (one.name, [(found.class_names[k], float(one.probabilities[k])) for k in _order(one.probabilities)[:top]])
        for one in found.answers
    ]
    if kind == "table":
        headings = ["picture", *(["answer", "probability"] * top)]
        rows = [headings, *([name, *(cell for k, p in best for cell in (k, f"{p:.4f}"))] for name, best in ranked)]
        print(table(rows, right=[2 * place + 2 for place in range(top)]))
    elif kind == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        extra = [f"{word}_{place + 1}" for place in range(1, top) for word in ("prediction", "probability")]
        writer.writerow(["path", "prediction", "probability", *extra])
        for name, best in ranked:
            writer.writerow([visible(name), *(cell for k, p in best for cell in (visible(k), f"{p:.6f}"))])
    else:
        for name, best in ranked:
            answers = [{"label": label, "probability": probability} for label, probability in best]
            print_json({"path": name, "prediction": best[0][0], "probability": best[0][1], "top": answers})
    return 0


def _names_on_stdin() -> Iterable[str]:
    """The lines of stdin; names that are no text in this system's encoding stay the names that they are."""
    if sys.stdin is None:  # closed by the caller
        return ()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    return (line.rstrip("\n") for line in sys.stdin)


def _order(probabilities: np.ndarray) -> list[int]:
    return [int(k) for k in np.argsort(-probabilities, kind="stable")]
