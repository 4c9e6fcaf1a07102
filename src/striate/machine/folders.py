"""Where Striate keeps what it can make anew: the cache folder, this system's own or the one in STRIATE_CACHE."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from pathlib import Path

from striate.errors import InputError

VARIABLE = "STRIATE_CACHE"


def cache_place(*parts: str) -> Path:
    """Where the folder `parts` inside the cache folder is or would be; nothing is made."""
    named = os.environ.get(VARIABLE)
    if named:
        root = Path(named).expanduser().absolute()
    else:
        import platformdirs

        root = Path(platformdirs.user_cache_dir("striate", appauthor=False))
    return root.joinpath(*parts)


def cache_folder(*parts: str) -> Path:
    """The folder `parts` inside the cache folder, made where it is missing. Raises InputError where it cannot be."""
    folder = cache_place(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the cache folder {folder} cannot be made ({error.strerror}); name another in {VARIABLE}"
        ) from error
    return folder


# What libraries call the places of their own caches, and where these lie in ours.
REDIRECTED = {
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TRITON_CACHE_DIR": "triton",
    "TORCH_HOME": "torch",
    "HF_HOME": "huggingface",
}


# Of what torch's compiler makes; it is asked for them anew each time, and nobody else's things lie there.
OF_THE_COMPILER = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


def redirect_caches(variables: Iterable[str] = tuple(REDIRECTED)) -> None:
    """Let the libraries of this process keep their caches in ours, but for those that the user has placed.

    All of them: for the owner of the process, before torch is imported; in a user's own program only those
    `OF_THE_COMPILER`. Where the cache folder cannot be made, those of the compiler, which makes a folder however little
    it is asked for, lie in one that goes with this process; the others stay where they are.
    """
    try:
        root = cache_folder()
    except InputError:
        root, variables = _fleeting(), OF_THE_COMPILER
    for variable in variables:
        os.environ.setdefault(variable, str(root / REDIRECTED[variable]))


@functools.cache
def _fleeting() -> Path:
    """A folder that is removed when the process ends, made when it is first needed."""
    import atexit
    import shutil
    import tempfile

    root = Path(tempfile.mkdtemp(prefix="striate-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root
