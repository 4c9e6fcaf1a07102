"""Where Striate keeps what it can make anew: the cache folder, this system's own or the one in STRIATE_CACHE."""

from __future__ import annotations

import os
from pathlib import Path

from striate.errors import InputError

VARIABLE = "STRIATE_CACHE"


def cache_folder(*parts: str) -> Path:
    """The folder `parts` inside the cache folder, made where it is missing. Raises InputError where it cannot be."""
    named = os.environ.get(VARIABLE)
    if named:
        root = Path(named).expanduser().absolute()
    else:
        import platformdirs

        root = Path(platformdirs.user_cache_dir("striate", appauthor=False))
    folder = root.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the cache folder {folder} cannot be made ({error.strerror}); name another in {VARIABLE}"
        ) from error
    return folder
