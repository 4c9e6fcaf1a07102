"""Runs a script, as `python guard.py SCRIPT`, in a process that may reach no network, start no program, and write into
the folders named in GUARD_ALLOWED (JSON) alone. What it tried all the same goes, as JSON, to the file GUARD_TOLD.

To the script a refused place is a read-only disk, and a refused network or program one without permission.
"""

from __future__ import annotations

import errno
import json
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

ALLOWED = tuple(os.path.realpath(folder) for folder in json.loads(os.environ["GUARD_ALLOWED"]))
TOLD = os.environ["GUARD_TOLD"]
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Event -> which of its arguments are places that it changes, and which the folders that these are relative to.
CHANGING = {
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.link": ((1, 3),),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.setxattr": ((0, None),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.utime": ((0, 3),),
}
REACHING = (
    *("socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendmsg", "socket.sendto"),
    *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"),
)
tried: list[dict[str, Any]] = []


def is_allowed(place: Any) -> bool:
    """Whether this may be written; a number is a file that is open already."""
    if isinstance(place, int):
        return True
    real = os.path.realpath(os.fsdecode(place))
    return real == os.devnull or any(real == one or real.startswith(one + os.sep) for one in ALLOWED)


def below(place: Any, folder: int | None) -> Any:
    """A place that is relative to a folder that is open, from the working folder; -1 is no folder."""
    if isinstance(place, int) or folder is None or folder < 0:
        return place
    return Path(f"/proc/self/fd/{folder}").readlink() / os.fsdecode(place)


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise OSError for what is not allowed, and remember it."""
    if event in REACHING:
        remember(event, arguments)
        raise PermissionError(errno.EACCES, f"{event} is refused")
    if event == "open":
        flags = arguments[2]
        places = arguments[:1] if isinstance(flags, int) and flags & WRITING else ()
    else:
        changed = CHANGING.get(event, ())
        places = tuple(below(arguments[place], None if at is None else arguments[at]) for place, at in changed)
    for place in places:
        if not is_allowed(place):
            remember(event, (place,))
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fsdecode(place))


def remember(event: str, arguments: tuple[Any, ...]) -> None:
    """Keep what was tried, and where."""
    where = traceback.format_list(traceback.extract_stack()[-9:-2])
    tried.append({"event": event, "arguments": repr(arguments)[:300], "where": "".join(where)})


if __name__ == "__main__":
    # Its import lets Python look for libraries by the system's linker, into a file of its own.
    import torch  # noqa: F401

    sys.addaudithook(watch)
    script = sys.argv[1]
    sys.argv[:] = [script]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        ALLOWED += (TOLD,)
        with open(TOLD, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(tried, file)
