"""Why a network answers so for a picture: maps of where the answer comes from, and what changes it.

One page that a person can read, with the maps as pictures and arrays beside it, in a folder of its own. Of a mistake it
shows both classes side by side, and the training pictures of either that are nearest.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from striate.cli.flags import Parser
from striate.cli.subject_flags import add_output, add_subject, subject
from striate.cli.text import print_json
from striate.names import on_one_line

if TYPE_CHECKING:
    from striate.actions.explanation import Explanation


def add_arguments(parser: Parser) -> None:
    """Flags of `striate explain`."""
    add_subject(parser)
    parser.add_argument("picture", metavar="PICTURE", help="the picture, a file")
    parser.add_argument(
        "--method", metavar="NAME|all", help="the maps to make, several with commas [a quick and good set]"
    )
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="the class to explain [the answer]")
    parser.add_argument(
        "--label", metavar="NAME", help="what the picture is [as the run's source says, if it is one of its pictures]"
    )
    parser.add_argument("--layer", metavar="NAME", help="for maps of a layer [the last that has a map]")
    add_output(parser)
    parser.add_argument("--out", metavar="FOLDER", help="a new folder for all of it [explain-<picture>]")
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Explain and print."""
    from striate.actions.explain import explain
    from striate.cli.live import display

    given = dict(vars(arguments))
    as_json, picture = given.pop("json", False), given.pop("picture")
    whose = subject(given, [picture])
    chosen = {name: value for name, value in given.items() if name not in whose}
    with closing(display()) as show:
        found = explain(whose.pop("run"), picture, observer=show, **whose, **chosen)
    if as_json:
        print_json(found.to_json())
        return 0
    _show(found)
    return 0


def _show(found: Explanation) -> None:
    known = f"; {found.labelled}" if found.labelled else ""
    print(on_one_line(f"{found.answer} with {100 * found.probability:.1f} %{known}"))
    for name, reason in found.left_out:
        print(on_one_line(f"left out: {name}: {reason}"), file=sys.stderr)
    if found.turned is not None and found.turned.box is not None:
        top, left, bottom, right = found.turned.box
        print(
            on_one_line(
                f"with {right - left}x{bottom - top} pixels covered at {left},{top} it answers {found.turned.answer}"
            )
        )
    for reason in found.reasons:
        print(on_one_line(reason))
    print(on_one_line(f"page   {found.page}"))
