"""Text for terminals: durations, percentages with intervals, tables, and names that any terminal can take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def printable(text: str) -> str:
    """Text that any terminal can take: control characters and odd bytes of file names as escapes."""
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in safe)


def percent_with_interval(figure: Mapping[str, Any]) -> str:
    """ "97.50 % (95 % interval 94.3 to 98.9)" of a figure {"value", "low", "high"} in [0, 1]."""
    if figure.get("value") is None:
        return "-"
    text = f"{100 * figure['value']:.2f} %"
    if figure.get("low") is None or figure.get("high") is None:
        return text
    return f"{text} (95 % interval {100 * figure['low']:.1f} to {100 * figure['high']:.1f})"


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows as aligned columns, the first row a heading; `right` are the columns set to the right."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for row in cells:
        parts = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
