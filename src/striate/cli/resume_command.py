"""Go on with a run where its last checkpoint stands; with --epochs, train a finished one further; with --verify,
change nothing and say whether this machine repeats the steps before the last checkpoint bit for bit.
"""

from __future__ import annotations

import argparse

from striate.cli.flags import Parser, positive, positive_or_auto
from striate.cli.result import show_run
from striate.cli.text import print_json
from striate.cli.watched import add_watching, watching
from striate.errors import require
from striate.names import on_one_line


def add_arguments(parser: Parser) -> None:
    """Flags of `striate resume`."""
    parser.add_argument("run", metavar="RUN", help="the folder of the run")
    parser.add_argument("--epochs", type=positive, metavar="N", help="go on to so many epochs in all")
    parser.add_argument("--source", metavar="SOURCE", help="where the pictures are now, if not where they were")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="repeat the steps before the last checkpoint, keep nothing; exit status 1 where a bit differs",
    )
    parser.add_argument("--processes", type=positive_or_auto, metavar="N|auto", help="go on with so many processes")
    add_watching(parser)
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Resume or verify, then show what came out."""
    given = dict(vars(arguments))
    as_json, verifying = given.pop("json", False), given.pop("verify", False)
    with watching(given.pop("tensorboard", None), given.get("source")) as watch:
        if verifying:
            from striate.actions.verify import verify

            more = [f"--{name}" for name in ("epochs", "processes") if name in given]
            require(not more, f"to verify is to repeat what was done, as it was: leave {' and '.join(more)} away")
            found = verify(given["run"], source=given.get("source"), observer=watch)
        else:
            from striate.actions.resume import resume

            finished = resume(**given, observer=watch)
    if not verifying:
        show_run(finished, as_json=as_json)
        return 0
    if as_json:
        print_json(found.to_json())
    else:
        print(on_one_line(str(found)))
    return 0 if found.repeats else 1
