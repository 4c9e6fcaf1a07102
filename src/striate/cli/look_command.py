"""What a network has learned: a page of its layers and units, each with the pictures that excite it most.

Beside each patch stands what in it counts (the deconvnet of Zeiler and Fergus), where the network's activations are
rectifiers. Pictures are those that the run learned from, or of --data. What was found is kept for the next look.
With --invariance the page shows how much each layer changes as pictures are moved, scaled and turned, and with
--through-training what units saw after the epochs that `striate train --keep-epochs N` has kept; with --feature-space
which pictures the network finds alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from striate.cli.flags import Parser
from striate.cli.subject_flags import add_output, add_subject, subject
from striate.cli.text import print_json, table
from striate.errors import require
from striate.names import on_one_line

if TYPE_CHECKING:
    from striate.actions.look_result import Layer, Look


def add_arguments(parser: Parser) -> None:
    """Flags of `striate look`."""
    add_subject(parser)
    parser.add_argument("--layer", metavar="NAME", action="append", help="a layer; may be given several times")
    parser.add_argument("--units", metavar="LIST", help="units to show of each: 0-15, 3,8,20-31, all [0-15]")
    parser.add_argument("--data", metavar="SOURCE", help="pictures to look with [those of the run]")
    parser.add_argument("--labels", metavar="FILE|folders", help="where the labels are: folders, or a table FILE")
    parser.add_argument("--root", metavar="FOLDER", help="folder of a table's paths, or of a copy of a public set")
    parser.add_argument(
        "--invariance", action="store_true", help="also: how much layers change as pictures are moved, scaled, turned"
    )
    parser.add_argument(
        "--through-training", action="store_true", help="also: units after each epoch that the run has kept"
    )
    parser.add_argument(
        "--feature-space", metavar="pca|t-sne", help="also: pictures laid out by what the network finds alike"
    )
    add_output(parser)
    parser.add_argument("--list", action="store_true", help="the layers that can be looked at, and nothing else")
    parser.add_argument("--out", metavar="FILE", help="the page; arrays go beside it, as .npz [look.html]")
    parser.add_argument("--json", action="store_true", help="what was found as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Look, and say where the page lies."""
    from striate.actions.look import list_layers, look
    from striate.actions.subject import open_subject
    from striate.cli.live import display

    given = dict(vars(arguments))
    as_json = given.pop("json", False)
    whose = subject(given)
    given = {name: value for name, value in given.items() if name not in whose}
    if given.pop("list", False):
        more = [f"--{name.replace('_', '-')}" for name in given]
        require(not more, f"--list names the layers and does nothing else; leave {' and '.join(more)} away")
        with closing(display()) as show:
            layers = list_layers(open_subject(**whose), output=whose.get("output"), observer=show)
        _show_layers(layers, as_json)
        return 0
    if "units" in given:
        given["units"] = parse_units(given["units"])
    if "layer" in given:
        given["layers"] = given.pop("layer")
    with closing(display()) as show:
        found = look(observer=show, **whose, **given)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    return 0


def parse_units(text: str) -> tuple[int, ...] | str:
    """ "0-3,8" -> (0, 1, 2, 3, 8); "all" stays. Raises InputError for anything else."""
    if text == "all":
        return "all"
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        sound = all(one.isascii() and one.isdecimal() and len(one) < 8 for one in ([first, last] if dash else [first]))
        require(sound, f"--units takes numbers and ranges such as 0-15 or 3,8,20-31, or all; got '{text}'")
        require(not dash or int(first) <= int(last), f"--units: {part.strip()} ends before it begins")
        found += range(int(first), int(last if dash else first) + 1)
        require(len(found) <= 100_000, f"--units: {text} are too many units for a page")
    return tuple(dict.fromkeys(found))


def _show_layers(layers: Sequence[Layer], as_json: bool) -> None:
    if as_json:
        print_json({"layers": [layer.to_json() for layer in layers]})
        return
    rows = [["layer", "kind", "shape", "stride", "a unit sees"]]
    rows += [[layer.name, layer.kind, _by(layer.shape), _by(layer.stride), _by(layer.field)] for layer in layers]
    print(table(rows, right=[2, 3, 4]))


def _show(found: Look) -> None:
    if found.found:
        rows = [["layer", "units", "dead", "twins", "a unit sees"]]
        for layer in found.layers:
            units = found.found[layer.name].units
            counts = (len(units.dead), units.dead.sum(), (units.twin >= 0).sum())
            rows.append([layer.name, *(f"{int(number):,}" for number in counts), _by(layer.field)])
        print(table(rows, right=[1, 2, 3, 4]))
        print(on_one_line(f"looked at with {found.looked}"))
    for note in found.notes:
        print(on_one_line(note))
    print(on_one_line(f"page     {found.page}"))
    print(on_one_line(f"arrays   {found.arrays}"))


def _by(lengths: Any) -> str:
    return "" if lengths is None else "x".join(f"{round(length, 2):g}" for length in lengths)
