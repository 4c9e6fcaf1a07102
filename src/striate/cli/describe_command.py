"""The layers, weights and multiply-adds of a run's network, or of a network by its name."""

from __future__ import annotations

import argparse

from striate.cli.flags import Parser, positive
from striate.cli.text import print_json, table
from striate.names import on_one_line
from striate.tasks import TASKS
from striate.words import counted


def add_arguments(parser: Parser) -> None:
    """Flags of `striate describe`."""
    parser.add_argument("what", metavar="RUN|NETWORK", help="a run folder, or the name of a network")
    parser.add_argument("--channels", type=positive, metavar="N", help="of the pictures, for a name [3]")
    parser.add_argument("--size", type=positive, metavar="N", help="side of the pictures, for a name [224]")
    parser.add_argument("--classes", type=positive, metavar="N", help="number of classes, for a name [1000]")
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Describe and print."""
    from striate.actions.describe import describe

    given = dict(vars(arguments))
    sizes = {name: given[name] for name in ("channels", "size", "classes") if name in given}
    found = describe(given["what"], **sizes)
    if given.get("json"):
        print_json(found.to_json())
        return 0
    rows = [["layer", "kind", "shape", "weights"]]
    rows += [[name, kind, shape, f"{number:,}"] for name, kind, shape, number in found.layers]
    print(table(rows, right=[3]))
    height, width = found.size
    one = f"{width}x{height} picture with {counted(found.channels, 'channel')}"
    if found.noun == "row":
        one = f"row of {counted(found.channels, 'number')}"
    kind = TASKS[found.task]
    print(
        "\n"
        + on_one_line(
            f"{found.name}: {found.weights:,} weights, {found.multiply_adds / 1e6:,.1f} million multiply-adds for a "
            f"{one}, {counted(found.classes, kind.kind, kind.kinds)}"
        )
    )
    return 0
