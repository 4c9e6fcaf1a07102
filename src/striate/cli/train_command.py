"""Train a network on a source of pictures and write a run folder: model, report, predictions.

SOURCE is a folder of class folders (also under train / validation / test), a folder with a table of paths
and labels (CSV, JSON lines, Parquet), IDX files, the files of CIFAR, NumPy's .npz, WebDataset tars, or a zip or
tar of any of these. No option is needed: what is not given is chosen from the pictures and this machine, and
the log says what and why.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from striate.cli.flags import Parser, add_flags, nested, positive
from striate.cli.text import print_json
from striate.cli.watched import add_watching, watching
from striate.errors import require
from striate.observer import Observer
from striate.training.recipe import Recipe


def add_arguments(parser: Parser) -> None:
    """Flags of `striate train`: its own, and one for each field of `Recipe`."""
    parser.add_argument("source", metavar="SOURCE", help="the pictures to learn from")
    parser.add_argument("--out", metavar="RUN", help="folder of the run [runs/<source>-<n>]")
    parser.add_argument("--overwrite", action="store_true", help="give up the run that --out holds")
    parser.add_argument(
        "--folds",
        type=positive,
        metavar="K",
        help="cross-validate: K trainings, each tested on its part of the pictures",
    )
    parser.add_argument(
        "--learning-curve", action="store_true", help="train on growing shares, and say what twice as many would bring"
    )
    parser.add_argument("--recipe", metavar="FILE", help="settings in TOML; flags stand above them")
    parser.add_argument(
        "--find-rate",
        action="store_true",
        help="train nothing: say which learning rate suits, by some hundred steps, with a page [rate-<source>.html]",
    )
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    add_watching(parser)
    add_flags(parser, Recipe, "settings")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Train, then show what came out."""
    from striate.actions.train import train

    given = dict(vars(arguments))
    folds, curve = given.get("folds"), given.get("learning_curve", False)
    finding = given.get("find_rate", False)
    several = [flag for flag, on in (("--folds", folds), ("--learning-curve", curve), ("--find-rate", finding)) if on]
    require(len(several) < 2, f"{' and '.join(several)} cannot both be given: do one, then the other")
    recipe_settings: dict[str, Any] = nested(given, Recipe)
    as_json = given.get("json", False)
    common = {"out": given.get("out"), "recipe": given.get("recipe"), **recipe_settings}
    with watching(given.get("tensorboard"), given["source"]) as watch:
        if several:
            require(not given.get("overwrite"), "--overwrite gives up one run; name a new folder with --out")
            if finding:
                _find_rate(given["source"], common, watch, as_json=as_json)
            else:
                _several(given["source"], folds, common, watch, as_json=as_json)
            return 0
        finished = train(
            given["source"], overwrite=given.get("overwrite", False), observer=watch, started=started, **common
        )
    from striate.cli.result import show_run

    show_run(finished, as_json=as_json)
    return 0


def _several(source: str, folds: int | None, common: Mapping[str, Any], watch: Observer, *, as_json: bool) -> None:
    from striate.cli.result import show_curve, show_folds

    if folds:
        from striate.actions.cross_validate import cross_validate

        show_folds(cross_validate(source, folds=folds, observer=watch, **common), as_json=as_json)
        return
    from striate.actions.learning_curve import learning_curve

    show_curve(learning_curve(source, observer=watch, **common), as_json=as_json)


def _find_rate(source: str, common: Mapping[str, Any], watch: Observer, *, as_json: bool) -> None:
    from striate.actions.find_rate import find_rate

    found = find_rate(source, observer=watch, **common)
    if as_json:
        print_json(found.to_json())
        return
    print(f"learning rate {found.suggested:g} suits {found.network} by {found.optimizer}")
    print(f"bears         up to {found.stable_until:.2g}, from where the loss comes down again")
    print(f"lowest loss   at {found.lowest_at:.2g}; it fell fastest at {found.steepest_at:.2g}")
    end = "never" if found.diverged_at is None else f"at {found.diverged_at:.2g}"
    print(f"diverged      {end}")
    print(f"taken         {found.chosen:.3g} by itself; another one by --learning-rate {found.suggested:g}")
