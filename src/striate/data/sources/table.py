"""A table of pictures as text: CSV or TSV, with a header. What its columns mean is told in `column_roles`.

The separator is found by trying, the encoding by its mark, else UTF-8 or Windows-1252.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from striate.data.samples import Samples
from striate.data.sources import named_pictures, tabular
from striate.data.sources.asked import Asked
from striate.data.sources.column_roles import HEAD_ROWS, LABEL_COLUMNS, PATH_COLUMNS, Table
from striate.data.sources.files import read_file
from striate.data.sources.listing import shown
from striate.data.sources.tabular import Format, Part
from striate.errors import InputError
from striate.words import counted

SUFFIXES = (".csv", ".tsv")
SEPARATORS = (",", "\t", ";", "|")
LARGEST = 512 << 20
HEAD = 1 << 16  # bytes that are read to see whether a file is a table of pictures


def recognises(path: Path) -> bool:
    """Whether it is a CSV or TSV file, or a folder that holds a table of pictures."""
    return tabular.recognises(TEXT, path)


def tables(folder: Path) -> list[Part]:
    """The files directly in a folder (or in its split folders) that have a column for the path and some to learn."""
    return tabular.tables(TEXT, folder)


def missing_columns(path: Path) -> str:
    """What a table lacks, as a part of a sentence, or "" where it has all it needs."""
    return tabular.missing(TEXT, path)


def read(path: Path, root: Path | None = None, wanted: Asked | None = None) -> Samples:
    """The pictures that a table of text, or the one in a folder, names: `named_pictures.read`. Raises InputError."""
    return named_pictures.read(TEXT, path, root, wanted)


def _head(path: Path) -> Table:
    with path.open("rb") as file:
        data = file.read(HEAD)
    text, encoding = _decode(data)
    return _parsed(path, text, encoding, cut=len(data) == HEAD)


def _whole(path: Path) -> Table:
    text, encoding = _decode(read_file(path, LARGEST))
    return _parsed(path, text, encoding)


TEXT = Format(SUFFIXES, _head, _whole)


def _parsed(path: Path, text: str, encoding: str, *, cut: bool = False) -> Table:
    """The table in the text. `cut`: it goes on, so that its last line may be half of one."""
    header, separator, text = _header(text)
    numbers: list[int] = []
    rows: list[list[str]] = []
    lines = _lines(text, separator)
    next(lines)
    try:
        for line, fields in lines:
            if len(fields) > len(header) and any(one.strip() for one in fields[len(header) :]):
                raise InputError(
                    f"line {line}: {len(fields)} fields, but {counted(len(header), 'column')}; "
                    f"put paths with '{separator}' in quotes"
                )
            numbers.append(line)
            rows.append(fields[: len(header)] + [""] * (len(header) - len(fields)))
            if cut and len(rows) > HEAD_ROWS:
                break
    except InputError:
        if not cut:
            raise
    if cut and len(rows) <= HEAD_ROWS:
        rows, numbers = rows[:-1], numbers[:-1]
    notes = () if encoding == "utf-8" else (f"read as {encoding}, since it is no UTF-8",)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    return Table(shown(path.name), tuple(header), columns, numbers, notes=notes)


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
        names = {name.strip().casefold() for name in fields}
        known = sum(not names.isdisjoint(columns) for columns in (PATH_COLUMNS, LABEL_COLUMNS))
        if not best[1] or (known, len(fields)) > best[0]:
            best = ((known, len(fields)), fields, separator)
    if not any(field.strip() for field in best[1]):
        raise InputError("empty, where a header with the columns path and label is needed")
    return best[1], best[2], text


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
