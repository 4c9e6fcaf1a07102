"""What a run folder holds: the names of its files, which of them are ours, and reading them, trusting nothing.

The layout is that of a repository on the Hugging Face Hub. Written by `run.py` alone; weights are read by `loading.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.data.samples import natural_key
from striate.errors import InputError, require
from striate.machine.files import UNFINISHED, refused
from striate.words import counted

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
LIBRARY = "striate"
MODEL, CONFIG, RECIPE, HISTORY, LOG = "model.safetensors", "config.json", "recipe.toml", "history.csv", "log.txt"
METRICS, PREDICTIONS, CARD, REPORT, CHECKPOINTS = (
    "metrics.json",
    "predictions.csv",
    "README.md",
    "report.html",
    "checkpoints",
)
FILES = (MODEL, CONFIG, RECIPE, HISTORY, LOG, METRICS, PREDICTIONS, CARD, REPORT)
BEGUN = (LOG, RECIPE)  # what is there before anything has been learned
LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"
CHECKPOINT_FILES = (LAST, PREVIOUS, BEST)
SEEN = "seen.safetensors"  # checksums of the pictures that the run has seen; runs of early versions have none
# Weights after an epoch, where `keep_epochs` asks for them: as many files as epochs.
EPOCH = re.compile(r"epoch-(\d{4,})\.safetensors")
MEAN = "mean.safetensors"  # the mean picture, where one is taken off the inputs
OWN_FILES = (*FILES, SEEN, MEAN, *(f"{CHECKPOINTS}/{name}" for name in CHECKPOINT_FILES))
# What a run had before it was given up with --overwrite; kept until the new one has begun to learn.
GIVEN_UP = ".given-up"
LARGEST_CONFIG, LARGEST_METRICS = 16 * 2**20, 64 * 2**20  # bytes
# A network that the user brought: its weights are ours to load, its code is theirs.
OWN_NETWORK = "own"


def is_run(folder: Path) -> bool:
    """Whether the folder holds a run, finished or not."""
    return is_file(folder / RECIPE) or is_file(folder / CONFIG)


def no_run(folder: Path, what: str) -> InputError:
    """The sentence on a folder that is no run: that it holds some, as that of `--folds` does, or `what`."""
    inside = []
    with contextlib.suppress(OSError):
        inside = sorted((entry for entry in folder.iterdir() if is_run(entry)), key=lambda run: natural_key(run.name))
    if inside:
        holds = f"it holds {counted(len(inside), 'run')}; name one of them, such as {inside[0]}"
        return InputError(f"{folder}: not a run itself: {holds}")
    return InputError(f"{folder}: {what}")


def is_ours(folder: Path) -> bool:
    """Whether what is there was written by `train`, so surely that its files may be given up."""
    if all(is_file(folder / name) for name in BEGUN):
        return True
    if is_file(folder / CONFIG):
        with contextlib.suppress(InputError):
            return read_json(folder / CONFIG, LARGEST_CONFIG).get("library") == LIBRARY
    aside = folder / GIVEN_UP
    return aside.is_dir() and not aside.is_symlink() and is_ours(aside)


def is_unfinished(name: str) -> bool:
    """Whether a file of this name was left half written by a kill."""
    ours = (*(f".{own.rpartition('/')[2]}." for own in OWN_FILES), ".epoch-")
    return name.endswith(UNFINISHED) and name.startswith(ours)


def epoch_file(epoch: int) -> str:
    """The name, in the folder of checkpoints, of the weights that answered after epoch `epoch`, from 1."""
    return f"epoch-{epoch:04d}.safetensors"


def kept_epochs(folder: str | Path) -> tuple[int, ...]:
    """The epochs whose weights the run has kept (`keep_epochs`), in order. For `load_model(..., epoch=...)`."""
    place = Path(folder) / CHECKPOINTS
    try:
        names = [entry.name for entry in place.iterdir()] if place.is_dir() else []
    except OSError as error:
        raise refused(place, error) from error
    found = (EPOCH.fullmatch(name) for name in names)
    return tuple(sorted(int(one[1]) for one in found if one and one[0] == epoch_file(int(one[1]))))


def own_files(folder: Path) -> tuple[str, ...]:
    """What `train` may have written into this folder."""
    return (*OWN_FILES, *(f"{CHECKPOINTS}/{epoch_file(epoch)}" for epoch in kept_epochs(folder)))


def read_seen(folder: str | Path) -> tuple[np.ndarray, np.ndarray] | None:
    """What `write_seen` wrote; None where the run is of a version that wrote nothing. Raises InputError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(folder) / SEEN
    if not is_file(path):
        return None
    try:
        found = load_file(path)
        learned, chosen = found["learned"], found["chosen"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    sound = all(one.ndim == 1 and one.dtype == "uint64" for one in (learned, chosen))
    require(sound, f"{path}: not what striate writes there")
    return learned, chosen


def read_config(folder: str | Path) -> dict[str, Any]:
    """`config.json` of a run, checked as far as every command needs it. Raises InputError."""
    folder = Path(folder)
    if not os.path.isdir(folder):  # noqa: PTH112 - False for any name that cannot be one
        raise InputError(f"{folder}: there is no such run; striate runs lists those that are here")
    if not is_file(folder / CONFIG):
        if is_run(folder):
            raise InputError(f"{folder}: the run has no model yet; go on with it by 'striate resume {folder}'")
        raise no_run(folder, f"not a run (it has no {CONFIG}); name a folder that striate train wrote")
    config = read_json(folder / CONFIG, LARGEST_CONFIG)
    schema = config.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise InputError(f"{folder / CONFIG}: not written by striate (no schema number)")
    if schema > SCHEMA:
        raise InputError(f"{folder / CONFIG}: written by a later version of striate (schema {schema}); update striate")
    for part in ("network", "task", "input"):
        require(isinstance(config.get(part), dict), f"{folder / CONFIG}: '{part}' is missing or no table")
    network = config["network"]
    require(isinstance(network.get("name"), str), f"{folder / CONFIG}: the network has no name")
    require(isinstance(network.get("arguments", {}), dict), f"{folder / CONFIG}: the network's arguments are no table")
    return config


def is_file(path: Path) -> bool:
    """Whether it is a regular file that can be asked for: False also for names that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for some of them


def read_json(path: Path, largest: int) -> dict[str, Any]:
    """A table of JSON in a file of at most `largest` bytes. Raises InputError."""
    try:
        if path.stat().st_size > largest:
            raise InputError(f"{path}: too large to be what striate writes there")
        values = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: not what striate writes there")
    return values
