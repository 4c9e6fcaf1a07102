"""The run folder, and the only writer of it; what lies in it, and how that is read: `run_files.py`.

Every file is written under another name, flushed and renamed. Weights are safetensors (`loading.py` reads them),
settings JSON and TOML: loading executes nothing. Where a new folder may be is decided by `claim.py`; it is made here.
Checkpoints are written by `training/checkpoint.py`, in the same way, in the folder that `Run.checkpoints` hands out: a
training needs no run to keep them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.errors import InputError
from striate.machine.files import UNFINISHED, refused, write_atomically
from striate.machine.holding import Held, hold
from striate.models.run_files import (
    BEGUN,
    CHECKPOINTS,
    CONFIG,
    FILES,
    GIVEN_UP,
    LARGEST_METRICS,
    LAST,
    LIBRARY,
    LOG,
    MEAN,
    METRICS,
    MODEL,
    PREDICTIONS,
    PREVIOUS,
    RECIPE,
    REPORT,
    SCHEMA,
    SEEN,
    is_file,
    is_unfinished,
    own_files,
    read_config,
    read_json,
)
from striate.observer import Observer, epoch_words
from striate.shown import as_html

if TYPE_CHECKING:
    import numpy as np

    from striate.models.model import Model


@dataclass(frozen=True, init=False)
class Run:
    """A run folder on disk: what `striate.train` returns and every other command takes.

    `striate.Run("runs/photos-1")` is one that is there; the folder is looked into when something of it is asked for.
    """

    folder: Path
    # Folders that were not there before, the deepest first.
    made: tuple[Path, ...] = field(compare=False, repr=False)
    # Against a second training into it, while there is one.
    held: Held | None = field(compare=False, repr=False)
    # Of several processes that train together only the first writes.
    writes: bool = field(compare=False, repr=False)

    def __init__(
        self,
        folder: str | os.PathLike[str],
        made: tuple[Path, ...] = (),
        held: Held | None = None,
        writes: bool = True,
    ) -> None:
        """folder: its name, or a Path. The rest is for those that write it."""
        for name, value in (("folder", Path(folder)), ("made", made), ("held", held), ("writes", writes)):
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return str(self.folder)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return as_html(self)

    @property
    def config(self) -> dict[str, Any]:
        """`config.json`, checked. Raises InputError where the folder holds no run."""
        return read_config(self.folder)

    @property
    def noun(self) -> str:
        """What it learned from one of, in sentences: "row" of a table of numbers, or "picture"."""
        return "row" if self.config["input"].get("fields") else "picture"

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

    def check_writable(self) -> None:
        """Raises InputError where nothing can be written here."""
        probe = self.folder / f".striate-{os.getpid()}.part"
        try:
            try:
                probe.write_bytes(b"striate")
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            raise refused(self.folder, error) from error

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
            learned = [name for name in own_files(self.folder) if name not in BEGUN and (self.folder / name).exists()]
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


def make_folder(folder: Path, *, only_new: bool = False) -> Run:
    """The run of this folder, which is made, and those above it that are missing; not held yet.

    Raises OSError and ValueError as pathlib does; FileExistsError where it is there already, with `only_new`.
    """
    made = tuple(place for place in (folder, *folder.parents) if not place.exists())
    folder.mkdir(parents=True, exist_ok=not only_new)
    return Run(folder, made)


def _move_own(from_folder: Path, to_folder: Path) -> None:
    if not from_folder.is_dir():
        return
    for name in own_files(from_folder):
        if (from_folder / name).is_file():
            (to_folder / name).parent.mkdir(parents=True, exist_ok=True)
            (from_folder / name).replace(to_folder / name)
    _remove_empty(from_folder)


def _forget_given_up(folder: Path) -> None:
    aside = folder / GIVEN_UP
    if not aside.is_dir() or aside.is_symlink():
        return
    try:
        for name in own_files(aside):
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
    """Write `model.safetensors`, `mean.safetensors` where a mean picture is taken off, and `config.json`. `network`
    {name, arguments} says how to build it again."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.network.state_dict().items()}
    run.write(MODEL, save(tensors, metadata={"format": "pt"}))
    if model.input_spec.mean_picture is not None:
        run.write(MEAN, model.input_spec.mean_picture.to_bytes())
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
