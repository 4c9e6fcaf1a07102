"""The whole state of a training in one safetensors file: a kill at any moment leaves a readable one.

Tensors are named `network/...`, `average/...`, `optimizer/<weight>/<what>`; counters, history and what an
optimizer keeps beside tensors are JSON in the file's own metadata. Written under another name, flushed, renamed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from striate.errors import InputError
from striate.machine.files import write_atomically
from striate.models.run_files import LAST, PREVIOUS
from striate.training.fused import Optimizer
from striate.training.history import Row
from striate.words import in_short

SCHEMA = 1


@dataclass
class Progress:
    """Where a training is: plain values, all that is not a tensor. Changed by the loop alone."""

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    seconds: float = 0.0
    best_epoch: int = -1
    best_value: float = float("nan")
    epochs_without_better: int = 0
    rate_share: float = 1.0  # what validation has left of the learning rate (schedule plateau)
    waited: int = 0  # validations without a better one since the rate was divided last
    averaged: int = 0  # epochs whose weights are in the mean of epochs
    loss_sum: float = 0.0
    loss_count: int = 0
    plans: list[list[float]] = field(default_factory=list)  # [first step, progress there, steps in all]
    history: list[Row] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)  # rows of streamed pictures that could not be read, and why
    scaler: dict[str, float] = field(default_factory=dict)  # of the loss, in float16


def latest(folder: Path) -> Path | None:
    """The newest checkpoint in `folder`, None where there is none.

    That is the last, or the previous one where a kill came just before the new one got its name.
    """
    return next((folder / name for name in (LAST, PREVIOUS) if (folder / name).is_file()), None)


def gathered(
    network: nn.Module, average: nn.Module | None, optimizer: Optimizer
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors of a training by their names in the file, and what the optimizer keeps beside tensors."""
    tensors: dict[str, torch.Tensor] = {f"network/{name}": value for name, value in network.state_dict().items()}
    if average is not None:
        tensors.update({f"average/{name}": value for name, value in average.state_dict().items()})
    kept = {
        str(index): {key: _pack(value, f"optimizer/{index}/{key}", tensors) for key, value in state.items()}
        for index, state in optimizer.state_dict()["state"].items()
    }
    return tensors, kept


def save_checkpoint(
    path: Path,
    progress: Progress,
    network: nn.Module,
    average: nn.Module | None,
    optimizer: Optimizer,
    *,
    keep: Path | None = None,
) -> None:
    """Write everything that resuming needs; what was at `path` goes to `keep`.

    Raises InputError where the disk refuses; what was there stays.
    """
    tensors, kept = gathered(network, average, optimizer)
    write_tensors(path, tensors, {"schema": SCHEMA, "progress": asdict(progress), "optimizer": kept}, keep=keep)


def load_checkpoint(path: Path, network: nn.Module, average: nn.Module | None, optimizer: Optimizer) -> Progress:
    """Put a saved state back, in place. Raises InputError where the file is none of this network's."""
    tensors, described = read_tensors(path)
    try:
        if described["schema"] > SCHEMA:
            raise InputError(f"{path}: written by a later version of striate; update it")
        network.load_state_dict(_part(tensors, "network/"))
        if average is not None:
            average.load_state_dict(_part(tensors, "average/"))
        state = {
            int(index): {key: _unpack(value, tensors) for key, value in values.items()}
            for index, values in described["optimizer"].items()
        }
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for index, values in state.items():
            state[index] = {key: _laid_out_as(weights[index], value) for key, value in values.items()}
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        return Progress(**described["progress"])
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise InputError(f"{path}: not a checkpoint of this training ({in_short(error)})") from error


def read_progress(path: Path) -> Progress:
    """Where the training of a checkpoint stands, without its tensors. Raises InputError where it cannot be told."""
    try:
        return Progress(**_described(path)["progress"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a checkpoint of a training ({in_short(error)})") from error


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], described: Mapping[str, Any], *, keep: Path | None = None
) -> None:
    """A safetensors file with JSON in its metadata, written under another name, flushed and renamed; what was there
    goes to `keep`."""
    # Tensors that share memory are refused by the format: each gets its own.
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_atomically(path, save(plain, metadata={"striate": json.dumps(described)}), keep=keep)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `write_tensors` wrote. Raises InputError where the file is missing or broken."""
    described = _described(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, described  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: the checkpoint is broken ({error})") from error


def _described(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            described = json.loads((file.metadata() or {}).get("striate", "{}"))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: the checkpoint is broken ({error})") from error
    if not isinstance(described, dict):
        raise InputError(f"{path}: the checkpoint is broken (it does not say what it is)")
    return described


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _pack(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """What an optimizer keeps of a weight as JSON; tensors go into `tensors`, their names into the JSON."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, list | tuple):
        return [_pack(one, f"{name}/{index}", tensors) for index, one in enumerate(value)]
    return value


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, dict):
        # Memory of its own: where a sum begins in memory can change its last bit.
        return tensors[value["tensor"]].clone()
    return [_unpack(one, tensors) for one in value] if isinstance(value, list) else value


def _laid_out_as(weight: torch.Tensor, value: Any) -> Any:
    """A tensor of a weight's shape in that weight's memory layout, in which fused optimizers walk through both."""
    if isinstance(value, torch.Tensor) and value.shape == weight.shape:
        return torch.empty_like(weight, dtype=value.dtype).copy_(value)
    return value
