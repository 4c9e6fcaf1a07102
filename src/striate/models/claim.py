"""Which folder a new run may have: a new one, an empty one, or that of a run which is given up; nothing else of the
user's. It is made, and written to, by `run.py`.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path

from striate.errors import InputError
from striate.machine.files import refused
from striate.models.run import Run, make_folder
from striate.models.run_files import is_ours, is_unfinished
from striate.names import plain_name


def claim_folder(out: str | Path | None, source: str, *, overwrite: bool = False) -> Run:
    """The empty folder of a new run: `out`, or `runs/<source>-<n>` with the next free number.

    Raises InputError where `out` holds anything already (a run is given up only with `overwrite`, and then
    only a run's own files), and where the place cannot be written.
    """
    if out is None:
        check_outside(Path("runs"), source, "the folder runs/ would lie")
        last = re.split(r"[/\\]", source.rstrip("/\\"))[-1]
        return _next_free(Path("runs"), plain_name(last) or "pictures")
    folder = Path(out)
    check_outside(folder, source, "it would lie")
    try:
        if folder.is_symlink() and not folder.exists():
            raise InputError(f"{folder}: a link that leads nowhere; name another place with --out")
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder}: there is a file of that name; name another place with --out")
        made = make_folder(folder)
    except OSError as error:
        raise refused(folder, error) from error
    except ValueError:
        raise InputError("--out: no folder can have a name with a zero byte in it") from None
    run = made.hold()
    try:
        there = _held_by(folder)
        if there and not is_ours(folder):
            raise InputError(
                f"{folder}: the folder holds other files ({there[0]}); name an empty or new one with --out"
            )
        if there and not overwrite:
            raise InputError(
                f"{folder}: holds a run already; name another with --out, go on with it by "
                f"'striate resume {folder}', or give it up with --overwrite"
            )
        _prepare(run, there)
    except BaseException:
        run.let_go()
        raise
    return run


def _held_by(folder: Path) -> list[str]:
    """What lies there, but for what a kill left half written."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if not is_unfinished(entry.name))
    except OSError as error:
        raise refused(folder, error) from error


def _prepare(run: Run, there: Sequence[str]) -> None:
    """Make room for a new run, and see that it can be written; on failure all is as it was."""
    try:
        run.check_writable()
        run.sweep()
        if there:
            run.set_aside()
    except InputError:
        run.give_up_if_empty()
        raise


def check_outside(folder: Path, source: str, what: str, flag: str = "--out") -> None:
    """Refuse a place inside the folder `source`: nothing is ever written there. `what` is the sentence's middle,
    `flag` what names the place.

    Raises InputError.
    """
    try:
        inside = os.path.isdir(source) and folder.resolve().is_relative_to(Path(source).resolve())  # noqa: PTH112
    except (OSError, ValueError, RuntimeError):
        return  # whatever is wrong with the names is said where they are used
    if inside:
        raise InputError(f"{folder}: {what} inside the source, which is never written to; name another with {flag}")


def _next_free(parent: Path, name: str) -> Run:
    for number in itertools.count(1):
        folder = parent / f"{name}-{number}"
        try:
            made = make_folder(folder, only_new=True)
        except (FileExistsError, NotADirectoryError):
            if parent.is_dir():
                continue
            raise InputError(f"{parent}: is a file, and runs are kept in a folder of that name; use --out") from None
        except OSError as error:
            raise refused(folder, error) from error
        return made.hold()
    raise AssertionError("counting does not end")
