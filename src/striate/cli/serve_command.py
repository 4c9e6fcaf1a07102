"""Answers for pictures over HTTP, for this machine alone: a page on which pictures are dropped, and POST /predict.

The address is told when it answers; Ctrl-C stops it. Programs send the bytes of a picture to /predict and get a
line of `striate predict --format jsonl`; /openapi.json describes it. Needs the extra `serve`.
"""

from __future__ import annotations

import argparse
import sys

from striate.cli.flags import MOST_DIGITS, Parser
from striate.cli.subject_flags import add_subject, subject
from striate.cli.text import print_json


def add_arguments(parser: Parser) -> None:
    """Flags of `striate serve`."""
    add_subject(parser)
    parser.add_argument("--port", type=_port, metavar="N", help="port of 127.0.0.1; 0: any that is free [8000]")
    parser.add_argument("--json", action="store_true", help="the address as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Serve until it is stopped."""
    from striate.actions.serve import PORT, serve

    given = vars(arguments)

    def began(address: str) -> None:
        if given.get("json"):
            print_json({"address": address})
        else:
            print(address)
        sys.stdout.flush()
        print("drop pictures on that page in a browser; Ctrl-C stops it", file=sys.stderr, flush=True)

    serve(**subject(given), port=given.get("port", PORT), began=began)
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 to 65535, got '{text}'")
    return int(text)
