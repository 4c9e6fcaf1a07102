"""A folder that one process holds: two cannot train into it at once, and a kill lets go of it.

The lock is the system's own on the folder itself (`flock`): there is no file to leave behind, and it ends with the
process that has it. Where the system cannot lock a folder (Windows, some network disks) nothing is held.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from striate.errors import InputError

# What disks answer that know no locks, or none on folders.
UNABLE = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class Held:
    """A folder that is held until `let_go`, or until the process ends."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def let_go(self) -> None:
        """Let others have it; nothing where that was done before."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def hold(folder: Path) -> Held:
    """Hold an existing folder. Raises InputError where another process, or another part of this one, has it."""
    if os.name != "posix":
        return Held(None)
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(
            f"{folder}: another process is training into this run; wait for it, stop it, or name another place"
        ) from None
    except OSError as error:
        os.close(descriptor)
        if error.errno not in UNABLE:
            raise
        return Held(None)
    return Held(descriptor)
