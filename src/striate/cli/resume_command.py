"""Go on with a run where its last checkpoint stands; with --epochs, train a finished one further."""

from __future__ import annotations

import argparse

from striate.cli.flags import Parser, positive


def add_arguments(parser: Parser) -> None:
    """Flags of `striate resume`."""
    parser.add_argument("run", metavar="RUN", help="the folder of the run")
    parser.add_argument("--epochs", type=positive, metavar="N", help="go on to so many epochs in all")
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Resume, then show what came out."""
    from striate.actions.resume import resume
    from striate.cli.live import display
    from striate.cli.result import show_run

    given = vars(arguments)
    show = display()
    try:
        finished = resume(given["run"], epochs=given.get("epochs"), observer=show)
    finally:
        show.close()
    show_run(finished, as_json=given.get("json", False))
    return 0
