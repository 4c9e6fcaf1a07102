"""Writing files so that a kill at any moment leaves the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from striate.errors import InputError

# The end of the name of a file that is being written.
UNFINISHED = ".part"

# What the place or the disk refuses, rather than a defect of ours.
REFUSALS = {
    errno.ENOSPC: "the disk is full; make room and try again",
    errno.EDQUOT: "the disk quota is used up; make room and try again",
    errno.EROFS: "the place is read-only; name another with --out",
    errno.EACCES: "no permission to write there; name another place with --out",
    errno.EPERM: "no permission to write there; name another place with --out",
    errno.ENOTDIR: "a part of the path is a file, not a folder; name another place with --out",
    errno.EISDIR: "it is a folder; name a file",
    errno.ENOENT: "the place is not there (any more); name another with --out",
    errno.ENAMETOOLONG: "the name is too long; name another place with --out",
    errno.EFBIG: "the file would be larger than this disk takes",
    errno.EIO: "the disk does not work",
}


def refused(path: Path, error: OSError) -> InputError:
    """The sentence for a place that cannot be written; the error itself where it is none of the known ones."""
    reason = REFUSALS.get(error.errno or 0)
    if reason is None:
        raise error
    return InputError(f"{path}: {reason}")


def write_atomically(path: Path, content: bytes | str, *, keep: Path | None = None) -> None:
    """Write `content` under another name, flush it to the disk, and rename it to `path`; what was there goes to `keep`.

    A kill between the two renames leaves nothing at `path`, and what was there at `keep`. Raises InputError where the
    disk is full or the place cannot be written; `path` and `keep` are then as they were.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=UNFINISHED, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise refused(path, error) from error
    temporary = Path(name)
    try:
        temporary.write_bytes(data)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _umask() -> int:
    # The only portable way to read it is to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _flush_folder(folder: Path) -> None:
    """Make the rename itself last. Some systems cannot open folders; the rename is then theirs to keep."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
