"""Where a page or another file goes, or a folder with several: nothing that we did not write is ever replaced."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

from striate.errors import InputError, require
from striate.machine.files import refused

LOOKED_THROUGH = 1 << 25  # bytes of a page


def require_writable(folder: Path) -> None:
    """Raise InputError where nothing can be written into this folder: better said before the work than after it."""
    require(
        os.access(folder, os.W_OK),
        f"{folder}: read-only, or no permission to write there; name another place with --out",
    )


def source_name(source: object) -> str:
    """What a page or a folder about `source` is called after it: letters, digits and -._ alone."""
    name = Path(source).resolve().name if isinstance(source, str | os.PathLike) else "arrays"
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:100] or "source"


def new_file(out: str | Path | None, *, name: str, suffix: str) -> Path:
    """The file `out`, which must be new and end with `suffix`, or `<name><suffix>` in the current folder, with a number
    where that name is taken. Raises InputError where it cannot be one, before any work is done."""
    if out is None:
        return _not_taken(name, suffix)
    place = Path(out)
    try:
        require(not os.path.lexists(place), f"{place} is there already; name another file with --out")
        ending = place.suffix.lower() == suffix
        require(ending, f"{place}: give it a name that ends with {suffix}, by which others know what it is")
        require(place.parent.is_dir(), f"{place.parent} is no folder; make it, or name another place with --out")
        require_writable(place.parent)
    except OSError as error:
        raise refused(place, error) from error
    except ValueError:
        raise InputError("--out: no file can have a name with a zero byte in it") from None
    return place


def page_place(out: str | Path | None, *, name: str, command: str, mark: str | None = None) -> Path:
    """The file `out`, or `<name>.html` in the current folder, with a number where that name is taken.

    mark: what tells a page of `striate <command>` from anything else, where its last line does not. Raises InputError
    where `out` cannot be such a page, before any work is done.
    """
    if out is None:
        return _not_taken(name, ".html")
    place = Path(out)
    require(not place.is_dir(), f"{place} is a folder; name a file, such as {place / f'{name}.html'}")
    require(place.parent.is_dir(), f"{place.parent} is no folder; make it, or name another place with --out")
    require_writable(place.parent)
    require(
        not place.exists() or _holds(place, mark or f"Made by <code>striate {command}</code>"),
        f"{place} is there and is no page of striate {command}; name another file with --out",
    )
    return place


def new_folder(out: str | Path | None, *, name: str) -> Path:
    """The folder `out`, which must be new or empty, or `<name>` in the current folder, with a number where that name is
    taken. It is not made yet. Raises InputError where it cannot be one, before any work is done."""
    if out is None:
        return _not_taken(name, "")
    place = Path(out)
    try:
        if not os.path.lexists(place):
            require(place.parent.is_dir(), f"{place.parent} is no folder; make it, or name another place with --out")
            require_writable(place.parent)
            return place
        require(place.is_dir(), f"{place} is there and is no folder; name another with --out")
        held = sorted(entry.name for entry in place.iterdir())
    except OSError as error:
        raise refused(place, error) from error
    except ValueError:
        raise InputError("--out: no folder can have a name with a zero byte in it") from None
    require(not held, f"{place} is there and holds files ({held[0] if held else ''}); name a new folder with --out")
    require_writable(place)
    return place


def _not_taken(name: str, suffix: str) -> Path:
    """`<name><suffix>` in the current folder, with the first number from 2 on where that is taken."""
    require_writable(Path())
    numbered = (Path(f"{name}{'' if number == 1 else f'-{number}'}{suffix}") for number in itertools.count(1))
    return next(place for place in numbered if not os.path.lexists(place))


def _holds(place: Path, mark: str) -> bool:
    try:
        with place.open("rb") as file:
            content = file.read(LOOKED_THROUGH)
    except OSError as error:
        raise InputError(f"{place} cannot be read ({error.strerror}); name another file with --out") from error
    return mark.encode() in content
