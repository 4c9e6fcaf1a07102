"""What a pass found, kept in the cache folder: so the second look at the same network and pictures is instant.

One file a layer, so that a look at other layers passes over the pictures for those alone. A file is found by content:
of the network (its weights, its parts and the code of their `forward`), of the pictures and their labels, and by the
settings. It is written under another name and renamed. What is in it is compared with its digest, and a file that is
half written, was changed or comes from another version is made anew, and said. Nothing in it is executed.

Legend: U units, T the strongest kept, K classes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.data.kept import cache_budget
from striate.errors import InputError
from striate.machine.files import write_atomically
from striate.machine.folders import cache_folder, cache_place
from striate.observer import SILENT, Observer
from striate.taps.outputs import bare_network
from striate.views.one_pass import Batch, one_pass
from striate.views.top_patches import COUNT, Strongest, Top
from striate.views.units import Counting, Units

SCHEMA = "striate look 1"
LOOKS, SUFFIX = "looks", ".look"
LARGEST = 1 << 30  # bytes of all files; those that were not used for longest make room
DIGEST_BYTES = 16
PLAIN = (int, float, complex, str, bytes, bool, type(None))


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What a pass found of a layer, and the pictures that could not be read: (row, reason)."""

    top: Top
    units: Units
    left_out: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Index:
    """Where a look at one network, one set of pictures and one set of settings is kept. `content`: see `content_of`."""

    content: str

    def place(self, layer: str) -> Path:
        """The file of a layer."""
        name = hashlib.blake2b(f"{SCHEMA}\n{self.content}\n{layer}".encode(), digest_size=DIGEST_BYTES).hexdigest()
        return cache_place(LOOKS, f"{name}{SUFFIX}")

    def find(self, layer: str, observer: Observer = SILENT) -> Found | None:
        """What is kept of a layer; None where nothing is, or nothing that can be used, which is then said."""
        arrays = read_arrays(self.place(layer), observer)
        if arrays is None:
            return None
        try:
            left_out = json.loads(arrays["left_out"].tobytes())
            top = Top(**{one.name: arrays[f"top.{one.name}"] for one in fields(Top)})
            told = {one.name: arrays[f"units.{one.name}"] for one in fields(Units) if one.name != "pictures"}
            units = Units(pictures=int(arrays["units.pictures"][0]), **told)
            return Found(top=top, units=units, left_out=tuple((int(row), str(why)) for row, why in left_out))
        except (KeyError, ValueError, TypeError, IndexError) as error:
            observer.say(f"what was kept of {layer} cannot be used ({error!r}); looking anew")
            return None

    def keep(self, layer: str, found: Found, observer: Observer = SILENT) -> None:
        """Keep it, if the disk allows; else say why not."""
        arrays = {f"top.{one.name}": getattr(found.top, one.name) for one in fields(Top)}
        arrays |= {f"units.{one.name}": getattr(found.units, one.name) for one in fields(Units)}
        arrays["units.pictures"] = np.array([found.units.pictures], dtype=np.int64)
        arrays["left_out"] = np.frombuffer(json.dumps(found.left_out).encode(), dtype=np.uint8)
        keep_arrays(self.place(layer), arrays, observer)


def look_through(
    network: nn.Module,
    pictures: Callable[[], Iterable[Batch]],
    layers: Sequence[str],
    *,
    classes: int = 0,
    count: int = COUNT,
    index: Index | None = None,
    left_out: Callable[[], Sequence[tuple[int, str]]] = tuple,
    output: str | int | None = None,
    observer: Observer = SILENT,
) -> dict[str, Found]:
    """The strongest pictures of every unit of `layers` and what the units respond to, by layer: kept, or in one pass.

    pictures(): the batches from the beginning, asked for only where a layer is not kept in `index` (None: nothing is
    looked for or kept). left_out(): after the pass, the pictures that could not be read. Raises InputError.
    """
    found: dict[str, Found] = {}
    if index is not None:
        found = {name: kept for name in layers if (kept := index.find(name, observer)) is not None}
    missing = [name for name in dict.fromkeys(layers) if name not in found]
    if missing:
        seen = one_pass(
            network,
            pictures(),
            missing,
            lambda place: (Strongest(place.channels, count), Counting(place.channels, classes)),
            output=output,
        )
        for name, watched in seen.items():
            strongest, counting = watched.watchers
            assert isinstance(strongest, Strongest)
            assert isinstance(counting, Counting)
            found[name] = Found(top=strongest.result(), units=counting.result(), left_out=tuple(left_out()))
            if index is not None:
                index.keep(name, found[name], observer)
    return {name: found[name] for name in dict.fromkeys(layers)}


def content_of(network: nn.Module, pictures: str, settings: Mapping[str, Any]) -> str:
    """What a look depends on, as a digest. `pictures`: a digest of theirs and of their labels; `settings`: plain."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    bare = bare_network(network)
    digest.update(repr(bare).encode())
    for kind in sorted({type(module) for module in bare.modules()}, key=lambda one: (one.__module__, one.__qualname__)):
        digest.update(f"{kind.__module__}.{kind.__qualname__}".encode())
        forward = getattr(kind.forward, "__code__", None)
        if isinstance(forward, CodeType):
            _add_code(digest, forward)
    for name, tensor in bare.state_dict().items():
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    digest.update(f"{pictures} {json.dumps(settings, sort_keys=True)} {torch.__version__}".encode())
    return digest.hexdigest()


def _add_code(digest: hashlib.blake2b, code: CodeType) -> None:
    """What a function does, and not where it lies."""
    digest.update(code.co_code)
    digest.update(repr((code.co_names, code.co_varnames)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add_code(digest, constant)
        elif isinstance(constant, PLAIN):
            digest.update(repr(constant).encode())


# -- files of arrays ----------------------------------------------------------------------------


def read_arrays(path: Path, observer: Observer = SILENT) -> dict[str, np.ndarray] | None:
    """The arrays of a file of ours; None where there is none, or it cannot be used: that is said, and it is removed."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        observer.say(f"{path}: what was kept cannot be read ({error.strerror}); looking anew")
        return None
    digest, body = content[: 2 * DIGEST_BYTES], content[2 * DIGEST_BYTES :]
    if digest == _digest(body):
        try:
            arrays: dict[str, np.ndarray] = load(body)
        except (SafetensorError, ValueError, KeyError) as error:
            observer.say(f"{path}: what was kept cannot be read ({error}); looking anew")
            return None
        with contextlib.suppress(OSError):  # a folder that others share may be read-only: then nobody counts its uses
            path.touch()
        return arrays
    observer.say(f"{path}: what was kept has changed; looking anew")
    with contextlib.suppress(OSError):
        path.unlink()
    return None


def keep_arrays(path: Path, arrays: Mapping[str, np.ndarray], observer: Observer = SILENT) -> None:
    """Write a file of ours, if the budget of the cache and the disk allow; else say why not."""
    from safetensors.numpy import save

    if cache_budget() == 0:
        return
    body = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    try:
        cache_folder(LOOKS)
        write_atomically(path, _digest(body) + body)
        _make_room(path.parent)
    except InputError as error:
        observer.say(f"the look is not kept for the next time: {error}")


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).hexdigest().encode()


def _make_room(folder: Path) -> None:
    """Remove the files that were not used for longest until the others take at most LARGEST bytes."""
    files = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # another process has just made room
            told = path.stat()
            files.append((told.st_mtime, told.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= LARGEST:
            return
        path.unlink(missing_ok=True)
        total -= size
