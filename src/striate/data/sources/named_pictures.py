"""Pictures that the rows of a table name -> Samples. Paths stay inside the table's folder (or `root`).

Several tables that are called by splits (train.csv, test.csv; train/metadata.jsonl, test/metadata.jsonl) are one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from striate.data.samples import TRAIN, LeftOut, Pictures, Samples
from striate.data.sources.asked import Asked
from striate.data.sources.column_roles import Roles, Table, find_roles, number_columns
from striate.data.sources.columns import Column, Rows, is_empty, no_label
from striate.data.sources.files import Files
from striate.data.sources.listing import SPLIT_NAMES, listing, shown, some, split_of
from striate.data.sources.tabular import NO_ROW, Format, Part, missing, tables
from striate.data.sources.target_columns import read_targets
from striate.errors import InputError
from striate.words import counted

NAME_THE_ANSWER = "; if its rows are what is to be learned from, name the answer: --targets COLUMN"


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictured:
    """N pictures, and the columns that say what is to be learned of them."""

    pictures: Pictures
    columns: Sequence[Column]
    names: Sequence[str]
    places: Sequence[str]  # in sentences: "line 7"
    splits: Sequence[str]
    groups: Sequence[str] | None


class _Place(NamedTuple):
    """Where a row stands: "line 7", "test.csv line 7" where a table is of several files."""

    file: str
    unit: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}{self.unit} {self.line}"

    def and_(self, other: _Place) -> str:
        """Both of them in a sentence."""
        alike = (self.file, self.unit) == (other.file, other.unit)
        return f"{self.file}{self.unit}s {self.line} and {other.line}" if alike else f"{self} and {other}"


@dataclass
class _Rows:
    """One entry a picture of the table."""

    names: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    values: list[tuple[Any, ...]] = field(default_factory=list)
    places: list[_Place] = field(default_factory=list)
    repeated: int = 0


def read(kind: Format, path: Path, root: Path | None = None, wanted: Asked | None = None) -> Samples:
    """The pictures that a table, or the table in a folder, names. Raises InputError.

    Paths are relative to `root`, by default to the folder of the table. Files that are not there are left out.
    """
    wanted = wanted or Asked()
    parts = _parts(kind, path, wanted) if path.is_dir() else [Part(path)]
    rows = _Rows()
    said: Table | None = None
    roles: Roles | None = None
    top = os.path.abspath(root if root is not None else path if path.is_dir() else path.parent)  # noqa: PTH100 - links stay
    notes: list[str] = []
    for part in parts:
        where = shown(str(part.file))
        try:
            table = kind.whole(part.file)
            found = find_roles(table, wanted)
            if isinstance(found, str):
                if not table.lines:  # which columns hold numbers is not to be seen, either
                    raise InputError(NO_ROW)
                there = some([name.strip() for name in table.names], 12)
                hint = " (--targets names those to learn)"
                if found.startswith("no column for the path"):
                    fields = not wanted.columns and len(number_columns(table)) > 1
                    hint = NAME_THE_ANSWER if fields else ""
                raise InputError(f"{found}; columns there: {there}{hint}")
            if said is not None and roles is not None:
                _check_alike(said, roles, table, found)
            said, roles = said or table, roles or found
            base = top if root is not None else os.path.abspath(part.file.parent)  # noqa: PTH100
            several = f"{part.called(path)} " if len(parts) > 1 else ""
            _collect(table, found, part.split, (base, top), several, rows)
            notes += [note for note in table.notes if note not in notes]
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    assert said is not None
    assert roles is not None
    return _samples(rows, said, roles, wanted, str(path), parts, notes)


def _check_alike(first: Table, its: Roles, other: Table, roles: Roles) -> None:
    """Raise InputError where two parts of a table do not say the same things."""

    def said(one: Table, places: Roles) -> list[str]:
        used = (places.split, places.group, *places.targets)
        return [one.names[at].strip().casefold() if at >= 0 else "" for at in used]

    if said(first, its) != said(other, roles):
        raise InputError(f"has other columns ({some(other.names)}) than {first.title} ({some(first.names)})")


def _parts(kind: Format, folder: Path, wanted: Asked) -> list[Part]:
    """The table of a folder, or the tables that are its splits. Raises InputError."""
    found = tables(kind, folder, wanted)
    if not found:
        asked_for = f" with {some(wanted.columns)}" if wanted.columns else ""
        there = [name for name in listing(folder).others if name.lower().endswith(kind.suffixes)]
        lacking = "; ".join(f"{shown(name)}: {missing(kind, folder / name, wanted)}" for name in there[:3])
        raise InputError(
            f"{shown(str(folder))}: no table of labels in it{asked_for}{f' ({lacking})' if lacking else ''}"
        )
    if len(found) == 1:
        return [Part(found[0].file)]
    if not any(part.split for part in found):
        named = [Part(part.file, split_of(part.file.name)) for part in found]
        splits = [part.split for part in named]
        if "" not in splits and TRAIN in splits and len(set(splits)) == len(splits):
            found = named
    if not all(part.split for part in found) or len({part.split for part in found}) < len(found):
        names = [part.file.relative_to(folder).as_posix() for part in found]
        raise InputError(
            f"{shown(str(folder))}: {len(found)} tables of labels, {some(names)}; "
            f"say which one counts: --labels {shown(str(found[0].file))}"
        )
    return found


def _collect(table: Table, roles: Roles, split: str, folders: tuple[str, str], file: str, rows: _Rows) -> None:
    """Every row into `rows`. `folders`: that its paths start from, and that names are shown from.

    Raises InputError that names the line.
    """
    base, top = folders
    seen = {path: row for row, path in enumerate(rows.paths)}
    chosen = [table.columns[place] for place in roles.targets]
    for row, line in enumerate(table.lines):
        place = _Place(file, table.unit, line)
        at = f"{table.unit} {line}"
        written = _path_of(table.columns[roles.path][row], at)
        own = split_in(table.columns[roles.split][row], at) if roles.split >= 0 else split
        group = group_in(table.columns[roles.group][row], str(place)) if roles.group >= 0 else ""
        path = inside(written, base, at)
        values = tuple(column[row] for column in chosen)
        if path in seen:
            before = seen[path]
            _check_repeated(rows, before, values, own, written, place)
            rows.repeated += 1
            continue
        seen[path] = len(rows.names)
        rows.names.append(shown(os.path.relpath(path, top).replace(os.sep, "/")))
        rows.paths.append(path)
        rows.splits.append(own)
        rows.groups.append(group)
        rows.values.append(values)
        rows.places.append(place)


def _check_repeated(rows: _Rows, before: int, values: tuple[Any, ...], split: str, written: str, place: _Place) -> None:
    """Raise InputError where a picture that was named before is said to be something else."""
    earlier = rows.values[before]
    lines = rows.places[before].and_(place)
    if [_plain(value) for value in earlier] != [_plain(value) for value in values]:
        if all(is_empty(value) for value in values):
            raise no_label("", Rows(lambda _: str(place), lambda _: shown(written)), 0)
        one, other = (", ".join(str(_plain(value)) for value in both) for both in (earlier, values))
        raise InputError(f"{lines} name {shown(written)} twice, as '{shown(one)[:80]}' and '{shown(other)[:80]}'")
    if rows.splits[before] != split:
        raise InputError(f"{lines} put {shown(written)} into two splits")


def _plain(value: Any) -> Any:
    """A value that can be compared: NaN equals NaN, arrays are lists."""
    if is_empty(value):
        return ""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.strip() if isinstance(value, str) else value


def _path_of(value: Any, at: str) -> str:
    if is_empty(value) and not (isinstance(value, str) and value.strip()):
        raise InputError(f"{at}: the path is empty")
    if not isinstance(value, str):
        raise InputError(f"{at}: the path is a {type(value).__name__}, where the name of a file is needed")
    return value.strip()


def split_in(value: Any, at: str) -> str:
    """The split that a value names. Raises InputError."""
    text = "" if value is None else str(value).strip()
    split = SPLIT_NAMES.get(text.casefold())
    if split is None:
        raise InputError(f"{at}: the split is '{shown(text)[:60]}'; known: train, validation, test")
    return split


def _samples(
    rows: _Rows, table: Table, roles: Roles, wanted: Asked, source: str, parts: Sequence[Part], notes: Sequence[str]
) -> Samples:
    file = shown(str(parts[0].file)) if len(parts) == 1 else shown(source)
    if not rows.names:
        raise InputError(f"{file}: the table has a header, but names no picture")
    there = [os.path.lexists(name) for name in rows.paths]
    if not any(there):
        raise InputError(
            f"{file}: none of the {counted(len(there), 'picture')} it names is there "
            f"(the first is {shown(rows.paths[0])}); name the folder that the paths start from with --root"
        )
    if roles.split < 0 and not any(rows.splits):
        rows.splits = _splits_of_folders(rows.names)
        if any(rows.splits):
            notes = [*notes, "splits from the folders train and test in its paths"]
    keep = [row for row, is_there in enumerate(there) if is_there]
    columns = [
        Column(column.name, [rows.values[row][place] for row in keep], column.class_names)
        for place, column in enumerate(table.column(at) for at in roles.targets)
    ]
    missing_files = [LeftOut(rows.names[row], "no such file") for row, is_there in enumerate(there) if not is_there]
    title = ", ".join(part.called(Path(source)) for part in parts[:3]) + ", ..." * (len(parts) > 3)
    if len(parts) > 1:
        notes = [*notes, "each table is a split"]
    if rows.repeated:
        notes = [*notes, f"{counted(rows.repeated, 'line')} for a picture named before ignored"]
    if missing_files:
        notes = [*notes, f"{counted(len(missing_files), 'file')} missing"]
    pictured = Pictured(
        pictures=Files([rows.paths[row] for row in keep]),
        columns=columns,
        names=[rows.names[row] for row in keep],
        places=[str(rows.places[row]) for row in keep],
        splits=[rows.splits[row] for row in keep],
        groups=[rows.groups[row] for row in keep] if roles.group >= 0 else None,
    )
    try:
        found = samples_of(
            pictured,
            wanted,
            source=source,
            title=f"table{'s' * (len(parts) > 1)} {title}",
            said=_columns_said(table, roles),
            notes=notes,
        )
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    return replace(found, left_out=(*missing_files, *found.left_out))


def samples_of(
    rows: Pictured, wanted: Asked, *, source: str, title: str, said: str, notes: Sequence[str] = ()
) -> Samples:
    """The table of pictures with what columns say of them. `said`: the columns in words. Raises InputError."""
    targets = read_targets(rows.columns, wanted.task, Rows(lambda row: rows.places[row], lambda row: rows.names[row]))
    how = f"{title}: {targets.what}, {counted(len(rows.names), 'picture')} ({said})"
    found = Samples(
        source=source,
        how="; ".join([how, *targets.notes, *notes]),
        pictures=rows.pictures,
        index=np.arange(len(rows.names), dtype=np.int64),
        names=tuple(rows.names),
        targets=targets.values,
        class_names=targets.names,
        splits=np.array(rows.splits, dtype=np.str_),
        groups=None if rows.groups is None else np.array(rows.groups, dtype=np.str_),
        doubts=targets.doubts,
        task=targets.task,
    )
    return found.without(targets.left_out)


def group_in(value: Any, place: str) -> str:
    """The group that a value names. A picture without one is alone: no other can have this name."""
    return f"({place})" if is_empty(value) else str(value).strip()


def _columns_said(table: Table, roles: Roles) -> str:
    """'columns 'path', 'label' and 'split''; long lists are cut."""
    places = [roles.path, *roles.targets[:8], roles.split, roles.group]
    told = [f"'{shown(table.names[at].strip())}'" for at in places if at >= 0]
    more = len(roles.targets) - 8
    if more > 0:
        told.append(f"{more} more")
    return f"columns {', '.join(told[:-1])} and {told[-1]}"


def inside(written: str, base: str, at: str) -> str:
    """The absolute path that a table means, by its letters alone. Raises InputError where it leaves `base`."""
    if "://" in written:
        raise InputError(f"{at}: {shown(written)} is an address; pictures must be files on this machine")
    if "\0" in written:
        raise InputError(f"{at}: no file can have the name {written!r}")
    path = os.path.normpath(os.path.join(base, written))  # noqa: PTH118
    if os.sep == "/" and "\\" in written and not os.path.lexists(path):
        written = written.replace("\\", "/")  # written on Windows
        path = os.path.normpath(os.path.join(base, written))  # noqa: PTH118
    within = base if base.endswith(os.sep) else base + os.sep
    if not path.startswith(within):
        real = os.path.realpath(base) + os.sep
        if os.path.isabs(written) and path.startswith(real):  # noqa: PTH117 - the same folder by its other name
            return within + path[len(real) :]
        raise InputError(
            f"{at}: {shown(written)} leaves the folder {shown(base)}; "
            "paths must stay inside it (another folder: --root FOLDER)"
        )
    return path


def _splits_of_folders(names: Sequence[str]) -> list[str]:
    """Splits by the first folder of the paths, where all lie in split folders and train is among them; else none."""
    tops = [name.split("/", 1)[0].casefold() if "/" in name else "" for name in names]
    kinds = {top: SPLIT_NAMES.get(top, "") for top in set(tops)}
    if "" in kinds.values() or "train" not in kinds.values() or len(set(kinds.values())) < 2:
        return [""] * len(names)
    return [kinds[top] for top in tops]
