"""Answers for pictures: files, folders, globs, or - for a list of names on stdin.

What cannot be read is named on stderr and the rest goes on; exit status 2 where nothing can be read.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable
from typing import Any

from striate.cli.flags import Parser, one_of, positive
from striate.cli.subject_flags import add_subject, subject
from striate.cli.text import print_json, table
from striate.errors import require
from striate.machine.precision import PRECISIONS
from striate.models.many_views import TTA
from striate.names import on_one_line, visible

FORMATS = ("table", "csv", "jsonl")


def add_arguments(parser: Parser) -> None:
    """Flags of `striate predict`."""
    add_subject(parser)
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", help="files, folders, globs, or -")
    parser.add_argument("--top", type=positive, metavar="K", help="show the K most probable classes or labels [1]")
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
    from striate.cli.answers import WRITTEN
    from striate.cli.live import display

    given = vars(arguments)
    whose = subject(given, given["pictures"])
    _require_ranked(whose.get("run"), given.get("top"))
    show = display()
    try:
        names = _names_on_stdin() if "-" in given["pictures"] else None
        found = predict(
            **whose,
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
    written = WRITTEN[found.task](found, top)
    if kind == "table":
        print(table([written.headings, *written.rows], right=written.right))
    elif kind == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([visible(cell) for cell in written.columns])
        writer.writerows([visible(cell) for cell in line] for line in written.lines)
    else:
        for values in written.objects:
            print_json(values)
    return 0


def _require_ranked(run: Any, top: int | None) -> None:
    """Refuse --top where a run answers numbers, before any picture is read. Raises InputError."""
    if top is None or run is None:
        return
    from striate.models.run_files import read_config

    task = read_config(run)["task"]
    require(
        not isinstance(task, dict) or task.get("name") != "regression",
        f"{run}: answers numbers, none of which is more probable than another; leave --top away",
    )


def _names_on_stdin() -> Iterable[str]:
    """The lines of stdin; names that are no text in this system's encoding stay the names that they are."""
    if sys.stdin is None:  # closed by the caller
        return ()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    return (line.rstrip("\n") for line in sys.stdin)
