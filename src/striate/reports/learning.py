"""How a training went, arranged for the page: curves over the epochs, the size of the updates, the table of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.reports import drawing, lines, text
from striate.reports.training_report import TrainingReport

VALIDATION = "validation_"  # how the columns of a history begin that were measured on validation
UPDATES = "update_ratio"  # alone, or followed by ":" and the layer


def curves(report: TrainingReport) -> list[drawing.Chart]:
    """The curves that the history has: loss, metrics, learning rate, size of the updates."""
    history = report.history
    if len(history) < 2:
        return []
    names = list(dict.fromkeys(key for row in history for key in row))
    epochs = [text.finite(row.get("epoch")) or float(number) for number, row in enumerate(history, 1)]

    def line(column: str, name: str, style: str = "one") -> lines.Series:
        return lines.Series(name=name, values=[text.finite(row.get(column)) for row in history], style=style)

    # Both are in nats and belong into one drawing.
    losses = [line(name, "validation") for name in ("validation_loss", "validation_log_loss") if name in names][:1]
    charts = [_loss_chart(epochs, [line("loss", "training", "two"), *losses], report.best_epoch)]
    for name in names:
        metric = name.removeprefix(VALIDATION)
        if metric == name or metric in ("loss", "log_loss"):
            continue
        series = [line(name, "validation")]
        if metric in names:
            series.insert(0, line(metric, "training", "two"))
        values = [value for one in series for value in one.values if value is not None]
        charts.append(
            lines.line_chart(
                metric.replace("top5", "top-5").replace("_", " ").capitalize(),
                epochs,
                series,
                as_percent=bool(values) and min(values) >= 0 and max(values) <= 1,
                mark=report.best_epoch,
            )
        )
    if "learning_rate" in names:
        charts.append(lines.line_chart("Learning rate", epochs, [line("learning_rate", "learning rate")]))
    charts.append(_updates_chart(epochs, history, [name for name in names if name.startswith(UPDATES)]))
    return [chart for chart in charts if chart is not None]


def _loss_chart(epochs: list[float], series: list[lines.Series], best: int | None) -> drawing.Chart | None:
    values = [value for one in series for value in one.values if value is not None]
    # A loss that falls by far would lie flat on the ground of a linear axis.
    wide = bool(values) and min(values) > 0 and max(values) > 50 * min(values)
    return lines.line_chart("Loss", epochs, series, logarithmic=wide, mark=best)


def _updates_chart(
    epochs: list[float], history: Sequence[Mapping[str, Any]], layers: Sequence[str]
) -> drawing.Chart | None:
    """Norm of the updates over norm of the weights: the middle layer and the two at the ends."""
    found = [sorted(value for one in layers if (value := text.finite(row.get(one))) is not None) for row in history]
    series = [
        lines.Series(name="middle layer", values=[float(np.median(row)) if row else None for row in found]),
    ]
    if len(layers) > 1:
        series.append(
            lines.Series(name="lowest, highest", values=[row[0] if row else None for row in found], style="two")
        )
        series.append(lines.Series(name="", values=[row[-1] if row else None for row in found], style="two"))
    title = "Size of the updates, as a share of the weights"
    return lines.line_chart(title, epochs, series, logarithmic=True, reference=1e-3)


@dataclass(frozen=True, kw_only=True)
class LayerUpdates:
    """A layer and the size of its updates over the size of its weights, at the start, midway and at the end."""

    layer: str
    first: float | None
    middle: float | None
    last: float | None


def layer_updates(history: Sequence[Mapping[str, Any]]) -> list[LayerUpdates]:
    """The layers in the order of the network; none where there is one row or only one number a row."""
    layers = [name for name in dict.fromkeys(key for row in history for key in row) if name.startswith(f"{UPDATES}:")]
    found = []
    for name in layers if len(history) > 1 else []:
        values = [value for row in history if (value := text.finite(row.get(name))) is not None]
        if values:
            ends = (values[0], values[len(values) // 2], values[-1])
            found.append(LayerUpdates(layer=name.partition(":")[2], first=ends[0], middle=ends[1], last=ends[2]))
    return found


def history_columns(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names that any row of the history has, in order of first appearance, but for those of single layers."""
    names = dict.fromkeys(key for row in history for key in row)
    return [name for name in names if not name.startswith(f"{UPDATES}:")]


def history_rows(history: Sequence[Mapping[str, Any]], most: int = 200) -> list[list[str]]:
    """The history as texts, at most about `most` rows of it, evenly spaced, the last among them."""
    columns = history_columns(history)
    stride = max(1, -(-len(history) // most))
    chosen = [row for number, row in enumerate(history, 1) if number % stride == 0 or number == len(history)]
    return [[_entry(column, row.get(column)) for column in columns] for row in chosen]


def _entry(column: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if column == "seconds":
        return text.duration(value)
    number = text.finite(value)
    return text.count(number) if number is not None and number.is_integer() else text.decimal(number, 4)
