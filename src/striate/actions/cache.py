"""`striate cache`: the decoded pictures that are kept for the next run, and their removal."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from striate.data.kept import STORES, KeptStore, cache_budget, kept_stores
from striate.data.store_files import sweep
from striate.errors import InputError, require, unknown
from striate.machine.folders import cache_place

SECONDS_A_DAY = 86_400
USAGE = "name a KEY of striate cache, --all, or --older-than DAYS"


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """Decoded pictures that are kept. `what` is for a person; `used`, when they were last used, is in ISO 8601."""

    key: str
    what: str
    bytes: int
    used: str


@dataclass(frozen=True, kw_only=True)
class CacheContents:
    """What is kept, last used first, and what has just been removed."""

    folder: str
    bytes: int
    budget: int  # bytes
    kept: tuple[CacheEntry, ...]
    removed: tuple[CacheEntry, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def cache(clean: str | bool = False, *, all: bool = False, older_than: float | None = None) -> CacheContents:  # noqa: A002
    """The decoded pictures in the cache folder: list them, and clean up.

    `clean`: the key of what is to be removed, or as much of its beginning as no other has; or True, with `all`, or
    with `older_than`, the days for which what is to be removed was not used. Runs that use a store meanwhile keep it.
    Raises InputError where no key begins so, or it is not said what is to be removed.
    """
    require(
        older_than is None or (math.isfinite(older_than) and older_than >= 0),
        f"--older-than must be a number of days, 0 or more, got {older_than}",
    )
    found = kept_stores()
    gone: list[KeptStore] = []
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
    left = tuple(_entry(one) for one in found if one not in gone)
    return CacheContents(
        folder=str(cache_place(STORES)),
        bytes=sum(one.bytes for one in left),
        budget=cache_budget(),
        kept=left,
        removed=tuple(_entry(one) for one in gone),
    )


def _by_key(found: list[KeptStore], key: str) -> KeptStore:
    matching = [one for one in found if key and one.key.startswith(key)]
    if not matching:
        require(bool(found), f"no key '{key}': nothing is kept")
        raise unknown("key", key, [one.key for one in found])
    require(len(matching) == 1, f"{len(matching)} keys begin with '{key}'; name more of it")
    return matching[0]


def _remove(gone: list[KeptStore]) -> None:
    for one in gone:
        try:
            one.path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{one.path}: cannot be removed ({error.strerror})") from error


def _entry(one: KeptStore) -> CacheEntry:
    about = one.about
    what = "not known: its header cannot be read"
    if "pictures" in about:
        what = f"{about['pictures']} pictures of {about.get('source', '')}, {about.get('size', '')}"
    used = datetime.fromtimestamp(one.used, UTC).isoformat(timespec="seconds")
    return CacheEntry(key=one.key, what=what, bytes=one.bytes, used=used)
