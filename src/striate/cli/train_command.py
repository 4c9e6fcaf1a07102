"""Train a network on a source of pictures and write a run folder: model, report, predictions.

SOURCE is a folder of class folders (also under train / validation / test), a folder with a table of paths
and labels, IDX files, or WebDataset tars. No option is needed: what is not given is chosen from the
pictures and this machine, and the log says what and why.
"""

from __future__ import annotations

import argparse
from typing import Any

from striate.cli.flags import Parser, add_flags, nested
from striate.cli.watched import add_watching, watching
from striate.training.recipe import Recipe


def add_arguments(parser: Parser) -> None:
    """Flags of `striate train`: its own, and one for each field of `Recipe`."""
    parser.add_argument("source", metavar="SOURCE", help="the pictures to learn from")
    parser.add_argument("--out", metavar="RUN", help="folder of the run [runs/<source>-<n>]")
    parser.add_argument("--overwrite", action="store_true", help="give up the run that --out holds")
    parser.add_argument("--recipe", metavar="FILE", help="settings in TOML; flags stand above them")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    add_watching(parser)
    add_flags(parser, Recipe, "settings")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Train, then show what came out."""
    from striate.actions.train import train

    given = dict(vars(arguments))
    recipe_settings: dict[str, Any] = nested(given, Recipe)
    with watching(given.get("tensorboard"), given["source"]) as watch:
        finished = train(
            given["source"],
            out=given.get("out"),
            overwrite=given.get("overwrite", False),
            recipe=given.get("recipe"),
            observer=watch,
            started=started,
            **recipe_settings,
        )
    from striate.cli.result import show_run

    show_run(finished, as_json=given.get("json", False))
    return 0
