"""The run folder: the only writer of it, and the reader of its settings, who trusts nothing in it.

Every file is written under another name, flushed and renamed. Weights are safetensors (`loading.py` reads them),
settings JSON and TOML: loading executes nothing. The layout is that of a repository on the Hugging Face Hub. How a new
folder is found: `claim.py`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.errors import InputError, require
from striate.machine.files import UNFINISHED, refused, write_atomically
from striate.machine.holding import Held, hold
from striate.observer import Observer, epoch_words

if TYPE_CHECKING:
    import numpy as np

    from striate.models.model import Model

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
OWN_FILES = (*FILES, SEEN, *(f"{CHECKPOINTS}/{name}" for name in CHECKPOINT_FILES))
# What a run had before it was given up with --overwrite; kept until the new one has begun to learn.
GIVEN_UP = ".given-up"
LARGEST_CONFIG, LARGEST_METRICS = 16 * 2**20, 64 * 2**20  # bytes
# A network that the user brought: its weights are ours to load, its code is theirs.
OWN_NETWORK = "own"


@dataclass(frozen=True)
class Run:
    """A run folder on disk: what `striate.train` returns and every other command takes."""

    folder: Path
    # Folders that were not there before, the deepest first.
    made: tuple[Path, ...] = field(default=(), compare=False, repr=False)
    # Against a second training into it, while there is one.
    held: Held | None = field(default=None, compare=False, repr=False)
    # Of several processes that train together only the first writes.
    writes: bool = field(default=True, compare=False, repr=False)

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def config(self) -> dict[str, Any]:
        """`config.json`, checked. Raises InputError where the folder holds no run."""
        return read_config(self.folder)

    @property
    def metrics(self) -> dict[str, Any]:
        """`metrics.json`: figures of the test split with intervals, counts, times."""
        return read_json(self.folder / METRICS, LARGEST_METRICS)

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: every file is there, the report (the last) too."""
        return all(is_file(self.folder / name) for name in FILES if name != PREDICTIONS)

    @property
    def report(self) -> Path:
        """Where the report lies."""
        return self.folder / REPORT

    def how_to_go_on(self) -> str:
        """For whoever stopped it: what it goes on from, and the command; "" where there is nothing to go on with."""
        if not is_file(self.folder / RECIPE):
            return ""
        kept = any(is_file(self.folder / CHECKPOINTS / name) for name in (LAST, PREVIOUS))
        how = "go on where its last checkpoint stands" if kept else "it had no checkpoint yet; begin it again"
        return f"{how}: striate resume {shlex.quote(str(self.folder))}"

    def write(self, name: str, content: bytes | str) -> None:
        """Write one file of the folder. Raises InputError where the disk refuses; the old one then stays."""
        if not self.writes:
            return
        write_atomically(self.folder / name, content)
        if name not in BEGUN:
            _forget_given_up(self.folder)

    def checkpoints(self) -> Path:
        """The folder of checkpoints, made where it is missing, for a training that begins or goes on.

        From here on there is no way back: what --overwrite gave up goes, and the report of an earlier end, so
        that a run that is trained further and stopped is not taken for a finished one.
        """
        folder = self.folder / CHECKPOINTS
        if not self.writes:
            return folder
        _forget_given_up(self.folder)
        try:
            (self.folder / REPORT).unlink(missing_ok=True)
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise refused(folder, error) from error
        return folder

    def hold(self) -> Run:
        """The same run, held against a second training into it until `let_go`, or until the process ends.

        Raises InputError where another holds it.
        """
        try:
            return replace(self, held=hold(self.folder))
        except OSError as error:
            raise refused(self.folder, error) from error

    def let_go(self) -> None:
        """Let others train into it."""
        if self.held is not None:
            self.held.let_go()

    def sweep(self) -> None:
        """Remove what a kill left half written. For the one who holds the run."""
        try:
            for folder in (self.folder, self.folder / CHECKPOINTS):
                for path in folder.glob(f".*{UNFINISHED}"):
                    if is_unfinished(path.name):
                        path.unlink(missing_ok=True)
        except OSError as error:
            raise refused(self.folder, error) from error

    def set_aside(self) -> None:
        """Move an earlier run's own files, and nothing else, where they wait until this one has begun to learn."""
        aside = self.folder / GIVEN_UP
        if aside.is_symlink():
            raise InputError(f"{aside}: is a link, which striate never makes there; remove it, or name another place")
        try:
            if (
                aside.exists()
            ):  # an earlier --overwrite was killed: what it had begun is worth less than what it gave up
                for name in BEGUN:
                    if (aside / name).exists():
                        (self.folder / name).unlink(missing_ok=True)
            _move_own(self.folder, aside)
        except OSError as error:
            raise refused(self.folder, error) from error

    def give_up_if_empty(self) -> None:
        """Where nothing but the beginning of a log and a recipe was written, leave everything as it was found."""
        if not self.writes:
            return
        try:
            aside = self.folder / GIVEN_UP
            learned = [name for name in _own_files(self.folder) if name not in BEGUN and (self.folder / name).exists()]
            if learned or ((self.folder / CHECKPOINTS).exists() and not aside.exists()):
                return
            for name in BEGUN:
                (self.folder / name).unlink(missing_ok=True)
            _move_own(aside, self.folder)
        except OSError as error:
            raise refused(self.folder, error) from error
        for folder in self.made:
            with contextlib.suppress(OSError):  # something of somebody else's came into it
                folder.rmdir()


class LogFile(Observer):
    """What was said, line by line, into `log.txt`; a resumed run goes on below."""

    def __init__(self, run: Run) -> None:
        self.path = run.folder / LOG

    def say(self, text: str) -> None:
        self._line(text)

    def warn(self, text: str) -> None:
        self._line(f"warning: {text}")

    def on_epoch(self, record: Mapping[str, float]) -> None:
        self._line(epoch_words(record))

    def _line(self, text: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text.replace("\n", " ") + "\n")
        except OSError as error:
            raise refused(self.path, error) from error


def is_run(folder: Path) -> bool:
    """Whether the folder holds a run, finished or not."""
    return is_file(folder / RECIPE) or is_file(folder / CONFIG)


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


def _own_files(folder: Path) -> tuple[str, ...]:
    """What `train` may have written into this folder."""
    return (*OWN_FILES, *(f"{CHECKPOINTS}/{epoch_file(epoch)}" for epoch in kept_epochs(folder)))


def _move_own(from_folder: Path, to_folder: Path) -> None:
    if not from_folder.is_dir():
        return
    for name in _own_files(from_folder):
        if (from_folder / name).is_file():
            (to_folder / name).parent.mkdir(parents=True, exist_ok=True)
            (from_folder / name).replace(to_folder / name)
    _remove_empty(from_folder)


def _forget_given_up(folder: Path) -> None:
    aside = folder / GIVEN_UP
    if not aside.is_dir() or aside.is_symlink():
        return
    try:
        for name in _own_files(aside):
            (aside / name).unlink(missing_ok=True)
    except OSError as error:
        raise refused(aside, error) from error
    _remove_empty(aside)


def _remove_empty(folder: Path) -> None:
    """A folder of ours goes when nothing is left in it."""
    for place in (folder / CHECKPOINTS, *([folder] if folder.name == GIVEN_UP else [])):
        with contextlib.suppress(OSError):
            place.rmdir()


# -- writing a model ----------------------------------------------------------------------------


def write_model(run: Run, model: Model, network: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    """Write `model.safetensors` and `config.json`. `network` {name, arguments} says how to build it again."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.network.state_dict().items()}
    run.write(MODEL, save(tensors, metadata={"format": "pt"}))
    config = {
        "schema": SCHEMA,
        "library": LIBRARY,
        "network": dict(network),
        "task": model.task.to_json(),
        "input": model.input_spec.to_json(),
        **described,
    }
    run.write(CONFIG, json_text(config))


def write_seen(run: Run, learned: np.ndarray, chosen: np.ndarray) -> None:
    """Write the checksums (n,) uint64 of the pictures that the run learned from, and of those that it chose by."""
    from safetensors.numpy import save

    run.write(SEEN, save({"learned": learned.astype("uint64"), "chosen": chosen.astype("uint64")}))


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


def json_text(values: Mapping[str, Any] | Sequence[Any]) -> str:
    """JSON for people: indented; what is not a number is null; odd file names survive as escapes."""
    return json.dumps(without_nan(values), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def without_nan(value: Any) -> Any:
    """Plain values with None where a number is none, since JSON has no word for it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return value


# -- reading what may be hostile ----------------------------------------------------------------


def read_config(folder: str | Path) -> dict[str, Any]:
    """`config.json` of a run, checked as far as every command needs it. Raises InputError."""
    folder = Path(folder)
    if not os.path.isdir(folder):  # noqa: PTH112 - False for any name that cannot be one
        raise InputError(f"{folder}: there is no such run; striate runs lists those that are here")
    if not is_file(folder / CONFIG):
        if is_run(folder):
            raise InputError(f"{folder}: the run has no model yet; go on with it by 'striate resume {folder}'")
        raise InputError(f"{folder}: not a run (it has no {CONFIG}); name a folder that striate train wrote")
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
