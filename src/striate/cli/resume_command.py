"""Go on with a run where its last checkpoint stands; with --epochs, train a finished one further."""

from __future__ import annotations

import argparse

from striate.cli.flags import Parser


def add_arguments(parser: Parser) -> None:
    """Flags of `striate resume`."""
    parser.add_argument("run", metavar="RUN", help="the folder of the run")
    parser.add_argument("--epochs", type=_whole, metavar="N", help="go on to so many epochs in all")
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got '{text}'")
    return int(text)


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
