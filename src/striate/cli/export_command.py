"""A file that answers raw pictures of any size without Striate: preprocessing, network, probabilities and class names.

Before it gets its name it is opened anew and shown at least 64 pictures; it is refused where one is answered otherwise.
"""

from __future__ import annotations

import argparse
from contextlib import closing

from striate.cli.flags import Parser, one_of
from striate.cli.subject_flags import add_subject, subject
from striate.cli.text import print_json
from striate.exports import KINDS
from striate.names import on_one_line

NAMED = 8  # classes


def add_arguments(parser: Parser) -> None:
    """Flags of `striate export`."""
    add_subject(parser, device=False)
    kinds = "; ".join(f"{name} {kind.sentence}" for name, kind in KINDS.items())
    parser.add_argument("--to", type=one_of(tuple(KINDS)), metavar="|".join(KINDS), help=f"{kinds} [onnx]")
    parser.add_argument("--out", metavar="FILE", help="a new file [the run's name, in the current folder]")
    parser.add_argument("--json", action="store_true", help="what was written, and the proof, as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Export and print."""
    from striate.actions.export import export
    from striate.cli.live import display

    given = vars(arguments)
    asked = {name: given[name] for name in ("to", "out") if name in given}
    named = {name: value for name, value in subject(given).items() if name != "device"}
    with closing(display()) as show:
        found = export(**named, **asked, observer=show)
    if given.get("json"):
        print_json(found.to_json())
        return 0
    names = ", ".join(found.names[:NAMED]) + ", ..." * (len(found.names) > NAMED)
    print(on_one_line(f"file   {found.path} ({found.size / 1e6:,.1f} MB)"))
    print(f"takes  {found.takes}")
    print(on_one_line(f"gives  {found.gives}" + (f", of {names}" if names else "")))
    print(f"proof  {found.proof.sentence()}")
    return 0
