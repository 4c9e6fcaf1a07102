"""The result of a training on stdout: the figure, the files, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from striate.cli.text import decimal_with_interval, percent_with_interval, print_json
from striate.machine.ranks import ranks_here
from striate.models.run import Run
from striate.names import on_one_line
from striate.observer import duration
from striate.words import counted

MOST_NUMBERS = 12


def show_run(run: Run, *, as_json: bool) -> None:
    """Print the figures of a finished run and where its report lies. Of several processes the first does."""
    if not ranks_here().first:
        return
    metrics = run.metrics
    if as_json:
        # What the page tells beside the figures is for the page.
        print_json({"run": str(run), **{name: value for name, value in metrics.items() if name != "page"}})
        return
    for split in ("test", "validation"):
        if split in metrics:
            _show_figures(split, metrics[split])
            break
    else:
        print("nothing was held back, so there is no telling how well it answers")
    counts = metrics["counts"]
    if counts["left_out"]:
        print(f"{counts['found']:,} pictures found = {counts['used']:,} used + {counts['left_out']:,} left out")
    folder = shlex.quote(str(run))
    print(on_one_line(f"report   {run.report}"))
    print(on_one_line(f"predict  striate predict {folder} PICTURE..."))
    print(f"took {duration(metrics['seconds']['total'])}")


def _show_figures(split: str, evaluation: Mapping[str, Any]) -> None:
    """The figure that tells most, by task; of numbers each one's error, which is in units of its own."""
    pictures, task = counted(evaluation["n"], "picture"), evaluation["task"]
    if task == "classification":
        print(f"{split} accuracy {percent_with_interval(evaluation['accuracy'])} on {pictures}")
    elif task == "multilabel":
        area = evaluation["mean_average_precision"]
        told = "unknown, since no picture has any label" if area is None else decimal_with_interval(area)
        print(f"{split} mean average precision {told} on {pictures}")
    else:
        for one in evaluation["by_number"][:MOST_NUMBERS]:
            usual = f"always the mean {one['usual_mae']['value']:.4g}"
            told = f"mean absolute error {decimal_with_interval(one['mae'])}, {usual}, on {pictures}"
            print(on_one_line(f"{split} {one['name']}: {told}"))
        if len(evaluation["by_number"]) > MOST_NUMBERS:
            print(f"and {counted(len(evaluation['by_number']) - MOST_NUMBERS, 'more number')}, in the report")
