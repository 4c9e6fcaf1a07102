"""Pictures made for a network: what raises a class, a unit, a channel or a layer most; or a picture of yours dreamt on.

Without a class or a layer, the classes of the run are dreamt of. The picture is a PNG; of several dreams they stand in
one, row by row.
"""

from __future__ import annotations

import argparse
from contextlib import closing

from striate.cli.flags import MOST_DIGITS, Parser, positive
from striate.cli.subject_flags import add_output, add_subject, subject
from striate.cli.text import print_json, table
from striate.names import on_one_line

MOST = 256  # dreams at once


def add_arguments(parser: Parser) -> None:
    """Flags of `striate dream`."""
    add_subject(parser)
    parser.add_argument(
        "--class", dest="class_name", metavar="NAME", action="append", help="a class, by name or number; again for more"
    )
    parser.add_argument("--layer", metavar="LAYER", help="a layer, the whole of it")
    parser.add_argument(
        "--unit", type=numbers, metavar="N|N-M", help="the unit in the middle of channel N of the layer"
    )
    parser.add_argument("--channel", type=numbers, metavar="N|N-M", help="channel N of the layer, everywhere")
    parser.add_argument("--picture", metavar="FILE", help="dream on from this picture (DeepDream)")
    parser.add_argument(
        "--film", action="store_true", help="the dream after each epoch that the run has kept, as a moving picture"
    )
    parser.add_argument(
        "--steps", type=positive, metavar="N", help="steps of gradient ascent [128 to 512; on a picture 40]"
    )
    parser.add_argument("--octaves", type=positive, metavar="N", help="sizes that it grows through [up to 3; 4]")
    parser.add_argument("--size", type=positive, metavar="N", help="pixels of the longer side [the network's]")
    parser.add_argument("--seed", type=whole, metavar="S", help="number from which everything random is drawn [0]")
    add_output(parser)
    parser.add_argument("--out", metavar="FILE.png", help="the picture [dream-<what>.png]")
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Dream, and name the picture."""
    from striate.actions.dream import dream
    from striate.cli.live import display

    given = dict(vars(arguments))
    named = ("class_name", "layer", "unit", "channel", "picture", "film", "steps", "octaves", "size", "seed", "out")
    asked = {name: given[name] for name in named if name in given}
    # One is named in the file's name; a list of one is no list to a person.
    for name in ("class_name", "unit", "channel"):
        if name in asked and len(asked[name]) == 1:
            asked[name] = asked[name][0]
    with closing(display()) as show:
        found = dream(**subject(given), **asked, observer=show)
    told = found.to_json()
    if given.get("json"):
        print_json(told)
        return 0
    rows = [["dream", "value", "on noise", "deviations above it"]]
    for one in told["dreams"]:
        spread = f"{one['noise_mean']:.3g} ± {one['noise_deviation']:.2g}"
        rows.append([one["of"], f"{one['value']:.4g}", spread, f"{one['deviations']:,.1f}"])
    print(table(rows, right=[1, 2, 3]))
    print("\n" + on_one_line(f"picture  {found.place}"))
    return 0


def whole(text: str) -> int:
    """A whole number of at least 0, for argparse."""
    if not (text.isascii() and text.isdecimal()) or len(text) > MOST_DIGITS:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least 0 and at most {MOST_DIGITS} digits, got '{text}'"
        )
    return int(text)


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers, "7", "0-15" or "1,4,9", for argparse."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not all(
            one.isascii() and one.isdecimal() and len(one) <= 9 for one in ((first, last) if dash else (first,))
        ):
            raise argparse.ArgumentTypeError(f"must be numbers such as 7, 0-15 or 1,4,9, got '{text}'")
        begin, end = int(first), int(last) if dash else int(first)
        if end < begin or end - begin + len(found) >= MOST:
            raise argparse.ArgumentTypeError(f"must be 1 to {MOST} numbers, from the lower to the higher, got '{text}'")
        found += range(begin, end + 1)
    return tuple(found)
