"""Weights from a file that Striate did not write, into a network. Nothing in the file is run.

safetensors, or PyTorch's .pth/.pt read with `weights_only=True`.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from striate.errors import InputError, require

# Where training scripts put the state dict, and what wrappers put before its names.
INNER_KEYS = ("state_dict", "model", "model_state_dict", "net")
PREFIXES = ("module.", "_orig_mod.", "model.", "network.")
PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
# GoogLeNet's and Inception's outputs for training alone, which we leave out.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors format
SHOWN = 3
OPENINGS = (b"\x80", b"PK\3\4")  # of what torch writes: a pickle, or a zip with one in it

BITS = {"F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16}
BITS |= {"I16": 16, "U16": 16, "I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name. Raises InputError: missing, neither of the formats, damaged, or larger than the file."""
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; --weights takes a file")
    try:
        state = _read_pickle(path) if path.suffix.lower() in PICKLE_SUFFIXES else _read_safetensors(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not state:
        raise InputError(f"{path}: holds no weights")
    return _without_prefixes(state)


def load_into(
    network: nn.Module, state: Mapping[str, Tensor], head: str, origin: str, ignored: Iterable[str] = ()
) -> list[str]:
    """Put `state` into `network`, in place; sentences for the log.

    The layer called `head` stays as it is where the file's has another number of outputs or is missing. Names that
    begin with one of `ignored` may be there without a place for them. Counters that a file lacks
    (`num_batches_tracked`) stay. Raises InputError with the first differences where anything else differs.
    """
    own = network.state_dict()
    notes: list[str] = []
    fresh = {f"{head}.weight", f"{head}.bias"} & own.keys()
    fits = all(name in state and state[name].shape == own[name].shape for name in fresh)
    taken = {name: tensor for name, tensor in state.items() if not name.startswith(tuple(ignored))}
    if not fits:
        had = state[f"{head}.weight"].shape[0] if f"{head}.weight" in state and state[f"{head}.weight"].dim() else 0
        outputs = own[f"{head}.weight"].shape[0]
        notes.append(
            f"the head ({head}) starts fresh: {outputs} outputs, in {origin} "
            + (f"it has {had}" if had else "there is none")
        )
        taken = {name: tensor for name, tensor in taken.items() if name not in fresh}
    differences = []
    for name in (*own, *(name for name in taken if name not in own)):
        if not fits and name in fresh:
            continue
        if name not in own:
            differences.append(f"{name} is in the file only")
        elif name not in taken:
            if not name.endswith("num_batches_tracked"):
                differences.append(f"{name} is missing")
        elif taken[name].shape != own[name].shape:
            differences.append(f"{name} is {_shape(taken[name])} and should be {_shape(own[name])}")
    if differences:
        more = f", and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        raise InputError(
            f"{origin}: not the weights of this network: {'; '.join(differences[:SHOWN])}{more}; "
            "name the network that they belong to with --network"
        )
    for name, tensor in taken.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{origin}: {name} holds values that are not finite")
    network.load_state_dict(taken, strict=False)
    return notes


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "a single number"


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check_safetensors_header(path)
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from error


def _check_safetensors_header(path: Path) -> None:
    """Every tensor lies inside the file and has the size that its shape says, before anything is allocated."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        where = f"{path}: not a safetensors file (nor .pth or .pt)"
        require(size >= 8 and 2 <= length <= min(size - 8, LARGEST_HEADER), f"{where}: the header's length is wrong")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: the header cannot be read") from error
    require(isinstance(header, dict), f"{where}: the header is no table")
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            shape, (start, end), dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
            sound = all(type(number) is int and number >= 0 for number in (*shape, start, end))
            bits = BITS.get(dtype) if sound else None
            sound = sound and start <= end <= size - 8 - length
            sound = sound and (bits is None or math.prod(shape) * bits == 8 * (end - start))
        except (KeyError, TypeError, ValueError):
            sound = False
        require(sound, f"{path}: damaged: the header and the size of the file disagree about {name[:80]!r}")


def _read_pickle(path: Path) -> dict[str, Tensor]:
    _check_zip_sizes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats, which a user can do nothing about
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, LookupError) as error:
        raise InputError(f"{path}: {_why(path, error)}") from error
    except (struct.error, TypeError, AttributeError, AssertionError, MemoryError, ImportError, OverflowError) as error:
        raise InputError(f"{path}: damaged, or not a file of PyTorch weights") from error
    for key in INNER_KEYS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not isinstance(loaded, dict):
        raise InputError(f"{path}: holds a {type(loaded).__name__}, not a table of weights by name (a state dict)")
    state = {
        name: value.detach()
        for name, value in loaded.items()
        if isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
    }
    size = path.stat().st_size
    for name, value in state.items():
        # A stride of zero makes a tensor of any shape out of one number.
        require(value.numel() * value.element_size() <= size, f"{path}: damaged: {name[:80]!r} is larger than the file")
    return state


def _check_zip_sizes(path: Path) -> None:
    """PyTorch stores its zip members as they are; packed ones could unfold to any size."""
    try:
        # This raises, too: for what says that it goes on in another file.
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise InputError(f"{path}: damaged, or not a file of PyTorch weights") from error
    require(
        unpacked <= path.stat().st_size, f"{path}: unpacks to more than its own size; not a file of PyTorch weights"
    )


def _why(path: Path, error: Exception) -> str:
    """In a sentence. torch says of a picture, too, that its loading could run code: it takes any bytes for a pickle."""
    with path.open("rb") as file:
        written_by_torch = file.read(4).startswith(OPENINGS)
    if "GLOBAL" in str(error) or (written_by_torch and "weights_only" in str(error)):
        return "holds more than weights (Python code would run on load); save network.state_dict() and give that"
    return "damaged, or not a file of PyTorch weights"
