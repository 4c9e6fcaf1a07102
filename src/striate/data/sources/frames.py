"""A pandas frame, in Python: a column of paths or of pictures (arrays, encoded bytes), and what is to be learned.

It is the caller's own, so that paths may lead anywhere; relative ones start from `root`, or the working folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.samples import Pictures, Samples
from striate.data.sources import named_pictures
from striate.data.sources.arrays import ARRAYS, Pixels, as_pixels
from striate.data.sources.asked import Asked
from striate.data.sources.column_roles import PATH_COLUMNS, Table, find_roles
from striate.data.sources.files import Files
from striate.data.sources.listing import shown, some
from striate.errors import InputError
from striate.words import counted

PICTURE_COLUMNS = ("image", "img", "picture", "pixels", "pixel_values")


class Encoded:
    """`Pictures` whose encoded bytes are in memory."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = tuple(items)

    def load(self, index: int) -> bytes:
        """The bytes of picture `index`. Raises InputError (the reason alone)."""
        value = self.items[index]
        value = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(value, bytes):
            raise InputError("there are no bytes of a picture in its row")
        return value


def is_frame(source: Any) -> bool:
    """Whether it is a pandas frame, without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def read(frame: Any, root: Path | None = None, wanted: Asked | None = None) -> Samples:
    """The pictures of a frame: a column of paths, else one of arrays (all of one size) or of encoded bytes.

    Columns are found by their names, as in any table. Raises InputError.
    """
    wanted = wanted or Asked()
    if not len(frame):
        raise InputError("the frame has no rows")
    place = _picture_place(frame)
    columns = [_values(frame.iloc[:, at]) for at in range(frame.shape[1])]
    names = tuple(shown(str(name)) for name in frame.columns)
    table = Table("the frame", names, columns, list(range(len(frame))), "row")
    roles = find_roles(table, wanted, place)
    if isinstance(roles, str):
        raise InputError(f"the frame: {roles}; columns there: {some([str(name) for name in frame.columns], 12)}")
    pictures, labels, note = _pictures(columns[place], shown(str(frame.columns[place])), root)
    places = [f"row {row}" for row in range(len(frame))]
    try:
        splits = [""] * len(frame)
        if roles.split >= 0:
            splits = list(map(named_pictures.split_in, columns[roles.split], places))
        found = named_pictures.samples_of(
            named_pictures.Pictured(
                pictures=pictures,
                columns=[table.column(at) for at in roles.targets],
                names=labels,
                places=places,
                splits=splits,
                groups=list(map(named_pictures.group_in, columns[roles.group], places)) if roles.group >= 0 else None,
            ),
            wanted,
            source=ARRAYS,
            title="pandas frame",
            said=f"columns {some([table.names[at] for at in (place, *roles.targets)], 8)}",
            notes=[note] if note else [],
        )
    except InputError as error:
        raise InputError(f"the frame: {error}") from None
    if isinstance(pictures, Files):
        gone = [
            (row, "no such file") for row in range(len(found)) if not os.path.lexists(pictures.paths[found.index[row]])
        ]
        if len(gone) == len(found):
            raise InputError(
                f"the frame: none of the {counted(len(gone), 'picture')} it names is there (the first is "
                f"{shown(pictures.paths[0])}); name the folder that the paths start from: root=FOLDER"
            )
        return found.without(gone)
    return found


def _values(column: Any) -> list[Any]:
    """The values of a column; None where one is missing, in whichever of its ways pandas says so."""
    return [None if gone else value for value, gone in zip(column.tolist(), column.isna().tolist(), strict=True)]


def _picture_place(frame: Any) -> int:
    """The column of paths or pictures. Raises InputError."""
    names = [str(name).strip().casefold() for name in frame.columns]
    for known in (*PATH_COLUMNS, *PICTURE_COLUMNS):
        if names.count(known) > 1:
            raise InputError(f"the frame: two columns are called '{known}'")
        if known in names:
            return names.index(known)
    raise InputError(
        f"the frame: no column of paths ({', '.join(PATH_COLUMNS[:4])}) or of pictures "
        f"({', '.join(PICTURE_COLUMNS[:4])}); columns there: {some([str(name) for name in frame.columns], 12)} "
        "(a table of numbers is taken as a file: frame.to_csv('numbers.csv', index=False))"
    )


def _pictures(values: list[Any], column: str, root: Path | None) -> tuple[Pictures, list[str], str]:
    """The pictures of a column, what each is called, and what was done, or ""."""
    if all(isinstance(value, (str, os.PathLike)) for value in values):
        base = os.path.abspath(root if root is not None else os.curdir)  # noqa: PTH100 - links are kept as they are
        written = [os.fspath(value) for value in values]
        wrong = next((row for row, one in enumerate(written) if not one.strip() or "://" in one or "\0" in one), None)
        if wrong is not None:
            raise InputError(f"the frame: row {wrong}: {written[wrong]!r:.80} is the name of no file on this machine")
        return Files([os.path.join(base, one) for one in written]), [shown(one) for one in written], ""  # noqa: PTH118
    numbered = [f"row#{row}" for row in range(len(values))]
    if all(isinstance(value, (bytes, dict)) for value in values):
        return Encoded(values), numbered, ""
    try:
        stacked = np.stack([np.asarray(value) for value in values])
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the frame: '{column}' is no column of paths, of encoded pictures, or of arrays of one size ({error})"
        ) from None
    if stacked.dtype == object:
        raise InputError(f"the frame: '{column}' holds neither paths nor pictures")
    pixels, note = as_pixels(stacked, f"the frame: '{column}'")
    return Pixels([pixels]), numbered, note
