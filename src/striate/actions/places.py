"""Where a page goes that is no run's own: nothing that we did not write is ever replaced."""

from __future__ import annotations

import itertools
from pathlib import Path

from striate.errors import InputError, require

LOOKED_THROUGH = 1 << 25  # bytes of a page


def page_place(out: str | Path | None, *, name: str, command: str, mark: str | None = None) -> Path:
    """The file `out`, or `<name>.html` in the current folder, with a number where that name is taken.

    mark: what tells a page of `striate <command>` from anything else, where its last line does not. Raises InputError
    where `out` cannot be such a page, before any work is done.
    """
    if out is None:
        numbered = (Path(f"{name}{'' if number == 1 else f'-{number}'}.html") for number in itertools.count(1))
        return next(place for place in numbered if not place.exists())
    place = Path(out)
    require(not place.is_dir(), f"{place} is a folder; name a file, such as {place / f'{command}.html'}")
    require(place.parent.is_dir(), f"{place.parent} is no folder; make it, or name another place with --out")
    require(
        not place.exists() or _holds(place, mark or f"Made by <code>striate {command}</code>"),
        f"{place} is there and is no page of striate {command}; name another file with --out",
    )
    return place


def _holds(place: Path, mark: str) -> bool:
    try:
        with place.open("rb") as file:
            content = file.read(LOOKED_THROUGH)
    except OSError as error:
        raise InputError(f"{place} cannot be read ({error.strerror}); name another file with --out") from error
    return mark.encode() in content
