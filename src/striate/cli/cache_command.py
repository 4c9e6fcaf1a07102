"""What is kept for the next run, decoded pictures and indexes: what, how large, when it was last used; its removal.

Nothing is lost by removing it but time: it is made anew when it is needed.
"""

from __future__ import annotations

import argparse

from striate.cli.flags import Parser
from striate.cli.text import print_json, table


def add_arguments(parser: Parser) -> None:
    """Flags of `striate cache`."""
    parser.add_argument("--clean", metavar="KEY", nargs="?", const=True, help="remove KEY, or what the next two say")
    parser.add_argument("--all", action="store_true", help="everything that is kept")
    parser.add_argument("--older-than", metavar="DAYS", type=_days, help="what was not used for so many days")
    parser.add_argument("--json", action="store_true", help="the list as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """List, remove what is to be removed, and print."""
    from striate.actions.cache import cache
    from striate.data.kept import size_in_words

    given = dict(vars(arguments))
    as_json = given.pop("json", False)
    found = cache(**given)
    if as_json:
        print_json(found.to_json())
        return 0
    listed = found.removed if "clean" in given else found.kept
    if listed:
        rows = [["key", "size", "last used", "what"]]
        rows += [[one.key, size_in_words(one.bytes), one.used[:16].replace("T", " "), one.what] for one in listed]
        print(table(rows, right=[1]))
    if "clean" in given:
        freed = size_in_words(sum(one.bytes for one in found.removed))
        print(f"{len(found.removed)} removed, {freed} freed; {len(found.kept)} kept, {size_in_words(found.bytes)}")
    else:
        print(f"{size_in_words(found.bytes)} of at most {size_in_words(found.budget)} in {found.folder}")
    return 0


def _days(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number of days, got '{text}'") from None
