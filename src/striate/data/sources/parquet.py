"""Parquet files: a table that names picture files, or one that holds the pictures' own bytes. Needs pyarrow.

Pictures are a column of bytes, or of {bytes, path} as Hugging Face's `datasets` writes them; the names of classes are
read from what it notes in the schema. Files that are called by splits (train-00000-of-00002.parquet) are one table.
What columns mean is told in `column_roles`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from striate.data.samples import TRAIN, Samples
from striate.data.sources import named_pictures
from striate.data.sources.asked import Asked
from striate.data.sources.column_roles import HEAD_ROWS, Roles, Table, find_roles
from striate.data.sources.columns import Column
from striate.data.sources.listing import SPLIT_NAMES, listing, shown, some, split_of
from striate.data.sources.row_groups import BYTES, RowGroups, opened, readable
from striate.data.sources.tabular import Format, Part
from striate.errors import InputError

SUFFIXES = (".parquet",)
PICTURE_COLUMNS = ("image", "img", "picture", "pixels", "file", "jpg", "png")


def recognises(path: Path) -> bool:
    """Whether it is a Parquet file by its name, or a folder that holds some (also in split folders)."""
    if path.is_dir():
        return bool(_files(path))
    return path.name.lower().endswith(SUFFIXES)


def read(path: Path, root: Path | None = None, wanted: Asked | None = None) -> Samples:
    """The pictures in Parquet files, or those that they name (see `named_pictures.read`). Raises InputError."""
    parts = _files(path) if path.is_dir() else [Part(path)]
    if not parts:
        raise InputError(f"{shown(str(path))}: no Parquet file in it")
    for part in parts:
        try:
            column = picture_column(_schema(part.file))
        except InputError as error:
            raise InputError(f"{shown(str(part.file))}: {error}") from None
        if column:
            return _with_pictures(path, parts, column, wanted or Asked())
    return named_pictures.read(PARQUET, path, root, wanted)


def _files(folder: Path) -> list[Part]:
    """The Parquet files directly in a folder, else those in its split folders."""
    top = listing(folder)
    found = [Part(folder / name) for name in top.others if name.lower().endswith(SUFFIXES)]
    if found:
        return found
    return [
        Part(folder / inner / name, SPLIT_NAMES[inner.casefold()])
        for inner in top.folders
        if inner.casefold() in SPLIT_NAMES
        for name in listing(folder / inner).others
        if name.lower().endswith(SUFFIXES)
    ]


# -- pictures in the file -----------------------------------------------------------------------------


def picture_column(schema: Any) -> str:
    """The column that holds pictures: bytes, or {bytes, path}; "" where there is none."""
    import pyarrow as pa

    def is_bytes(kind: Any) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    found = []
    for place in range(len(schema)):
        one = schema.field(place)
        inner = one.type
        if pa.types.is_struct(inner) and inner.get_field_index(BYTES) >= 0:
            inner = inner.field(inner.get_field_index(BYTES)).type
        if is_bytes(inner):
            found.append(one.name)
    known = [name for wanted in PICTURE_COLUMNS for name in found if name.casefold() == wanted]
    return str((known or found or [""])[0])


def _with_pictures(path: Path, parts: Sequence[Part], column: str, wanted: Asked) -> Samples:
    tables: list[Table] = []
    pictures = RowGroups()
    roles: Roles | None = None
    for part in parts:
        try:
            schema = _schema(part.file)
            if picture_column(schema) != column:
                raise InputError(f"has no pictures in a column '{shown(column)}', as {parts[0].file.name} has")
            table = _table(part.file, _but(schema, column))
            found = find_roles(table, wanted, -1)
            if isinstance(found, str):
                there = some(table.names, 12)
                raise InputError(f"{found}; columns there: '{shown(column)}' (the pictures), {there}")
            if tables and tables[0].names != table.names:
                raise InputError(f"has other columns ({some(table.names)}) than {tables[0].title}")
            with readable():
                pictures.add(part.file, column)
        except InputError as error:
            raise InputError(f"{shown(str(part.file))}: {error}") from None
        roles = roles or found
        tables.append(table)
    assert roles is not None
    names = [f"{table.title}#{row}" for table in tables for row in range(len(table.lines))]
    if not names:
        raise InputError(f"{shown(str(path))}: no rows")
    called = [f"{table.title} row" if len(tables) > 1 else "row" for table in tables]
    places = [f"{start} {line}" for table, start in zip(tables, called, strict=True) for line in table.lines]

    def of_all(at: int) -> list[Any]:
        return [value for table in tables for value in table.columns[at]]

    splits = [split for table, split in zip(tables, _splits(parts), strict=True) for _ in table.lines]
    try:
        if roles.split >= 0:
            splits = list(map(named_pictures.split_in, of_all(roles.split), places))
        return named_pictures.samples_of(
            named_pictures.Pictured(
                pictures=pictures,
                columns=[Column(tables[0].names[at], of_all(at), _names_of(tables, at)) for at in roles.targets],
                names=names,
                places=places,
                splits=splits,
                groups=list(map(named_pictures.group_in, of_all(roles.group), names)) if roles.group >= 0 else None,
            ),
            wanted,
            source=str(path),
            title=f"pictures in {', '.join(table.title for table in tables[:3])}{', ...' * (len(tables) > 3)}",
            said=f"columns {some([column, *(tables[0].names[at] for at in roles.targets)], 8)}",
        )
    except InputError as error:
        raise InputError(f"{shown(str(parts[0].file if len(parts) == 1 else path))}: {error}") from None


def _names_of(tables: Sequence[Table], at: int) -> tuple[str, ...] | None:
    """The names of classes that all files note for a column. Raises InputError where they differ."""
    noted = {table.class_names[at] for table in tables}
    if len(noted) > 1:
        raise InputError(f"{tables[0].title} and others name the classes of '{shown(tables[0].names[at])}' differently")
    return noted.pop()


def _splits(parts: Sequence[Part]) -> list[str]:
    """The split of each file, by its folder or the beginning of its name; none where all are of one."""
    found = [part.split or split_of(part.file.name) for part in parts]
    if len(set(found)) < 2:
        return [""] * len(parts)
    if "" in found or TRAIN not in found:
        raise InputError(
            f"{shown(str(parts[0].file.parent))}: some Parquet files are called by a split, and not all, or train is "
            f"not among them ({some([part.file.name for part in parts])}); give each the name of its split, or none any"
        )
    return found


# -- tables -------------------------------------------------------------------------------------------


def _schema(file: Path) -> Any:
    """The Arrow schema of a file. Raises InputError (the reason alone)."""
    with readable():
        return opened(file).schema_arrow


def _but(schema: Any, column: str) -> list[str]:
    """The columns that may say what is to be learned, by their names; not those of bytes."""
    import pyarrow as pa

    taken = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_struct, pa.types.is_map)
    return [one.name for one in schema if one.name != column and not any(kind(one.type) for kind in taken)]


def _table(file: Path, names: Sequence[str], rows: int | None = None) -> Table:
    """Columns of a file as values of Python. Raises InputError (the reason alone)."""
    with readable():
        parquet = opened(file)
        total = parquet.metadata.num_rows if rows is None else min(rows, parquet.metadata.num_rows)
        columns: list[list[Any]] = [[] for _ in names]
        count = 0
        for batch in parquet.iter_batches(batch_size=65_536, columns=list(names), use_threads=False):
            batch = batch.slice(0, total - count)
            for place in range(len(names)):
                columns[place].extend(batch.column(place).to_pylist())
            count += batch.num_rows
            if count >= total:
                break
        if not names:
            count = total
        if count != total or any(len(column) != total for column in columns):
            raise InputError(f"its description says {total:,} rows, but {count:,} are there")
        noted = _noted_names(parquet.schema_arrow)
    lines = range(1, total + 1)
    return Table(shown(file.name), tuple(names), columns, lines, "row", (), tuple(noted.get(name) for name in names))


def _whole(file: Path) -> Table:
    return _table(file, _but(_schema(file), ""))


def _head(file: Path) -> Table:
    schema = _schema(file)
    if picture_column(schema):
        raise InputError(f"it holds the pictures themselves, in '{shown(picture_column(schema))}'")
    return _table(file, _but(schema, ""), rows=HEAD_ROWS)


PARQUET = Format(SUFFIXES, _head, _whole)


def _noted_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """Column -> names of its classes, as `datasets` notes them under "huggingface" in the schema."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = noted["info"]["features"]
        items = list(features.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    found = {}
    for column, feature in items:
        # a list of classes is noted as [class], or as {"feature": class}
        inner = feature[0] if isinstance(feature, list) and feature else feature
        inner = inner.get("feature", inner) if isinstance(inner, dict) else inner
        names = inner.get("names") if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" else None
        if isinstance(names, list) and names and all(isinstance(name, str) and name.strip() for name in names):
            found[str(column)] = tuple(names)
    return found
