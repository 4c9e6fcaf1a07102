"""Files that hold tables of pictures, in any format: which files of a folder are such, and what one lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from striate.data.samples import TRAIN
from striate.data.sources.asked import Asked
from striate.data.sources.column_roles import Roles, Table, find_roles
from striate.data.sources.listing import SPLIT_NAMES, listing, shown
from striate.errors import InputError

NO_ROW = "the table has a header, but no row"


class Format(NamedTuple):
    """A kind of file that holds a table."""

    suffixes: tuple[str, ...]
    head: Callable[[Path], Table]  # its first rows. Raises InputError (the reason alone), OSError
    whole: Callable[[Path], Table]  # Raises InputError (the reason alone)


@dataclass(frozen=True)
class Part:
    """One file of a table that may be of several, and the split that its name or folder says, or ""."""

    file: Path
    split: str = ""

    def called(self, source: Path) -> str:
        """Its name in sentences on a source: with its folder where that is not the source itself."""
        inner = self.file.parent != source and source in self.file.parents
        return shown(self.file.relative_to(source).as_posix() if inner else self.file.name)


def recognises(kind: Format, path: Path, wanted: Asked | None = None) -> bool:
    """Whether it is a file of the format by its name, or a folder that holds a table of pictures in it."""
    if path.is_dir():
        return bool(tables(kind, path, wanted))
    return path.name.lower().endswith(kind.suffixes)


def tables(kind: Format, folder: Path, wanted: Asked | None = None) -> list[Part]:
    """The tables directly in a folder that have all they need, else those in its split folders.

    Those that name what is to be learned come before those that have columns of numbers only, which are then none.
    """
    found = [(name, "") for name in listing(folder).others if name.lower().endswith(kind.suffixes)]
    usable = _usable(kind, folder, found, wanted)
    if not usable:
        inside = []
        for inner in listing(folder).folders:
            if inner.casefold() in SPLIT_NAMES:
                there = listing(folder / inner).others
                inside += [
                    (f"{inner}/{name}", SPLIT_NAMES[inner.casefold()])
                    for name in there
                    if name.lower().endswith(kind.suffixes)
                ]
        usable = _usable(kind, folder, inside, wanted)
        if TRAIN not in {part.split for part in usable}:
            return []
    return usable


def _usable(kind: Format, folder: Path, found: Sequence[tuple[str, str]], wanted: Asked | None) -> list[Part]:
    told: list[Part] = []
    numbers: list[Part] = []
    for name, split in found:
        roles = _roles_in(kind, folder / name, wanted)
        if isinstance(roles, Roles):
            (told if roles.told else numbers).append(Part(folder / name, split))
    return told or numbers


def missing(kind: Format, file: Path, wanted: Asked | None = None) -> str:
    """What a table lacks, as a part of a sentence, or "" where it has all it needs."""
    roles = _roles_in(kind, file, wanted)
    if isinstance(roles, Roles):
        return ""
    return NO_ROW if _has_no_row(kind, file) else roles


def _has_no_row(kind: Format, file: Path) -> bool:
    """Whether it is a header and nothing else, which says nothing of what its columns hold."""
    try:
        return not kind.head(file).lines and not kind.whole(file).lines
    except (InputError, OSError):
        return False


def names_targets(kind: Format, file: Path, wanted: Asked | None = None) -> bool:
    """Whether it has a column that is called by a name for labels, or all that was asked for; not numbers alone."""
    roles = _roles_in(kind, file, wanted)
    return isinstance(roles, Roles) and roles.told


def _roles_in(kind: Format, file: Path, wanted: Asked | None) -> Roles | str:
    try:
        return find_roles(kind.head(file), wanted or Asked())
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except InputError as error:
        return str(error)
