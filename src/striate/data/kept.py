"""Stores that are kept in the cache folder, so that pictures are decoded once and not once a run.

A store is found by the content of its pictures, not by their names: the files as they are encoded, in their order, and
the settings that shape the pixels. A folder that was renamed or copied finds its store, one with a changed picture
does not. What is in a file: `store_files.py`. Those that were not used for longest make room for new ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.store_files import HEAD, SCHEMA, PixelFile, Table, Unusable, read_about, read_store_file, sweep
from striate.errors import InputError, require
from striate.machine.folders import cache_folder, cache_place
from striate.observer import Observer

KEEP_FROM = 1.0  # seconds of decoding from which the pictures of a training are kept for the next one
STORES, SUFFIX = "stores", ".store"
BUDGET = "STRIATE_CACHE_BUDGET"
LARGEST_BUDGET = 20e9
SHARE_OF_DISK = 0.1
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
ENTRY_BYTES = 66  # of the table for one picture, about


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a store is made of and how, apart from the content of the pictures."""

    source: str
    count: int  # pictures that are asked for
    how: str  # every setting that shapes the pixels
    size: str  # for a person

    def prefix(self) -> str:
        """How the name begins, known before any picture is read: where no name does, nothing need be looked for."""
        return hashlib.blake2b(f"{self.count} {self.how}".encode(), digest_size=4).hexdigest()

    def name(self, digests: Sequence[bytes]) -> str | None:
        """The file's name; None where the pictures are pixels already, which nobody need decode."""
        if not all(digests):
            return None
        content = hashlib.blake2b(b"".join(digests), digest_size=8).hexdigest()
        return f"{self.prefix()}-{content}{SUFFIX}"

    def about(self) -> dict[str, str]:
        """For a person who lists what is kept."""
        # The header has 4 kB; the end of a long path says more than its beginning.
        return {"source": self.source[-200:], "pictures": str(self.count), "size": self.size}


@dataclass(frozen=True, kw_only=True)
class KeptStore:
    """A store in the cache folder."""

    path: Path
    bytes: int
    used: float  # when it was last used, in seconds since 1970
    about: dict[str, str]

    @property
    def key(self) -> str:
        """Its name, as a person types it."""
        return self.path.stem


def find(
    request: Request, digests: Callable[[], Iterable[bytes]], *, room: int, threads: int | None, observer: Observer
) -> tuple[np.ndarray, Table] | None:
    """The pixels (flat `uint8`; mapped beyond `room` bytes) and the table of these pictures, if they are kept.

    `digests()` reads the files: see `reading.digest_of`. A store that cannot be used is removed, and said.
    """
    folder = cache_place(STORES)
    if next(folder.glob(f"{request.prefix()}-*{SUFFIX}"), None) is None:
        return None
    name = request.name(list(digests()))
    path = folder / (name or "")
    if name is None or not os.path.lexists(path):
        return None
    try:
        flat, table = read_store_file(path, _versions(), room=room, threads=threads)
    except Unusable as why:
        observer.say(f"the decoded pictures that were kept as {path.stem} cannot be used: {why}; decoding them anew")
        with contextlib.suppress(OSError):  # where it cannot be removed it stays, and is said again
            path.unlink()
        return None
    with contextlib.suppress(OSError):  # a folder that others share may be read-only: then nobody counts its uses
        os.utime(path)
    where = "in memory" if flat.nbytes <= room else "mapped"
    observer.say(f"{len(table.shapes):,} pictures were decoded before: {size_in_words(flat.nbytes)}, {where}")
    return flat, table


def keep(
    request: Request, name: str, pictures: Sequence[np.ndarray] | PixelFile, table: Table, observer: Observer
) -> None:
    """Give a store its name in the cache folder, if the budget and the disk allow; else say why not.

    `pictures` are those of the table, or the file that they were written to, where memory did not take them.
    """
    budget, pixels = cache_budget(), table.bytes()
    if pixels > budget:
        observer.say(
            f"the decoded pictures ({size_in_words(pixels)}) are not kept: the cache may take "
            f"{size_in_words(budget)} ({BUDGET} says otherwise)"
        )
        return
    size = pixels + HEAD + len(table.shapes) * ENTRY_BYTES
    written = None
    try:
        folder = cache_folder(STORES)
        sweep(folder)
        _make_room(folder, budget - size)
        if not isinstance(pictures, PixelFile):
            written = PixelFile(folder)
            for one in pictures:
                written.write(one.reshape(-1).view(np.uint8), align=4 if one.dtype == np.float32 else 1)
        file = written or pictures
        assert isinstance(file, PixelFile)
        file.publish(folder / name, table, {**_versions(), **request.about()})
        _make_room(folder, budget)  # another process may have kept one meanwhile
    except (OSError, InputError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        observer.say(f"the decoded pictures are not kept for the next run: {reason}")
    else:
        observer.say(f"the decoded pictures are kept for the next run ({size_in_words(pixels)}; striate cache)")
    finally:
        if written is not None:
            written.remove()


def kept_stores() -> list[KeptStore]:
    """What is kept, last used first."""
    found = []
    for path in cache_place(STORES).glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # another process has just made room
            told = path.lstat()
            found.append(KeptStore(path=path, bytes=told.st_size, used=told.st_mtime, about=read_about(path)))
    return sorted(found, key=lambda one: (-one.used, one.key))


def cache_budget() -> int:
    """Bytes that the kept stores may take: STRIATE_CACHE_BUDGET ("5GB", "0"), else 20 GB or a tenth of the disk that is
    free or theirs, whichever is less. Raises InputError where the variable says nothing that can be understood."""
    text = os.environ.get(BUDGET, "").strip()
    if text:
        read = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?)b?", text, re.ASCII | re.IGNORECASE)
        require(read is not None, f"{BUDGET} must be a size such as 5GB or 500MB, or 0, got '{text}'")
        assert read is not None
        return int(float(read[1]) * UNITS[read[2].lower()])
    place = cache_place(STORES)
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    own = sum(one.bytes for one in kept_stores())
    return int(min(LARGEST_BUDGET, SHARE_OF_DISK * (shutil.disk_usage(there).free + own)))


def size_in_words(number: float) -> str:
    """Bytes as "90 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def _make_room(folder: Path, most: int) -> None:
    """Remove the stores that were not used for longest until the others take at most `most` bytes."""
    stores = kept_stores()
    total = sum(one.bytes for one in stores)
    while stores and total > most:
        oldest = stores.pop()
        oldest.path.unlink(missing_ok=True)
        total -= oldest.bytes


def _versions() -> dict[str, str]:
    """What must be equal for kept pixels to be those that decoding would give."""
    from importlib.metadata import version

    import PIL
    from PIL import features

    jpeg = features.version_feature("libjpeg_turbo") or features.version_codec("jpg")
    return {"schema": SCHEMA, "decoder": f"striate {version('striate')}, Pillow {PIL.__version__}, JPEG {jpeg}"}
