"""The runs below a folder, the best first: those of classes, then of labels, then of numbers."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from striate.cli.flags import Parser
from striate.cli.text import decimal_with_interval, percent_with_interval, print_json, table
from striate.evaluation.headlines import HEADLINES, Headline
from striate.observer import duration

if TYPE_CHECKING:
    from striate.actions.runs import RunSummary

OF_FIGURE = {headline.figure: headline for headline in HEADLINES.values()}


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
    # Where all runs have the same figure the column is called so; else each line says which it is.
    kinds = {one.figure for one in found if one.figure is not None}
    alike = OF_FIGURE[next(iter(kinds))].short if len(kinds) == 1 else ""
    rows = [["run", "network", "source", alike or "figure", "took"]]
    for one in found:
        took = duration(one.seconds) if one.seconds is not None else "-"
        rows.append([one.run, one.network or "-", one.source or "-", _figure(one, named=not alike), took])
    print(table(rows, right=[4]))
    return 0


def _figure(one: RunSummary, *, named: bool) -> str:
    """The figure of a run with its interval, or why there is none."""
    if one.figure is None:
        return one.state
    headline: Headline = OF_FIGURE[one.figure]
    told = percent_with_interval if headline.share else decimal_with_interval
    figure = told({"value": one.value, "low": one.low, "high": one.high})
    return f"{headline.short} {figure}" if named else figure
