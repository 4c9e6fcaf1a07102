"""`striate cache`: what is kept for the next run, above all decoded pictures, and its removal."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from striate.data.kept import STORES, KeptStore, cache_budget, kept_stores
from striate.data.sources import archives, public_sets
from striate.data.sources.kept_index import INDEXES
from striate.data.store_files import sweep
from striate.errors import InputError, require, unknown
from striate.machine.folders import cache_place
from striate.words import counted

# Folders of files that are listed and removed as one: folder -> (how the files are called, one, several).
TOGETHER = {
    INDEXES: ("*.json", "index of a tar behind an address", "indexes of tars behind addresses"),
    # As `views/top_index.py` calls them, which is not imported for it: torch would be, too.
    "looks": ("*.look", "look into a layer", "looks into layers"),
}
SECONDS_A_DAY = 86_400
USAGE = "name a KEY of striate cache, --all, or --older-than DAYS"


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """Something that is kept. `what` is for a person; `used`, when it was last used, is in ISO 8601."""

    key: str
    what: str
    bytes: int
    used: str


@dataclass(frozen=True, kw_only=True)
class CacheContents:
    """What is kept, last used first, and what has just been removed."""

    folder: str
    bytes: int
    budget: int  # bytes, of decoded pictures
    kept: tuple[CacheEntry, ...]
    removed: tuple[CacheEntry, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def cache(clean: str | bool = False, *, all: bool = False, older_than: float | None = None) -> CacheContents:  # noqa: A002
    """What lies in the cache folder for the next run: decoded pictures, unpacked archives, indexes; list it, clean up.

    `clean`: the key of what is to be removed, or as much of its beginning as no other has; or True, with `all`, or
    with `older_than`, the days for which what is to be removed was not used. Runs that use a store meanwhile keep it.
    All indexes are one entry with one key, and so is all that was looked into.
    Raises InputError where no key begins so, or it is not said what is to be removed.
    """
    require(
        older_than is None or (math.isfinite(older_than) and older_than >= 0),
        f"--older-than must be a number of days, 0 or more, got {older_than}",
    )
    found = sorted(
        [
            *map(_store, kept_stores()),
            *map(_archive, archives.kept_archives()),
            *map(_set, public_sets.downloaded()),
            *_together(),
        ],
        key=lambda one: (-one.used, one.key),
    )
    gone: list[_Kept] = []
    ways = isinstance(clean, str) + all + (older_than is not None)
    if clean is False:
        require(ways == 0, "--all and --older-than say what is to be removed: striate cache --clean --all")
    else:
        require(ways > 0, f"what is to be removed is not said: {USAGE}")
        require(ways == 1, f"what is to be removed is said in more than one way: {USAGE}")
        if isinstance(clean, str):
            gone = [_by_key(found, clean)]
        elif older_than is None:
            gone = found
        else:
            gone = [one for one in found if one.used <= time.time() - older_than * SECONDS_A_DAY]
        _remove(gone)
        sweep(cache_place(STORES))
        archives.sweep()
        public_sets.sweep()
    left = tuple(_entry(one) for one in found if one not in gone)
    return CacheContents(
        folder=str(cache_place()),
        bytes=sum(one.bytes for one in left),
        budget=cache_budget(),
        kept=left,
        removed=tuple(_entry(one) for one in gone),
    )


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """Files (or one folder with all that is in it) that are listed and removed as one."""

    key: str
    what: str
    files: tuple[Path, ...]
    bytes: int
    used: float  # seconds since 1970


def _store(one: KeptStore) -> _Kept:
    about = one.about
    what = "not known: its header cannot be read"
    if "pictures" in about:
        what = f"{about['pictures']} pictures of {about.get('source', '')}, {about.get('size', '')}"
    return _Kept(key=one.key, what=what, files=(one.path,), bytes=one.bytes, used=one.used)


def _archive(one: archives.Unpacked) -> _Kept:
    what = f"{counted(one.files, 'file')} of {one.source}, unpacked"
    return _Kept(key=one.key, what=what, files=(one.place,), bytes=one.bytes, used=one.used)


def _set(one: public_sets.Downloaded) -> _Kept:
    return _Kept(key=one.name, what=f"the public set {one.name}", files=(one.place,), bytes=one.bytes, used=one.used)


def _together() -> list[_Kept]:
    found = []
    for folder, (pattern, one, several) in TOGETHER.items():
        files, told = [], []
        for path in sorted(cache_place(folder).glob(pattern)):
            with contextlib.suppress(FileNotFoundError):  # another process has just removed it
                told.append(path.lstat())
                files.append(path)
        if files:
            size, used = sum(each.st_size for each in told), max(each.st_mtime for each in told)
            what = counted(len(files), one, several)
            found.append(_Kept(key=folder, what=what, files=tuple(files), bytes=size, used=used))
    return found


def _by_key(found: list[_Kept], key: str) -> _Kept:
    matching = [one for one in found if key and one.key.startswith(key)]
    if not matching:
        require(bool(found), f"no key '{key}': nothing is kept")
        raise unknown("key", key, [one.key for one in found])
    require(len(matching) == 1, f"{len(matching)} keys begin with '{key}'; name more of it")
    return matching[0]


def _remove(gone: list[_Kept]) -> None:
    for path in (path for one in gone for path in one.files):
        if path.is_dir():
            archives.remove(path)
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{path}: cannot be removed ({error.strerror})") from error


def _entry(one: _Kept) -> CacheEntry:
    used = datetime.fromtimestamp(one.used, UTC).isoformat(timespec="seconds")
    return CacheEntry(key=one.key, what=one.what, bytes=one.bytes, used=used)
