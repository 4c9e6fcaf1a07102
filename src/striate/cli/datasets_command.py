"""The public sets that can be named in place of a folder; each is downloaded where it is named, and never before."""

from __future__ import annotations

import argparse

from striate.cli.flags import Parser
from striate.cli.text import print_json, table


def add_arguments(parser: Parser) -> None:
    """Flags of `striate datasets`."""
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """List and print."""
    from striate.data.sources.public_sets import PUBLIC_SETS

    if vars(arguments).get("json"):
        told = [
            {"name": name, "what": one.sentence, "megabytes": one.megabytes, "licence": one.licence}
            for name, one in PUBLIC_SETS.items()
        ]
        print_json(told)
        return 0
    rows = [["set", "download", "what it is", "licence"]]
    rows += [[name, f"{one.megabytes:,} MB", one.sentence, one.licence] for name, one in PUBLIC_SETS.items()]
    print(table(rows, right=[1]))
    print("\nstriate train NAME downloads one into the cache folder; --root FOLDER takes a copy that is there")
    return 0
