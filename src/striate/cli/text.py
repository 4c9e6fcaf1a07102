"""Text for terminals: percentages with intervals, tables, JSON; and streams that take any text, or nobody reads."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from striate.names import on_one_line


def prepare_streams() -> None:
    """Let the standard streams take any text: what their encoding lacks is written out, what is closed is nowhere."""
    if sys.stdout is None:  # closed by the caller, as by `>&-`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write_nowhere(stream: TextIO) -> None:
    """From here on whatever goes to `stream` is dropped: whoever read it has gone (`| head`), or it is full."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return  # no file of the system's
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def print_json(values: Any) -> None:
    """One line of JSON on stdout. What is no number is null, for JSON has no other word for it."""
    import json

    from striate.models.run import without_nan

    print(json.dumps(without_nan(values), allow_nan=False))


def has_interval(figure: Mapping[str, Any]) -> bool:
    """Whether a figure has an interval. One of no width is none: without a mistake resampling finds no spread."""
    low, high = figure.get("low"), figure.get("high")
    return low is not None and high is not None and low < high


def percent_with_interval(figure: Mapping[str, Any]) -> str:
    """ "97.50 % (95 % interval 94.3 to 98.9)" of a figure {"value", "low", "high"} in [0, 1]."""
    if figure.get("value") is None:
        return "-"
    text = f"{100 * figure['value']:.2f} %"
    if not has_interval(figure):
        return text
    return f"{text} (95 % interval {100 * figure['low']:.1f} to {100 * figure['high']:.1f})"


def decimal_with_interval(figure: Mapping[str, Any]) -> str:
    """ "0.7810 (95 % interval 0.7012 to 0.8450)" of a figure in units of its own."""
    text = decimal(figure["value"])
    if not has_interval(figure):
        return text
    return f"{text} (95 % interval {decimal(figure['low'])} to {decimal(figure['high'])})"


def decimal(value: float) -> str:
    """Four digits behind the point, or four that count where the number is small or large."""
    return f"{value:.4f}" if value == 0 or 0.01 <= abs(value) < 1e4 else f"{value:.4g}"


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows as aligned columns, the first row a heading; `right` are the columns set to the right."""
    cells = [[on_one_line(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for row in cells:
        parts = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
