"""What happened, an epoch a row: `history.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from striate.errors import InputError

Row = dict[str, float]


def history_text(rows: Sequence[Mapping[str, float]]) -> str:
    """The rows as CSV: a column for every name that any row has, in order of first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns or ["epoch"])
    for row in rows:
        writer.writerow([_shown(row[name]) if name in row else "" for name in columns])
    return text.getvalue()


def read_history(text: str) -> list[Row]:
    """What `history_text` wrote. Raises InputError where it is something else."""
    try:
        rows = list(csv.DictReader(io.StringIO(text)))
        return [{name: float(value) for name, value in row.items() if value} for row in rows]
    except (csv.Error, ValueError, TypeError) as error:
        raise InputError(f"not the table of a training's epochs ({error})") from error


def _shown(value: float) -> str:
    # 17 digits give a float64 back bit for bit.
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.17g}"
