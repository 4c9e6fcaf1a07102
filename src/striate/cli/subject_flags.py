"""Which network a command is about: RUN, or `--network NAME --weights FILE` in its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from striate.cli.flags import MOST_DIGITS, Parser
from striate.errors import require

NETWORK = "--network"


def add_subject(parser: Parser, *, device: bool = True) -> None:
    """RUN, the flags that stand in its place, and `--device`, where one can be chosen; before the other things that a
    command names."""
    run = parser.add_argument("run", metavar="RUN", help="the folder of a run; not with --network")
    parser.stand_aside(run, NETWORK)
    group = parser.add_argument_group("in place of RUN")
    group.add_argument(
        NETWORK, metavar="NAME", help="a network that Striate did not train: ours, torchvision's or timm's"
    )
    group.add_argument(
        "--weights", metavar="FILE", help="its weights: safetensors, or .pth/.pt without code [what its makers publish]"
    )
    group.add_argument(
        "--class-names",
        metavar="FILE|imagenet",
        help="its classes: a text file with a name a line, or ImageNet's 1,000 [class 0, class 1, ...]",
    )
    if device:
        parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, mps [auto]")


def add_output(parser: Parser) -> None:
    """`--output`, for what looks into a network that gives several."""
    parser.add_argument(
        "--output", metavar="NAME", type=output, help="the scores of a network that gives several outputs"
    )


def output(text: str) -> str | int:
    """A key of a dictionary, or a position in a tuple, for argparse."""
    return int(text) if text.isascii() and text.removeprefix("-").isdecimal() and len(text) <= MOST_DIGITS else text


def subject(given: Mapping[str, Any], others: Iterable[str] = ()) -> dict[str, Any]:
    """What was given, as arguments of `actions.subject.open_subject`. others: what else was named, such as pictures.

    Raises InputError where a run is among them, beside a network.
    """
    if "network" in given:
        from striate.models.run_files import is_run

        both = next((one for one in others if is_run(Path(one))), None)
        require(both is None, f"{both} and {NETWORK} {given['network']}: give the run or the network, not both of them")
    names = ("run", "network", "weights", "class_names")
    chosen = {name: given[name] for name in ("output",) if name in given}
    return {**{name: given.get(name) for name in names}, "device": given.get("device", "auto"), **chosen}
