"""The run folder: the only writer of it, and the reader that trusts nothing in it.

Every file is written under another name, flushed and renamed. Weights are safetensors, settings JSON and
TOML: loading executes nothing. The layout is that of a repository on the Hugging Face Hub.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import re
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
    import torch
    from torch import nn

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
        return _json(self.folder / METRICS, LARGEST_METRICS)

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: every file is there, the report (the last) too."""
        return all(_is_file(self.folder / name) for name in FILES if name != PREDICTIONS)

    @property
    def report(self) -> Path:
        """Where the report lies."""
        return self.folder / REPORT

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
                    if _is_unfinished(path.name):
                        path.unlink(missing_ok=True)
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


# -- making a folder ----------------------------------------------------------------------------


def claim_folder(out: str | Path | None, source: str, *, overwrite: bool = False) -> Run:
    """The empty folder of a new run: `out`, or `runs/<source>-<n>` with the next free number.

    Raises InputError where `out` holds anything already (a run is given up only with `overwrite`, and then
    only a run's own files), and where the place cannot be written.
    """
    if out is None:
        check_outside(Path("runs"), source, "the folder runs/ would lie")
        return _next_free(Path("runs"), _plain_name(source))
    folder = Path(out)
    check_outside(folder, source, "it would lie")
    try:
        if folder.is_symlink() and not folder.exists():
            raise InputError(f"{folder}: a link that leads nowhere; name another place with --out")
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder}: there is a file of that name; name another place with --out")
        made = tuple(place for place in (folder, *folder.parents) if not place.exists())
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from error
    except ValueError:
        raise InputError("--out: no folder can have a name with a zero byte in it") from None
    run = Run(folder, made).hold()
    try:
        there = _held_by(folder)
        if there and not _is_ours(folder):
            raise InputError(
                f"{folder}: the folder holds other files ({there[0]}); name an empty or new one with --out"
            )
        if there and not overwrite:
            raise InputError(
                f"{folder}: holds a run already; name another with --out, go on with it by "
                f"'striate resume {folder}', or give it up with --overwrite"
            )
        _prepare(run, there)
    except BaseException:
        run.let_go()
        raise
    return run


def _held_by(folder: Path) -> list[str]:
    """What lies there, but for what a kill left half written."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if not _is_unfinished(entry.name))
    except OSError as error:
        raise refused(folder, error) from error


def _is_unfinished(name: str) -> bool:
    ours = (*(f".{own.rpartition('/')[2]}." for own in OWN_FILES), ".epoch-")
    return name.endswith(UNFINISHED) and name.startswith(ours)


def _prepare(run: Run, there: Sequence[str]) -> None:
    """Make room for a new run, and see that it can be written; on failure all is as it was."""
    try:
        _check_writable(run.folder)
        run.sweep()
        if there:
            _set_aside(run.folder)
    except InputError:
        run.give_up_if_empty()
        raise


def check_outside(folder: Path, source: str, what: str) -> None:
    """Refuse a place inside the folder `source`: nothing is ever written there. `what` is the sentence's middle.

    Raises InputError.
    """
    try:
        inside = os.path.isdir(source) and folder.resolve().is_relative_to(Path(source).resolve())  # noqa: PTH112
    except (OSError, ValueError, RuntimeError):
        return  # whatever is wrong with the names is said where they are used
    if inside:
        raise InputError(f"{folder}: {what} inside the source, which is never written to; name another with --out")


def is_run(folder: Path) -> bool:
    """Whether the folder holds a run, finished or not."""
    return _is_file(folder / RECIPE) or _is_file(folder / CONFIG)


def _is_ours(folder: Path) -> bool:
    """Whether what is there was written by `train`, so surely that its files may be given up."""
    if all(_is_file(folder / name) for name in BEGUN):
        return True
    if _is_file(folder / CONFIG):
        with contextlib.suppress(InputError):
            return _json(folder / CONFIG, LARGEST_CONFIG).get("library") == LIBRARY
    aside = folder / GIVEN_UP
    return aside.is_dir() and not aside.is_symlink() and _is_ours(aside)


def _next_free(parent: Path, name: str) -> Run:
    there = parent.exists()
    for number in itertools.count(1):
        folder = parent / f"{name}-{number}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            if parent.is_dir():
                continue
            raise InputError(f"{parent}: is a file, and runs are kept in a folder of that name; use --out") from None
        except OSError as error:
            raise refused(folder, error) from error
        return Run(folder, (folder,) if there else (folder, parent)).hold()
    raise AssertionError("counting does not end")


def _plain_name(source: str) -> str:
    last = re.split(r"[/\\]", source.rstrip("/\\"))[-1]
    return re.sub(r"[^\w.-]+", "-", last, flags=re.ASCII).strip("-.") or "pictures"


def _check_writable(folder: Path) -> None:
    probe = folder / f".striate-{os.getpid()}.part"
    try:
        try:
            probe.write_bytes(b"striate")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise refused(folder, error) from error


def _set_aside(folder: Path) -> None:
    """Move a run's own files, and nothing else, where they wait until the new run has begun to learn."""
    aside = folder / GIVEN_UP
    if aside.is_symlink():
        raise InputError(f"{aside}: is a link, which striate never makes there; remove it, or name another place")
    try:
        if aside.exists():  # an earlier --overwrite was killed: what it had begun is worth less than what it set aside
            for name in BEGUN:
                if (aside / name).exists():
                    (folder / name).unlink(missing_ok=True)
        _move_own(folder, aside)
    except OSError as error:
        raise refused(folder, error) from error


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
    if not _is_file(path):
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
    if not _is_file(folder / CONFIG):
        if is_run(folder):
            raise InputError(f"{folder}: the run has no model yet; go on with it by 'striate resume {folder}'")
        raise InputError(f"{folder}: not a run (it has no {CONFIG}); name a folder that striate train wrote")
    config = _json(folder / CONFIG, LARGEST_CONFIG)
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


def load_model(
    folder: str | Path, *, network: nn.Module | None = None, device: str = "auto", epoch: int | None = None
) -> Model:
    """The model of a run. `network` is the user's own module where the run was trained on one. `epoch`: with the
    weights that it had after this epoch, one of `kept_epochs`, in place of the best.

    Nothing in the folder is executed: settings are checked, and tensors are compared by name and shape with
    the network's own before any is read. Raises InputError.
    """
    from striate.machine.devices import pick_device
    from striate.models.input_spec import InputSpec
    from striate.models.model import Model
    from striate.tasks import task_from_json

    folder = Path(folder)
    config = read_config(folder)
    weights = folder / MODEL if epoch is None else _kept(folder, epoch)
    where = str(folder / CONFIG)
    try:
        task = task_from_json(config["task"])
        spec = InputSpec.from_json(config["input"])
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    ours = network is None
    if network is None:
        network = _build(config["network"], task.num_outputs, spec, where, weights)
    place = pick_device(device)
    _load_weights(network, weights)
    return Model(network.eval().to(place), spec, task, place, channels_last=ours)


def _kept(folder: Path, epoch: int) -> Path:
    """The weights after this epoch."""
    there = kept_epochs(folder)
    require(bool(there), f"{folder}: keeps no weights of epochs; train with --keep-epochs 1 to have them")
    shown = ", ".join(map(str, there[:12])) + ", ..." * (len(there) > 12)
    require(epoch in there, f"{folder}: keeps no weights of epoch {epoch}; it has those of {shown}")
    return folder / CHECKPOINTS / epoch_file(epoch)


def _build(described: Mapping[str, Any], num_outputs: int, spec: Any, where: str, weights: Path) -> nn.Module:
    """The network that a config names. Its shapes are compared with the file on a sketch, whose tensors have shapes
    and no memory, before one is made in earnest."""
    from striate.networks import build_network
    from striate.networks.sketch import sketching

    name = described["name"]
    if name == OWN_NETWORK:
        raise InputError(f"{where}: trained on a network of your own; load it with striate.load(run, network=module)")
    arguments = {
        "num_outputs": num_outputs,
        "channels": spec.channels,
        "size": (spec.height, spec.width),
        "arguments": described.get("arguments", {}),
        "seed": 0,
    }
    try:
        with sketching():
            sketch = build_network(name, **arguments).network
        _compare(sketch, _shapes(weights), weights)
        return build_network(name, **arguments).network
    except InputError as error:
        text = str(error)
        raise error if text.startswith(str(weights)) else InputError(f"{where}: {text}") from error


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    if not _is_file(path):
        raise InputError(f"{path}: the weights are missing")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: the weights cannot be read ({error})") from error


def _compare(network: nn.Module, shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    if own == dict(shapes):
        return
    differing = sorted(name for name in own.keys() | shapes.keys() if own.get(name) != shapes.get(name))
    first = differing[0]
    raise InputError(
        f"{path}: weights of another network: {len(differing)} tensors differ, the first is {first} "
        f"(network {_shape_words(own.get(first))}, file {_shape_words(shapes.get(first))})"
    )


def _shape_words(shape: tuple[int, ...] | None) -> str:
    return "has none" if shape is None else "x".join(map(str, shape)) or "a single number"


def _load_weights(network: nn.Module, path: Path) -> None:
    _compare(network, _shapes(path), path)
    tensors, own = _tensors(path), network.state_dict()
    for name, tensor in tensors.items():
        sound = tensor.is_floating_point() == own[name].is_floating_point() and not tensor.is_complex()
        require(sound, f"{path}: the weights in {name} are of another kind ({tensor.dtype})")
        require(bool(tensor.float().isfinite().all()), f"{path}: the weights in {name} hold what is no finite number")
    network.load_state_dict(tensors)


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: the weights cannot be read ({error})") from error


def _is_file(path: Path) -> bool:
    """Whether it is a regular file that can be asked for: False also for names that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for some of them


def _json(path: Path, largest: int) -> dict[str, Any]:
    try:
        if path.stat().st_size > largest:
            raise InputError(f"{path}: too large to be what striate writes there")
        values = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: not what striate writes there")
    return values
