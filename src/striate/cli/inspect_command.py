"""What a source of pictures holds, before training: counts, sizes, broken, equal and leaking pictures, and a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from striate.cli.flags import Parser, one_of
from striate.cli.text import print_json, table
from striate.names import on_one_line
from striate.tasks import TASKS
from striate.words import counted

if TYPE_CHECKING:
    from striate.data.survey import Survey

MOST_CLASSES, MOST_NAMED = 60, 20
BARS = "▁▂▃▄▅▆▇█"


def add_arguments(parser: Parser) -> None:
    """Flags of `striate inspect`."""
    parser.add_argument("source", metavar="SOURCE", help="the pictures")
    parser.add_argument("--out", metavar="FILE", help="the page [inspect-<source>.html]")
    parser.add_argument("--augment", action="store_true", help="show what training will see of some pictures")
    parser.add_argument("--labels", metavar="FILE|folders", help="where the labels are: folders, or a table FILE")
    parser.add_argument("--root", metavar="FOLDER", help="folder of a table's paths, or of a copy of a public set")
    parser.add_argument(
        "--task", type=one_of(tuple(TASKS)), metavar="NAME", help=f"what the targets are: {', '.join(TASKS)}"
    )
    parser.add_argument("--targets", metavar="COLUMNS", help="columns of a table to learn: building,tree")
    parser.add_argument("--strict", action="store_true", help="refuse a source with pictures that cannot be read")
    parser.add_argument("--seed", type=int, metavar="N", help="number from which splits are drawn [0]")
    parser.add_argument("--json", action="store_true", help="everything as JSON")


def run(arguments: argparse.Namespace, started: float) -> int:
    """Inspect and print."""
    from striate.actions.inspect import inspect
    from striate.cli.live import display

    given = dict(vars(arguments))
    as_json = given.pop("json", False)
    with closing(display()) as show:
        found = inspect(given.pop("source"), observer=show, **given)
    if as_json:
        print_json(found.to_json())
        return 0
    _show(found)
    return 0


def _show(found: Survey) -> None:
    kind = TASKS[found.task]
    noun = "row" if found.fields else "picture"
    rows = _spread(found) if found.task == "regression" else _counts(found, kind.kind, noun)
    right = [column for column, name in enumerate(rows[0]) if column and name != "spread"]
    print(table(rows[: MOST_CLASSES + 1], right=right))
    if len(rows) > MOST_CLASSES + 1:
        print(f"and {counted(len(rows) - 1 - MOST_CLASSES, f'more {kind.kind}', f'more {kind.kinds}')}")
    print()
    if found.fields:
        _show_fields(found)
    for name, text in _of_rows(found) if found.fields else _of_pictures(found, kind.kind):
        print(on_one_line(f"{name:<15} {text}"))
    for name, reason in found.left_out[:MOST_NAMED]:
        print(on_one_line(f"left out        {name}: {reason}"))
    if found.left_out_count > MOST_NAMED:
        print(f"and {found.left_out_count - MOST_NAMED:,} more; the page has them")


def _counts(found: Survey, kind: str, noun: str) -> list[list[str]]:
    """Pictures, or rows, of each class, or with each label, by split."""
    splits = list(found.counts)
    rows = [[kind, *(name or f"{noun}s" for name in splits)]]
    return rows + [
        [name, *(f"{found.counts[split][k]:,}" for split in splits)] for k, name in enumerate(found.class_names)
    ]


def _spread(found: Survey) -> list[list[str]]:
    """How each number is spread over all pictures, or rows."""
    drawn = _takes_bars()
    rows = [["number", "smallest", "a quarter", "median", "three quarters", "largest", "mean", *["spread"] * drawn]]
    for one in found.distributions:
        if one.split == "all":
            values = [f"{value:.4g}" for value in (*one.quartiles, one.mean)]
            rows.append([one.name, *values, *[_bars(one.bars)] * drawn])
    return rows


def _bars(counts: Sequence[int]) -> str:
    most = max(counts, default=0) or 1
    return "".join(" " if not count else BARS[min(len(BARS) - 1, len(BARS) * count // most)] for count in counts)


def _takes_bars() -> bool:
    """Whether stdout can show them."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "").startswith("utf")


def _imbalance(found: Survey, kind: str) -> list[tuple[str, str]]:
    if found.imbalance is None:
        return []
    return [("imbalance", f"{found.imbalance:.1f} pictures of the largest {kind} for one of the smallest")]


def _of_pictures(found: Survey, kind: str) -> list[tuple[str, str]]:
    width, height = found.sizes["width"], found.sizes["height"]
    return [
        ("pictures", f"{found.found:,} found = {found.used:,} used + {found.left_out_count:,} left out"),
        ("width", f"{width['min']:,.0f} to {width['max']:,.0f}, median {width['median']:,.0f}"),
        ("height", f"{height['min']:,.0f} to {height['max']:,.0f}, median {height['median']:,.0f}"),
        ("formats", _counted(found.formats)),
        ("colour modes", _counted(found.modes)),
        ("grey", f"{100 * found.grey_share:.0f} % of them"),
        ("mean", ", ".join(f"{value:.3f}" for value in found.mean)),
        ("deviation", ", ".join(f"{value:.3f}" for value in found.deviation)),
        *_imbalance(found, kind),
        ("equal pictures", f"{len(found.duplicates):,} inside a split"),
        ("leaks", f"{len(found.leaks):,} across splits"),
        ("conflicts", f"{len(found.conflicts):,} with different labels"),
    ]


def _of_rows(found: Survey) -> list[tuple[str, str]]:
    """The same of a table of numbers."""
    return [
        ("rows", f"{found.found:,} found = {found.used:,} used + {found.left_out_count:,} left out"),
        ("equal rows", f"{len(found.duplicates):,} inside a split"),
        ("leaks", f"{len(found.leaks):,} across splits"),
        ("conflicts", f"{len(found.conflicts):,} with different labels"),
    ]


def _show_fields(found: Survey) -> None:
    """The fields of a table of numbers."""
    rows = [["field", "smallest", "median", "largest", "mean", "deviation"]]
    for one in found.fields[:MOST_CLASSES]:
        values = (one.quartiles[0], one.quartiles[2], one.quartiles[4], one.mean, one.deviation)
        rows.append([one.name, *(f"{value:.6g}" for value in values)])
    print(table(rows, right=range(1, 6)))
    if len(found.fields) > MOST_CLASSES:
        print(f"and {counted(len(found.fields) - MOST_CLASSES, 'more field')}")
    print()


def _counted(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {number:,}" for name, number in ordered)
