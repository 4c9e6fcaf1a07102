"""What notebooks show of a table of samples, a batch, a run and an explanation: fragments of HTML for a cell.

Plain values in, as in `pages.py`: every name passes through the templates as text. A fragment brings its own style,
reads on light and dark grounds, and asks for nothing from anywhere. Legend: B batch, C channels, h w pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.errors import InputError
from striate.reports.comparison import KINDS
from striate.reports.environment import environment
from striate.reports.text import clip, count, decimal
from striate.reports.thumbnails import thumbnail
from striate.words import counted

if TYPE_CHECKING:
    from striate.data.batches import Batch
    from striate.data.samples import Samples
    from striate.models.run import Run

MOST_ROWS = 20  # of a table
MOST_PICTURES = 32
SIDE = 112  # pixels of a picture
LISTED_NUMBERS = 4  # of a target that is several
FURTHER = {"top5_accuracy": "top-5 accuracy", "macro_precision": "precision", "r2": "R²"}  # which comparisons leave out
SPLITS = ("test", "validation", "cross_validation")  # the first that is there is shown


@dataclass(frozen=True, kw_only=True)
class Fragment:
    """What a cell shows, each part where it is given. table: the first row is the heading. bars: (name, share in
    [0, 1]). pictures: (PNG or JPEG, what it is)."""

    title: str
    lines: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()
    bars: tuple[tuple[str, float], ...] = ()
    pictures: tuple[tuple[bytes, str], ...] = ()


def fragment(shown: Fragment) -> str:
    """The HTML of a fragment. Raises ValueError where a picture is neither PNG nor JPEG."""
    return environment().get_template("notebook.html").render(shown=shown)


def html_of(value: Any) -> str:
    """The HTML of a `Samples`, `Batch` or `Run`. Raises TypeError for anything else."""
    from striate.data.batches import Batch
    from striate.data.samples import Samples
    from striate.models.run import Run

    if isinstance(value, Samples):
        return fragment(_samples(value))
    if isinstance(value, Batch):
        return fragment(_batch(value))
    if isinstance(value, Run):
        return fragment(_run(value))
    raise TypeError(f"there is no HTML for {type(value).__name__}")


def _samples(samples: Samples) -> Fragment:
    lines = [samples.how, *samples.doubts]
    if samples.left_out:
        lines.append(f"{count(len(samples.left_out))} left out, the first is {samples.left_out[0].name}")
    return Fragment(
        title=f"{samples.source}: {counted(len(samples), samples.noun)}",
        lines=tuple(lines),
        table=_numbers(samples) if samples.task == "regression" else _counted(samples),
    )


def _numbers(samples: Samples) -> tuple[tuple[str, ...], ...]:
    """The range of each number, a row a number."""
    known = samples.targets[samples.labelled]
    rows: list[tuple[str, ...]] = [("number", "least", "mean", "largest")]
    if len(known):
        for name, column in zip(samples.class_names, known.T, strict=True):
            rows.append((clip(name, 60), *(decimal(one) for one in (column.min(), column.mean(), column.max()))))
    return tuple(rows[: 1 + MOST_ROWS])


def _counted(samples: Samples) -> tuple[tuple[str, ...], ...]:
    """Pictures or rows a class, a column a split."""
    names, counts = samples.class_names, samples.counts()
    rows = [("label" if samples.task == "multilabel" else "class", *(split or f"{samples.noun}s" for split in counts))]
    rows += [
        (clip(name, 60), *(count(column[k]) for column in counts.values())) for k, name in enumerate(names[:MOST_ROWS])
    ]
    if len(names) > MOST_ROWS:
        rest = (count(column[MOST_ROWS:].sum()) for column in counts.values())
        rows.append((f"and {count(len(names) - MOST_ROWS)} more", *rest))
    return tuple(rows)


def _batch(batch: Batch) -> Fragment:
    pictures = batch.pictures[:MOST_PICTURES].permute(0, 2, 3, 1).cpu().numpy()
    targets = np.asarray(batch.targets[:MOST_PICTURES].cpu())
    size = "x".join(map(str, batch.pictures.shape[1:]))
    return Fragment(
        title=f"a batch of {count(len(batch))} pictures, {size} each",
        pictures=tuple(
            (thumbnail(pixels, side=SIDE), f"row {row}: {_target(target)}")
            for pixels, row, target in zip(pictures, batch.rows.tolist(), targets, strict=False)
        ),
    )


def _target(target: np.ndarray) -> str:
    """A target of a batch in words: its number, its few numbers, or the largest of many."""
    if target.ndim == 0:
        return str(target.item()) if target.dtype.kind in "iu" else decimal(target.item())
    if target.ndim == 1 and target.size <= LISTED_NUMBERS:
        return ", ".join(decimal(value) for value in target.tolist())
    if target.ndim == 1:
        best = int(target.argmax())
        return f"{best} ({decimal(target[best])})"
    return "x".join(map(str, target.shape))


def _run(run: Run) -> Fragment:
    try:
        config = run.config
        if not run.finished:
            return Fragment(title=str(run), lines=("this run is not finished", run.how_to_go_on()))
        metrics = run.metrics
    except InputError as error:
        return Fragment(title=str(run), lines=(str(error),))
    split = next((name for name in SPLITS if isinstance(metrics.get(name), Mapping)), None)
    lines = [f"network: {config['network']['name']}", f"report: {run.report}"]
    if split is None:
        lines.append("nothing was held back, so there is no telling how well it answers")
    else:
        lines.append(f"on {count(metrics[split].get('n'))} {split.replace('_', '-')} {run.noun}s:")
    return Fragment(title=str(run), lines=tuple(lines), table=() if split is None else figures_of(metrics[split]))


def figures_of(evaluation: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """The figures of an evaluation {name: {"value", "low", "high"}} as a table."""
    task = str(evaluation.get("task", "classification"))
    called = {**FURTHER, **({key: words for key, words, _ in KINDS[task].figures} if task in KINDS else {})}
    rows = [("figure", "value", "95 % interval")]
    for name, figure in evaluation.items():
        if not (isinstance(figure, Mapping) and "value" in figure):
            continue
        low, high = figure.get("low"), figure.get("high")
        between = f"{decimal(low)} to {decimal(high)}" if low is not None and high is not None and low < high else ""
        rows.append((called.get(name, name.replace("_", " ")), decimal(figure["value"]), between))
    return tuple(rows[: 1 + MOST_ROWS])
