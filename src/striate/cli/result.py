"""The result of a training on stdout: the figure, the files, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from striate.cli.text import decimal, decimal_with_interval, percent_with_interval, print_json
from striate.evaluation.headlines import HEADLINES
from striate.machine.ranks import ranks_here
from striate.models.run import Run
from striate.names import on_one_line
from striate.observer import duration
from striate.words import counted

if TYPE_CHECKING:
    from striate.actions.cross_validate import CrossValidation
    from striate.actions.learning_curve import LearningCurve

MOST_NUMBERS = 12
GIVEN = {"picture": "PICTURE", "row": "TABLE"}  # to be answered


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
            _show_figures(split, metrics[split], run.noun)
            break
    else:
        print("nothing was held back, so there is no telling how well it answers")
    counts = metrics["counts"]
    if counts["left_out"]:
        print(f"{counts['found']:,} {run.noun}s found = {counts['used']:,} used + {counts['left_out']:,} left out")
    folder = shlex.quote(str(run))
    print(on_one_line(f"report   {run.report}"))
    print(on_one_line(f"predict  striate predict {folder} {GIVEN[run.noun]}..."))
    print(f"took {duration(metrics['seconds']['total'])}")


def show_folds(found: CrossValidation, *, as_json: bool) -> None:
    """Print the mean over the folds and each of them."""
    if as_json:
        print_json(found.to_json())
        return
    headline = HEADLINES[found.task]
    told = percent_with_interval if headline.share else decimal_with_interval
    for place, (run, figure) in enumerate(zip(found.runs, found.figures, strict=True)):
        off = f", mean absolute error {decimal(found.errors[place])}" if found.errors else ""
        print(on_one_line(f"{run.folder.name}  {told(figure.to_json())} on {counted(figure.n, run.noun)}{off}"))
    folds = counted(found.mean.n, "fold")
    print(f"{headline.short} {told(found.mean.to_json())}, the mean of {folds}")
    if found.errors:
        print(f"mean absolute error {decimal(sum(found.errors) / len(found.errors))}, the mean of {folds}")
    print(on_one_line(f"report   {found.page}"))


def show_curve(found: LearningCurve, *, as_json: bool) -> None:
    """Print the points of the curve and the forecast."""
    if as_json:
        print_json(found.to_json())
        return
    headline, noun = HEADLINES[found.task], found.runs[0].noun
    told = percent_with_interval if headline.share else decimal_with_interval
    for count, figure in zip(found.pictures, found.figures, strict=True):
        print(f"{count:>9,} training {noun}s  {told(figure.to_json())}")
    ahead = found.forecast
    forecast = told({"value": ahead.value, "low": ahead.low, "high": ahead.high})
    print(f"{ahead.pictures:>9,} would bring {headline.short} {forecast}")
    print(on_one_line(f"report   {found.page}"))


def _show_figures(split: str, evaluation: Mapping[str, Any], noun: str) -> None:
    """The figure that tells most, by task; of numbers each one's error, which is in units of its own."""
    tested, task = counted(evaluation["n"], noun), evaluation["task"]
    if task == "classification":
        print(f"{split} accuracy {percent_with_interval(evaluation['accuracy'])} on {tested}")
    elif task == "multilabel":
        area = evaluation["mean_average_precision"]
        told = (
            f"unknown, since each label is one of all {noun}s or of none"
            if area is None
            else decimal_with_interval(area)
        )
        print(f"{split} mean average precision {told} on {tested}")
    else:
        for one in evaluation["by_number"][:MOST_NUMBERS]:
            usual = f"always the mean {one['usual_mae']['value']:.4g}"
            told = f"mean absolute error {decimal_with_interval(one['mae'])}, {usual}, on {tested}"
            print(on_one_line(f"{split} {one['name']}: {told}"))
        if len(evaluation["by_number"]) > MOST_NUMBERS:
            print(f"and {counted(len(evaluation['by_number']) - MOST_NUMBERS, 'more number')}, in the report")
