"""The result of a training on stdout: the figure, the files, and what to do next."""

from __future__ import annotations

import shlex

from striate.cli.text import percent_with_interval, print_json
from striate.machine.ranks import ranks_here
from striate.models.run import Run
from striate.names import on_one_line
from striate.observer import duration
from striate.words import counted


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
            accuracy = metrics[split]["accuracy"]
            pictures = metrics["counts"]["by_split"][split]
            print(f"{split} accuracy {percent_with_interval(accuracy)} on {counted(pictures, 'picture')}")
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
