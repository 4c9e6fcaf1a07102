"""Make the report of a run anew, as after an update; or one page that compares several runs.

The report of a run is made from what its folder holds, and from the pictures where they still are. Several runs are
shown side by side: figures with their intervals, curves laid over each other.
"""

from __future__ import annotations

import argparse

from striate.cli.flags import Parser
from striate.cli.text import print_json
from striate.names import on_one_line


def add_arguments(parser: Parser) -> None:
    """Flags of `striate report`."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="the folder of a run, or of several")
    parser.add_argument("--out", metavar="FILE", help="the page [RUN/report.html; of several: comparison.html]")
    parser.add_argument("--json", action="store_true", help="where the page lies, and how several runs differ, as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Make the page and name it."""
    from striate.actions.report import reported
    from striate.cli.live import display

    given = vars(arguments)
    show = display()
    try:
        made = reported(given["runs"], out=given.get("out"), observer=show)
    finally:
        show.close()
    if given.get("json"):
        print_json(made.to_json())
        return 0
    print(on_one_line(f"page   {made.page}"))
    return 0
