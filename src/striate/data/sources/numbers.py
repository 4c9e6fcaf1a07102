"""A table of numbers: no column names pictures, each row is itself what a network is given, and what it is to answer.

CSV or TSV with a header, JSON lines, Parquet. What is to be learned are the columns of `--targets`, the one that is
called so (label, class, target, ...), or the only one that holds texts; columns that number the rows (id, index, or
without a name) are not used; every other one is a field, and must hold numbers. Rows without all of their numbers are
left out.

Legend: N rows, F fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from striate.data.samples import CLASSIFICATION, REGRESSION, TRAIN, Samples
from striate.data.sources.asked import Asked
from striate.data.sources.column_roles import (
    COUNTING_COLUMNS,
    GROUP_COLUMNS,
    HEAD_ROWS,
    LABEL_COLUMNS,
    PATH_COLUMNS,
    SPLIT_COLUMNS,
    Table,
)
from striate.data.sources.columns import Column, Rows, is_empty, number
from striate.data.sources.digits import lost_digits
from striate.data.sources.listing import SPLIT_NAMES, class_name, listing, shown, some
from striate.data.sources.number_rows import (
    NumberRows,
    fields_in,
    format_of,
    in_32_bits,
    number_in,
    places_of,
)
from striate.data.sources.target_columns import read_targets
from striate.data.sources.targets import Targets
from striate.errors import InputError, unknown
from striate.words import counted

FILES = ("file", "path", "image", "picture")  # in the name of a column of texts
SELDOM = 2  # rows of a class that is rather a number


@dataclass(frozen=True)
class _Roles:
    """Which columns are what; -1 where there is none."""

    fields: tuple[int, ...]
    targets: tuple[int, ...]
    split: int
    group: int
    unused: tuple[int, ...]  # that number the rows


@dataclass(frozen=True)
class _Part:
    """One file, and the split that it is called by, or ""."""

    file: Path
    split: str
    table: Table
    roles: _Roles


def recognises(path: Path, wanted: Asked | None = None) -> bool:
    """Whether it is a table with a column to learn, fields of numbers and none of pictures; or a folder of such."""
    return bool(_files(path, wanted or Asked()))


def read(path: Path, wanted: Asked | None = None) -> Samples:
    """The rows of a table of numbers, or of the tables in a folder, which are then called by their splits.

    Raises InputError: a field that holds texts, a row without a target, no row with all of its numbers.
    """
    wanted = wanted or Asked()
    files = _files(path, wanted)
    parts = [_part(file, split, wanted) for file, split in _as_splits(path, files)]
    first = parts[0]
    names = tuple(first.table.names[place].strip() for place in first.roles.fields)
    values: list[np.ndarray] = []
    titles: list[str] = []
    places: list[str] = []
    splits: list[str] = []
    groups: list[str] = []
    for part in parts:
        where = shown(str(part.file))
        try:
            values.append(fields_in(part.table, places_of(part.table, names)))
            splits += _splits(part)
            groups += _groups(part)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        file = shown(part.file.name)
        titles += [f"{file}#{row}" for row in range(1, len(part.table.lines) + 1)]
        said = f"{file} " if len(parts) > 1 else ""
        places += [f"{said}{part.table.unit} {line}" for line in part.table.lines]
    source = shown(str(path))
    if not titles:
        raise InputError(f"{source}: the table has a header, but no row")
    targets = _targets(parts, wanted, Rows(places.__getitem__, titles.__getitem__), source)
    wide = np.concatenate(values)
    kept, reasons = in_32_bits(wide, names)
    samples = Samples(
        source=str(path),
        how=_sentence(parts, targets, names, len(titles) - len(reasons)),
        pictures=NumberRows(kept),
        index=np.arange(len(titles), dtype=np.int64),
        names=tuple(titles),
        targets=targets.values,
        class_names=targets.names,
        splits=np.array(splits, dtype=np.str_),
        groups=np.array(groups, dtype=np.str_) if first.roles.group >= 0 else None,
        doubts=(*targets.doubts, *lost_digits(wide, names)),
        task=targets.task,
        fields=tuple(map(shown, names)),
    )
    left_out = {**dict(targets.left_out), **reasons}
    if len(left_out) == len(titles):
        raise InputError(f"{source}: no row can be used; the first is {titles[0]} ({left_out[0]})")
    return _noted(samples.without(sorted(left_out.items())), len(reasons))


# -- which files, which columns -------------------------------------------------------------------------


def _files(path: Path, wanted: Asked) -> list[Path]:
    if not path.is_dir():
        return [path] if _is_table(path, wanted) else []
    there = listing(path)
    if there.pictures or there.folders:
        return []
    return [path / name for name in there.others if _is_table(path / name, wanted)]


def _is_table(path: Path, wanted: Asked) -> bool:
    kind = format_of(path)
    if kind is None:
        return False
    try:
        table = kind.head(path)
        roles = _roles(table, wanted)
    except (InputError, OSError):
        return False  # what is wrong with it is said by those that read tables of pictures
    # A table whose every column holds texts was hardly meant as one of numbers.
    return isinstance(roles, _Roles) and any(_is_numbers(table, place) for place in roles.fields)


def _as_splits(path: Path, files: Sequence[Path]) -> list[tuple[Path, str]]:
    """The files with their splits: one has none, several are called by them. Raises InputError."""
    if len(files) == 1:
        return [(files[0], "")]
    named = [(file, SPLIT_NAMES.get(file.stem.casefold(), "")) for file in files]
    splits = [split for _, split in named]
    if "" in splits or TRAIN not in splits or len(set(splits)) < len(splits):
        raise InputError(
            f"{shown(str(path))}: {len(files)} tables of numbers, {some([file.name for file in files])}; name one of "
            "them, or call them train.csv and test.csv"
        )
    return sorted(named, key=lambda one: [*SPLIT_NAMES.values()].index(one[1]))


def _part(file: Path, split: str, wanted: Asked) -> _Part:
    kind = format_of(file)
    assert kind is not None
    try:
        table = kind.whole(file)
        roles = _roles(table, wanted)
        if isinstance(roles, str):
            raise InputError(roles)
        names = [name.strip().casefold() for name in table.names]
        double = next((name for name in names if name not in COUNTING_COLUMNS and names.count(name) > 1), None)
        if double is not None:
            raise InputError(f"two columns are called '{shown(double)}'")
    except InputError as error:
        raise InputError(f"{shown(str(file))}: {error}") from None
    return _Part(file, split, table, roles)


def _roles(table: Table, wanted: Asked) -> _Roles | str:
    """Which columns are what, or what is lacking."""
    names = [name.strip().casefold() for name in table.names]

    def place(known: Sequence[str]) -> int:
        return next((names.index(name) for name in known if name in names), -1)

    if place(PATH_COLUMNS) >= 0:
        return "it names pictures"
    split, group = place(SPLIT_COLUMNS), place(GROUP_COLUMNS)
    counting = tuple(at for at, name in enumerate(names) if name in COUNTING_COLUMNS)
    if wanted.columns:
        strange = [name for name in wanted.columns if name.casefold() not in names]
        if strange:
            return str(unknown("column", strange[0], [name.strip() for name in table.names]))
        targets = tuple(names.index(name.casefold()) for name in wanted.columns)
    else:
        label = place(LABEL_COLUMNS)
        left = set(range(len(names))) - {split, group, *counting}
        texts = [at for at in sorted(left) if not _is_numbers(table, at)]
        if label < 0 and len(texts) != 1:
            return (
                f"no column says what is to be learned ({', '.join(LABEL_COLUMNS[:4])}); name it with --targets COLUMN"
            )
        if label < 0 and any(word in names[texts[0]] for word in FILES):
            return f"its column '{table.names[texts[0]].strip()}' names files, which are no classes"
        targets = (label if label >= 0 else texts[0],)
    taken = {split, group, *targets}
    fields = tuple(at for at in range(len(names)) if at not in taken and at not in counting)
    if not fields:
        return "no column is left as a field"
    return _Roles(fields, targets, split, group, tuple(at for at in counting if at not in taken))


def _is_numbers(table: Table, place: int) -> bool:
    """Whether its first rows hold numbers there, one at least."""
    values = [number_in(value) for value in table.columns[place][:HEAD_ROWS]]
    return None not in values and any(value == value for value in values)


# -- values ----------------------------------------------------------------------------------------------


def _splits(part: _Part) -> list[str]:
    """The split of each row. Raises InputError for a name of none."""
    if part.roles.split < 0:
        return [part.split] * len(part.table.lines)
    found = []
    for line, value in zip(part.table.lines, part.table.columns[part.roles.split], strict=True):
        text = "" if value is None else str(value).strip()
        if text.casefold() not in SPLIT_NAMES:
            raise InputError(
                f"{part.table.unit} {line}: the split is '{shown(text)[:60]}'; known: train, validation, test"
            )
        found.append(SPLIT_NAMES[text.casefold()])
    return found


def _groups(part: _Part) -> list[str]:
    if part.roles.group < 0:
        return [""] * len(part.table.lines)
    values = zip(part.table.lines, part.table.columns[part.roles.group], strict=True)
    # a row without a group is alone: no other can have this name
    return [
        f"({part.file.name} {line})" if is_empty(value) else class_name(str(value).strip()) for line, value in values
    ]


def _targets(parts: Sequence[_Part], wanted: Asked, rows: Rows, source: str) -> Targets:
    """What is to be learned of all rows. Raises InputError."""
    first = parts[0]
    names = [first.table.names[place].strip() for place in first.roles.targets]
    columns = []
    try:
        for name in names:
            values = [value for part in parts for value in part.table.columns[places_of(part.table, [name])[0]]]
            columns.append(Column(name, values))
        found = read_targets(columns, wanted.task, rows)
        if wanted.task is None and found.task == CLASSIFICATION and found.values.ndim == 1 and _are_numbers(found):
            note = (
                f"'{shown(names[0])}' is learned as a number, for most of its values occur once or twice (as classes: "
                "--task classification)"
            )
            return replace(read_targets(columns, REGRESSION, rows), notes=(note,))
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    return found


def _are_numbers(found: Targets) -> bool:
    """Whether classes are rather numbers: all are called by one, and most of them have a row or two."""
    counts = np.bincount(found.values[found.values >= 0], minlength=len(found.names))
    return bool((counts <= SELDOM).mean() > 0.5) and all(number(name) is not None for name in found.names)


def _sentence(parts: Sequence[_Part], targets: Targets, fields: Sequence[str], rows: int) -> str:
    table, roles = parts[0].table, parts[0].roles
    title = ", ".join(shown(part.file.name) for part in parts)
    learned = some([table.names[place].strip() for place in roles.targets])
    told = [
        f"table{'s' * (len(parts) > 1)} of numbers {title}: {targets.what} ({learned}), "
        f"{counted(rows, 'row')} of {counted(len(fields), 'field')} ({some(list(fields))})",
        *targets.notes,
        *(note for note in dict.fromkeys(note for part in parts for note in part.table.notes)),
    ]
    unused = [table.names[place].strip() for place in roles.unused]
    if unused:
        told.append(f"{some([name or '(without a name)' for name in unused])} not used, as it numbers the rows")
    return "; ".join(told)


def _noted(samples: Samples, incomplete: int) -> Samples:
    if not incomplete:
        return samples
    verb = "row is" if incomplete == 1 else "rows are"
    return replace(samples, how=f"{samples.how}; {incomplete:,} {verb} left out, for a number is missing there")
