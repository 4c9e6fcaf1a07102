"""Pictures that are files of their own: opened when they are asked for, never before."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence

from striate.errors import InputError

LARGEST = 1 << 30  # bytes of one encoded picture; what is larger is no picture of anybody's


class Files:
    """`Pictures` of paths. `reasons` names those that are known to be of no use, and why."""

    def __init__(self, paths: Sequence[str], reasons: Mapping[int, str] | None = None) -> None:
        self.paths = tuple(paths)
        self.reasons = dict(reasons or {})

    def load(self, index: int) -> bytes:
        """The bytes of file `index`. Raises InputError (the reason alone)."""
        if index in self.reasons:
            raise InputError(self.reasons[index])
        return read_file(self.paths[index], LARGEST)


def read_file(path: str | os.PathLike[str], largest: int) -> bytes:
    """The bytes of a regular file of at most `largest` bytes. Raises InputError (the reason alone)."""
    # a named pipe would wait for its writer without end: opened without waiting, then looked at
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        handle = os.open(path, flags)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISDIR(status.st_mode):
                raise InputError("a folder, not a file")
            if not stat.S_ISREG(status.st_mode):
                raise InputError("not a regular file")
            if status.st_size > largest:
                raise InputError(f"{status.st_size:,} bytes, over the limit of {largest:,}")
            return file.read(status.st_size)  # not `largest`: read() reserves what it is asked for
    except FileNotFoundError:
        raise InputError("no such file") from None
    except IsADirectoryError:
        raise InputError("a folder, not a file") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from error
    except ValueError:  # a NUL in its name
        raise InputError("no file can have this name") from None
