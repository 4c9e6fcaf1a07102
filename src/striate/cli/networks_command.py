"""The networks that can be trained: Striate's own, and with --all the names of torchvision and timm."""

from __future__ import annotations

import argparse

from striate.cli.flags import Parser
from striate.cli.text import print_json, table


def add_arguments(parser: Parser) -> None:
    """Flags of `striate networks`."""
    parser.add_argument("--all", action="store_true", help="the names of torchvision's and timm's too (takes seconds)")
    parser.add_argument("--json", action="store_true", help="the names as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """List and print."""
    from striate.networks import NETWORKS, network_names

    given = vars(arguments)
    names = network_names() if given.get("all") else list(NETWORKS)
    if given.get("json"):
        print_json(names)
        return 0
    rows = [["network", "what it is", "source"]]
    rows += [[name, part.sentence, part.source] for name, part in NETWORKS.items()]
    print(table(rows))
    others = [name for name in names if name not in NETWORKS]
    if others:
        print()
        print("\n".join(others))
    else:
        print("\nand every classification network of torchvision and timm by its name; --all lists them")
    return 0
