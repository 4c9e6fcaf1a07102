"""Runs on the Hugging Face Hub: `hf://owner/name` in the place of a run folder, fetched once into the cache folder.

Only the files of a run's layout come and go, by their names: weights in safetensors, JSON, TOML, CSV, text, the page;
never a pickle, and no code. What came is read as a run folder that a stranger wrote is (`loading.py`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from striate.errors import InputError, require
from striate.machine.folders import cache_folder
from striate.models.run import Run
from striate.models.run_files import OWN_FILES, read_config

PREFIX = "hf://"
# A path that begins like an address has lost one of its slashes.
ADDRESS = re.compile(r"hf:/{1,2}(?P<name>[^@]*)(?:@(?P<revision>.*))?", re.DOTALL)
NAME = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
REVISION = re.compile(r"[\w-][\w./-]{0,127}", re.ASCII)
# What is no checkpoint: those are for going on with a training, and large.
LAYOUT = tuple(name for name in OWN_FILES if "/" not in name)

T = TypeVar("T")


def is_address(run: object) -> bool:
    """Whether it is `hf://...`, as text or as a path."""
    return isinstance(run, str | os.PathLike) and ADDRESS.fullmatch(os.fspath(run)) is not None


def parsed(address: str | os.PathLike[str]) -> tuple[str, str | None]:
    """`hf://owner/name[@revision]`, or owner/name alone -> (owner/name, revision). Raises InputError."""
    text = os.fspath(address)
    found = ADDRESS.fullmatch(text if is_address(text) else PREFIX + text)
    assert found is not None
    name, revision = found["name"], found["revision"]
    sound = NAME.fullmatch(name) is not None and ".." not in name
    require(sound, f"{text}: is no run on the Hub; it is named hf://owner/name, or hf://owner/name@revision")
    fits = revision is None or (REVISION.fullmatch(revision) is not None and ".." not in revision)
    require(fits, f"{text}: '{revision}' is no revision; name a branch, a tag or a commit")
    return name, revision


def fetched(run: T) -> T | Path:
    """Of `hf://owner/name[@revision]` the folder in the cache where its files lie now; anything else as it is.

    What is there already is not fetched again. Without a network (or with HF_HUB_OFFLINE=1) what was fetched before is
    taken. Raises InputError where there is no such run, none that may be read, or none that is here.
    """
    if not isinstance(run, str | os.PathLike) or not is_address(run):
        return run
    name, revision = parsed(run)
    address = f"{PREFIX}{name}" + (f"@{revision}" if revision else "")
    with _told(address), _quiet():
        from huggingface_hub import snapshot_download

        folder = snapshot_download(
            name, revision=revision, cache_dir=cache_folder("huggingface", "hub"), allow_patterns=list(LAYOUT)
        )
    require(Path(folder, "config.json").is_file(), f"{address}: holds no run of Striate's (it has no config.json)")
    return Path(folder)


def push(run: Run, address: str, *, private: bool | None = None) -> str:
    """Put the files of a finished run into the repository `address`, which is made where it is not there; its page.

    A file that is there under one of these names is replaced, as a new revision; others stay. Who pushes is known to
    the Hub by the token in HF_TOKEN. private: for a repository that is made. Raises InputError.
    """
    name, revision = parsed(address)
    read_config(run.folder)
    require(run.finished, f"{run}: has not come to its end; go on with it by 'striate resume {run}'")
    with _told(f"{PREFIX}{name}"), _quiet():
        from huggingface_hub import HfApi

        hub = HfApi()
        page = hub.create_repo(name, exist_ok=True, private=private)
        hub.upload_folder(
            repo_id=name,
            folder_path=run.folder,
            revision=revision,
            allow_patterns=list(LAYOUT),
            commit_message="A run of Striate",
        )
    return str(page)


@contextlib.contextmanager
def _told(address: str) -> Iterator[None]:
    """What the Hub, the network or the library refuses, as one sentence."""
    try:
        from huggingface_hub import errors
    except ImportError:
        raise InputError(
            f"{address}: runs on the Hub need huggingface_hub, which is not installed; run: pip install 'striate[hub]'"
        ) from None
    # Of the HTTP library that this version of huggingface_hub is made on.
    unreachable: type[Exception] = getattr(errors, "HTTPError", ConnectionError)
    try:
        yield
    except errors.GatedRepoError as error:
        raise InputError(
            f"{address}: its owner wants to be asked first; do so on its page, and set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{address}: there is no such repository, or it is private; for a private one set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{address}: the repository has no such revision") from error
    except errors.LocalEntryNotFoundError as error:
        raise InputError(
            f"{address}: is not in the cache folder, and the Hub cannot be reached; try again with a network"
        ) from error
    except errors.LocalTokenNotFoundError as error:
        raise InputError(
            f"{address}: the Hub does not know who you are; set HF_TOKEN to a token that may write"
        ) from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise InputError(f"{address}: the Hub does not let you; set HF_TOKEN to a token that may") from error
        raise InputError(
            f"{address}: the Hub answered with an error ({_first_line(error)}); try again later"
        ) from error
    except (unreachable, ConnectionError) as error:
        raise InputError(f"{address}: the Hub cannot be reached ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The library's bars go to no terminal of ours."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()
