"""A table of labels: CSV or TSV with a column for the path and one for the class, perhaps split and group.

Columns by name, in any order and case, others ignored; the separator is found by trying. Paths are
relative to the table (or to `root`) and must stay inside it.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from striate.data.samples import LeftOut, Samples
from striate.data.sources.classes import encode
from striate.data.sources.files import Files, read_file
from striate.data.sources.listing import SPLIT_NAMES, class_name, listing, shown, some
from striate.errors import InputError
from striate.words import counted

SUFFIXES = (".csv", ".tsv")
SEPARATORS = (",", "\t", ";", "|")
PATH_COLUMNS = ("path", "file", "filename", "image", "filepath", "file_name", "file_path", "image_path")
LABEL_COLUMNS = ("label", "class", "target", "class_name")
SPLIT_COLUMNS = ("split",)
GROUP_COLUMNS = ("group", "group_id")
NO_LABEL = frozenset({"", "nan", "<na>", "null", "n/a", "#n/a"})
LARGEST = 512 << 20
HEAD = 1 << 16  # bytes that are read to see whether a file is a table of labels


@dataclass(frozen=True)
class _Columns:
    """Where the columns are; -1 where there is none."""

    path: int
    label: int
    split: int
    group: int


@dataclass
class _Rows:
    """One entry a picture of the table."""

    names: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    repeated: int = 0


def recognises(path: Path) -> bool:
    """Whether it is a CSV or TSV file, or a folder that holds a table of labels."""
    if path.is_dir():
        return bool(tables(path))
    return path.suffix.lower() in SUFFIXES


def tables(folder: Path) -> list[Path]:
    """The files directly in a folder whose header has both a path and a label column."""
    candidates = [folder / name for name in listing(folder).others if name.lower().endswith(SUFFIXES)]
    return [path for path in candidates if not missing_columns(path)]


def missing_columns(path: Path) -> str:
    """What the header of a table lacks, as a part of a sentence, or "" where it has all it needs."""
    try:
        with path.open("rb") as file:
            text, _ = _decode(file.read(HEAD))
        header, _, _ = _header(text)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except InputError as error:
        return str(error)
    return _missing(header)


def read(path: Path, root: Path | None = None) -> Samples:
    """The table of pictures that a table of labels names.

    `path` is the file or a folder that holds one. Paths in it are relative to `root`, by default
    to the folder of the table. Files that are not there are left out and named. Raises InputError.
    """
    file = _only_table(path) if path.is_dir() else path
    where = shown(str(file))
    try:
        text, encoding = _decode(read_file(file, LARGEST))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    base = os.path.abspath(root if root is not None else file.parent)  # noqa: PTH100 - links are kept as they are
    rows = _Rows()
    try:
        header, separator, text = _header(text)
        missing = _missing(header)
        if missing:
            raise InputError(f"{missing}; columns there: {some([name.strip() for name in header], 12)}")
        columns = _columns(header)
        _collect(text, separator, len(header), columns, base, rows)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not rows.names:
        raise InputError(f"{where}: the table has a header, but names no picture")
    there = [os.path.lexists(name) for name in rows.paths]
    if not any(there):
        raise InputError(
            f"{where}: none of the {counted(len(there), 'picture')} it names is there "
            f"(the first is {shown(rows.paths[0])}); name the folder that the paths start from with --root"
        )
    if columns.split < 0:
        rows.splits = _splits_of_folders(rows.names)
    keep = [row for row, is_there in enumerate(there) if is_there]
    targets, class_names = encode([rows.labels[row] for row in keep])
    left_out = [LeftOut(rows.names[row], "no such file") for row, is_there in enumerate(there) if not is_there]
    notes = [
        f"table {shown(file.name)}: {counted(len(class_names), 'class', 'classes')}",
        counted(len(keep), "picture"),
    ]
    places = (columns.path, columns.label, columns.split, columns.group)
    told = [f"'{header[at].strip()}'" for at in places if at >= 0]
    sentence = ", ".join(notes) + f" (columns {', '.join(told[:-1])} and {told[-1]})"
    if encoding not in ("utf-8", "utf-8-sig"):
        sentence += f"; read as {encoding}, since it is no UTF-8"
    if columns.split < 0 and any(rows.splits):
        sentence += "; splits from the folders train and test in its paths"
    if rows.repeated:
        sentence += f"; {counted(rows.repeated, 'line')} for a picture named before ignored"
    if left_out:
        sentence += f"; {counted(len(left_out), 'file')} missing"
    return Samples(
        source=str(path),
        how=sentence,
        pictures=Files([rows.paths[row] for row in keep]),
        index=np.arange(len(keep), dtype=np.int64),
        names=tuple(rows.names[row] for row in keep),
        targets=targets,
        class_names=class_names,
        splits=np.array([rows.splits[row] for row in keep], dtype=np.str_),
        groups=np.array([rows.groups[row] for row in keep], dtype=np.str_) if columns.group >= 0 else None,
        left_out=tuple(left_out),
    )


def _only_table(folder: Path) -> Path:
    found = tables(folder)
    if len(found) > 1:
        raise InputError(
            f"{shown(str(folder))}: {len(found)} tables of labels, {some([path.name for path in found])}; "
            f"say which one counts: --labels {shown(str(found[0]))}"
        )
    if not found:
        raise InputError(f"{shown(str(folder))}: no table of labels in it")
    return found[0]


def _decode(data: bytes) -> tuple[str, str]:
    """Text and the name of its encoding: UTF-8, UTF-16 with its mark, else Windows-1252."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16"), "UTF-16"
        except UnicodeDecodeError:
            raise InputError("begins like UTF-16 text, but is none") from None
    if b"\0" in data:
        raise InputError("no text (it holds zero bytes)")
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        return decoder.decode(data, final=len(data) != HEAD), "utf-8"
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), "Windows-1252"


def _header(text: str) -> tuple[list[str], str, str]:
    """The first line's fields, the separator that gives most of them (those we know first), the text after `sep=`."""
    first, _, rest = text.lstrip("\r\n").partition("\n")
    if first.lower().startswith("sep=") and len(first.strip()) <= 5:  # written by Excel
        first, _, _ = rest.partition("\n")
        text = rest
    best: tuple[tuple[int, int], list[str], str] = ((-1, -1), [], ",")
    for separator in SEPARATORS:
        fields = next(_lines(first, separator), (0, []))[1]
        score = (-_missing(fields).count("column"), len(fields))
        if not best[1] or score > best[0]:
            best = (score, fields, separator)
    if not any(field.strip() for field in best[1]):
        raise InputError("empty, where a header with the columns path and label is needed")
    return best[1], best[2], text


def _missing(header: Sequence[str]) -> str:
    names = [name.strip().casefold() for name in header]
    lacking = [
        f"no column for {what} ({', '.join(known[:4])})"
        for what, known in (("the path", PATH_COLUMNS), ("the label", LABEL_COLUMNS))
        if not any(name in known for name in names)
    ]
    return " and ".join(lacking)


def _columns(header: Sequence[str]) -> _Columns:
    names = [name.strip().casefold() for name in header]

    def place(known: Sequence[str]) -> int:
        for name in known:
            if names.count(name) > 1:
                raise InputError(f"two columns are called '{name}'")
            if name in names:
                return names.index(name)
        return -1

    return _Columns(place(PATH_COLUMNS), place(LABEL_COLUMNS), place(SPLIT_COLUMNS), place(GROUP_COLUMNS))


def _lines(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of every line that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"line {reader.line_num}: no line of a table ({error})") from None
        if any(field.strip() for field in fields):
            yield reader.line_num, fields


def _collect(text: str, separator: str, width: int, columns: _Columns, base: str, rows: _Rows) -> None:
    """Every line into `rows`. Raises InputError that names the line."""
    seen: dict[str, int] = {}
    lines = _lines(text, separator)
    next(lines)
    for line, fields in lines:
        if len(fields) > width and any(field.strip() for field in fields[width:]):
            raise InputError(
                f"line {line}: {len(fields)} fields, but {counted(width, 'column')}; "
                f"put paths with '{separator}' in quotes"
            )
        fields += [""] * (width - len(fields))
        written = fields[columns.path].strip()
        if not written:
            raise InputError(f"line {line}: the path is empty")
        label = class_name(fields[columns.label].strip())
        if label.casefold() in NO_LABEL or label == "NA":
            raise InputError(
                f"line {line}: no label ('{label}') for {shown(written)}; fill it in, or take the line out"
            )
        split = ""
        if columns.split >= 0:
            split = _split(fields[columns.split].strip(), line)
        group = ""
        if columns.group >= 0:
            # a picture without a group is alone: no other can have this name
            group = fields[columns.group].strip() or f"(line {line})"
        path = _inside(written, base, line)
        name = os.path.relpath(path, base).replace(os.sep, "/")
        if path in seen:
            before = seen[path]
            if (rows.labels[before], rows.splits[before]) != (label, split):
                raise InputError(
                    f"lines {rows.lines[before]} and {line} name {shown(written)} twice, "
                    f"as '{rows.labels[before]}' and '{label}'"
                    if rows.labels[before] != label
                    else f"lines {rows.lines[before]} and {line} put {shown(written)} into two splits"
                )
            rows.repeated += 1
            continue
        seen[path] = len(rows.names)
        rows.names.append(shown(name))
        rows.paths.append(path)
        rows.labels.append(label)
        rows.splits.append(split)
        rows.groups.append(group)
        rows.lines.append(line)


def _split(text: str, line: int) -> str:
    split = SPLIT_NAMES.get(text.casefold())
    if split is None:
        raise InputError(f"line {line}: the split is '{text}'; known: train, validation, test")
    return split


def _inside(written: str, base: str, line: int) -> str:
    """The absolute path that the table means, by its letters alone. Raises InputError where it leaves `base`."""
    if "://" in written:
        raise InputError(f"line {line}: {shown(written)} is an address; pictures must be files on this machine")
    if "\0" in written:
        raise InputError(f"line {line}: no file can have the name {written!r}")
    path = os.path.normpath(os.path.join(base, written))  # noqa: PTH118
    if os.sep == "/" and "\\" in written and not os.path.lexists(path):
        written = written.replace("\\", "/")  # written on Windows
        path = os.path.normpath(os.path.join(base, written))  # noqa: PTH118
    inside = base if base.endswith(os.sep) else base + os.sep
    if not path.startswith(inside):
        real = os.path.realpath(base) + os.sep
        if os.path.isabs(written) and path.startswith(real):  # noqa: PTH117 - the same folder by its other name
            return inside + path[len(real) :]
        raise InputError(
            f"line {line}: {shown(written)} leaves the folder {shown(base)}; "
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
