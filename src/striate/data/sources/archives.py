"""A packed source: a zip, or a tar of anything but samples, unpacked once into the cache folder and read from there.

What is unpacked is found again by the archive's path, size, date and content. It is written under another name and gets
its own when it is whole, so that several processes may do it at once; what was changed meanwhile is unpacked anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.sources import tars
from striate.data.sources.gzipped import Stream
from striate.data.sources.listing import is_junk, is_picture, shown
from striate.data.sources.tar_index import Shard, members_of
from striate.data.sources.unpacking import REGULAR, unpack
from striate.errors import InputError
from striate.machine.folders import VARIABLE, cache_folder, cache_place
from striate.words import counted

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ENDINGS = (".zip", *TARS)
UNPACKED = "archives"  # in the cache folder
FILES, ABOUT = "files", "about.json"  # in the folder of one archive
SCHEMA = 1
BEGUN = ".part"  # how the name of a folder ends that is being written, or removed
LEFT_SECONDS = 60  # after which a folder that nobody holds is one that nobody finishes
LEFT_SECONDS_UNHELD = 86_400  # the same on systems where nobody can hold one
LOOKED_AT = 1000  # members of a tar of samples among which there is a KEY.cls


@dataclass(frozen=True)
class Unpacked:
    """What lies in the cache folder of one archive."""

    place: Path
    source: str
    files: int
    bytes: int
    used: float  # when it was last used, in seconds since 1970

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.place / FILES

    @property
    def key(self) -> str:
        """Its name, as a person types it."""
        return self.place.name

    @property
    def words(self) -> str:
        """For the sentence that says how a source was recognised."""
        return f"unpacked from it ({counted(self.files, 'file')}, {self.bytes / 1e6:,.1f} MB)"


def recognises(path: Path) -> bool:
    """Whether it is a zip, or a tar that holds no samples (`tars` reads those where they lie)."""
    name = path.name.lower()
    if not name.endswith(ENDINGS) or not path.is_file():
        return False
    return not name.endswith(tars.ENDINGS) or _holds_a_folder(path)


def unpacked(path: Path) -> Unpacked:
    """The files of an archive, unpacked now or before. Raises InputError that names it where it is refused."""
    where = shown(str(path))
    try:
        place = cache_folder(UNPACKED) / _key(path)
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error.strerror})") from error
    known = _known(place)
    if known is not None:
        with contextlib.suppress(OSError):  # a folder that others share may be read-only: nobody counts its uses
            os.utime(place / ABOUT)
        return known
    if os.path.lexists(place):
        remove(place)  # somebody has changed what was in it
    sweep()
    begun = place.with_name(f"{place.name}-{uuid.uuid4().hex[:12]}{BEGUN}")
    try:
        begun.mkdir()
        with _held(begun):
            contents = unpack(path, begun / FILES)
            about = {"schema": SCHEMA, "source": where, "files": contents.files, "bytes": contents.bytes}
            (begun / ABOUT).write_text(json.dumps(about), encoding="ascii")
            return _published(begun, place)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except OSError as error:
        raise InputError(
            f"{where}: cannot be unpacked into {place.parent} ({error.strerror}); make room there, or name another "
            f"folder in {VARIABLE}"
        ) from error
    finally:
        shutil.rmtree(begun, ignore_errors=True)


def kept_archives() -> list[Unpacked]:
    """All that is unpacked, last used first."""
    found = [_told(place) for place in cache_place(UNPACKED).glob("*") if not place.name.endswith(BEGUN)]
    return sorted((one for one in found if one is not None), key=lambda one: (-one.used, one.key))


def remove(place: Path) -> None:
    """Take away what is unpacked there, at once for whoever looks for it. Raises InputError."""
    aside = place.with_name(f"{place.name}-{uuid.uuid4().hex[:12]}{BEGUN}")
    try:
        place.rename(aside)
        shutil.rmtree(aside)
    except FileNotFoundError:
        pass  # another process has just removed it
    except OSError as error:
        raise InputError(f"{place}: cannot be removed ({error.strerror})") from error


def sweep() -> None:
    """Remove folders that were begun by a process that is no more."""
    for path in cache_place(UNPACKED).glob(f"*{BEGUN}"):
        if _is_left(path):
            shutil.rmtree(path, ignore_errors=True)


def _published(begun: Path, place: Path) -> Unpacked:
    """Give a whole folder its name. Raises OSError."""
    try:
        begun.rename(place)
    except OSError:
        # Another process may have been quicker; what it wrote is the same.
        found = _known(place)
        if found is None:
            raise
        return found
    found = _known(place)
    assert found is not None
    return found


def _holds_a_folder(path: Path) -> bool:
    """Whether a tar holds what a folder would, and not samples: no KEY.cls, and more than loose pictures."""
    more = False
    try:
        with Stream(path) as stream:
            for number, member in enumerate(members_of(stream, Shard(), "")):
                name = member.name.removeprefix("./")
                if name.lower().endswith(".cls"):
                    return False
                if number >= LOOKED_AT:
                    break
                loose = is_picture(name) and "/" not in name
                more = more or (member.kind in REGULAR and not loose and not is_junk(name.rpartition("/")[2]))
    except InputError:
        pass  # what is wrong with it is said where it is read
    return more


def _key(path: Path) -> str:
    """What is equal for an archive that was not touched. Raises OSError."""
    with path.open("rb") as file:
        told = os.fstat(file.fileno())
        content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    named = f"{path.absolute()}\0{told.st_size}\0{told.st_mtime_ns}\0{content}"
    return hashlib.blake2b(named.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


def _known(place: Path) -> Unpacked | None:
    """What lies there, where all of it still does."""
    told = _told(place)
    if told is None:
        return None
    files = size = 0
    for folder, _, names in os.walk(told.folder):
        for name in names:
            with contextlib.suppress(OSError):  # then it is missing from the sum
                size += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - many files
                files += 1
    return told if (files, size) == (told.files, told.bytes) else None


def _told(place: Path) -> Unpacked | None:
    """What the notes beside the files say; None where they are none of ours."""
    try:
        about: Any = json.loads((place / ABOUT).read_bytes())
        used = (place / ABOUT).stat().st_mtime
        if about["schema"] != SCHEMA:
            return None
        return Unpacked(place, str(about["source"]), int(about["files"]), int(about["bytes"]), used)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Show the others that this folder is being written; the system forgets it with the process."""
    if os.name != "posix":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some disks know no locks; there nobody gets one to take the folder away either.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _is_left(folder: Path) -> bool:
    try:
        age = time.time() - folder.stat().st_mtime
        if os.name != "posix":
            return age > LEFT_SECONDS_UNHELD
        if age < LEFT_SECONDS:
            return False
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)
    except OSError:  # someone is writing it, or has just finished
        return False
    return True
