"""A table of pictures as JSON lines: one object a line, its keys are the columns. What they mean: `column_roles`.

A label may be a list, for several. `metadata.jsonl` with `file_name` is how Hugging Face's image folders have it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from striate.data.samples import Samples
from striate.data.sources import named_pictures, tabular
from striate.data.sources.asked import Asked
from striate.data.sources.column_roles import HEAD_ROWS, Table
from striate.data.sources.files import read_file
from striate.data.sources.listing import shown
from striate.data.sources.tabular import Format
from striate.errors import InputError

SUFFIXES = (".jsonl", ".ndjson")
LARGEST = 512 << 20
HEAD = 1 << 16
MOST_COLUMNS = 10_000


def recognises(path: Path) -> bool:
    """Whether it is a file of JSON lines by its name, or a folder that holds a table of pictures in one."""
    return tabular.recognises(JSON_LINES, path)


def read(path: Path, root: Path | None = None, wanted: Asked | None = None) -> Samples:
    """The pictures that JSON lines, or those in a folder, name; see `named_pictures.read`. Raises InputError."""
    return named_pictures.read(JSON_LINES, path, root, wanted)


def _head(path: Path) -> Table:
    with path.open("rb") as file:
        data = file.read(HEAD)
    whole = data if len(data) < HEAD else data[: data.rfind(b"\n") + 1]
    return _table(path, whole, most=HEAD_ROWS)


def _whole(path: Path) -> Table:
    return _table(path, read_file(path, LARGEST))


JSON_LINES = Format(SUFFIXES, _head, _whole)


def _table(path: Path, data: bytes, most: int | None = None) -> Table:
    columns: dict[str, list[Any]] = {}
    lines: list[int] = []
    for line, values in _objects(data):
        for name in values:
            if name not in columns:
                columns[name] = [None] * len(lines)
                if len(columns) > MOST_COLUMNS:
                    raise InputError(f"line {line}: more than {MOST_COLUMNS:,} different keys, which no table has")
        for name, column in columns.items():
            column.append(values.get(name))
        lines.append(line)
        if most is not None and len(lines) >= most:
            break
    if not lines:
        raise InputError('empty, where a line such as {"path": "1.jpg", "label": "cat"} is needed')
    return Table(shown(path.name), tuple(columns), list(columns.values()), lines)


def _objects(data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, its object) of every line that is not blank. Raises InputError."""
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            value = json.loads(raw.decode("utf-8"))
        except UnicodeDecodeError:
            raise InputError(f"line {number}: not UTF-8 text") from None
        except ValueError as error:  # of JSON, and numbers with thousands of digits
            raise InputError(f"line {number}: no JSON ({error})") from None
        except RecursionError:
            raise InputError(f"line {number}: no JSON of a table (nested too deeply)") from None
        if not isinstance(value, dict):
            raise InputError(f"line {number}: no object {{...}} but a {type(value).__name__}")
        yield number, value
