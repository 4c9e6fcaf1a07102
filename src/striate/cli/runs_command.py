"""The runs below a folder, best test accuracy first."""

from __future__ import annotations

import argparse

from striate.cli.flags import Parser
from striate.cli.text import decimal_with_interval, percent_with_interval, print_json, table
from striate.observer import duration

SHORT = {"mean_average_precision": "mAP", "r2": "R2"}


def add_arguments(parser: Parser) -> None:
    """Flags of `striate runs`."""
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default="runs", help="where to look [runs]")
    parser.add_argument("--json", action="store_true", help="the list as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """List and print."""
    from striate.actions.runs import runs

    given = vars(arguments)
    found = runs(given["folder"])
    if given.get("json"):
        print_json([one.to_json() for one in found])
        return 0
    if not found:
        print(f"no runs in {given['folder']} yet; striate train SOURCE makes one")
        return 0
    rows = [["run", "network", "source", "accuracy", "took"]]
    for one in found:
        figure = {"value": one.accuracy if one.accuracy is not None else one.value, "low": one.low, "high": one.high}
        accuracy = percent_with_interval(figure) if one.accuracy is not None else one.state
        if one.figure is not None and one.value is not None:
            accuracy = f"{SHORT[one.figure]} {decimal_with_interval(figure)}"
        took = duration(one.seconds) if one.seconds is not None else "-"
        rows.append([one.run, one.network or "-", one.source or "-", accuracy, took])
    print(table(rows, right=[4]))
    return 0
