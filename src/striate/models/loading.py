"""The model of a run folder, out of files that may be broken or hostile: nothing in them is executed.

Settings are checked, and tensors compared by name and shape with the network's own before any of them is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.errors import InputError, require
from striate.models.run_files import (
    CHECKPOINTS,
    CONFIG,
    MEAN,
    MODEL,
    OWN_NETWORK,
    epoch_file,
    is_file,
    kept_epochs,
    read_config,
)
from striate.words import counted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from striate.models.mean_picture import MeanPicture
    from striate.models.model import Model


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
        spec = InputSpec.from_json(config["input"], partial(_mean_picture, folder / MEAN))
    except InputError as error:
        text = str(error)
        raise error if text.startswith(str(folder / MEAN)) else InputError(f"{where}: {text}") from error
    ours = network is None
    if network is None:
        network = _build(config["network"], task.num_outputs, spec, where, weights)
    place = pick_device(device)
    _load_weights(network, weights)
    return Model(network.eval().to(place), spec, task, place, channels_last=ours)


def _mean_picture(path: Path, shape: tuple[int, int, int]) -> MeanPicture:
    """The mean picture beside the weights, for inputs of this shape."""
    from striate.models.mean_picture import LARGEST, read_mean_picture

    require(is_file(path), f"{path}: the mean picture is missing")
    require(path.stat().st_size <= LARGEST, f"{path}: too large to be what striate writes there")
    return read_mean_picture(path.read_bytes, str(path), shape)


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

    if not is_file(path):
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
        f"{path}: weights of another network: {counted(len(differing), 'tensor differs', 'tensors differ')}, "
        f"the first is {first} "
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
        require(_is_finite(tensor), f"{path}: the weights in {name} hold what is no finite number")
    network.load_state_dict(tensors)


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether all of its numbers are; the smallest and the largest of them tell, in one pass."""
    import torch

    return tensor.numel() == 0 or bool(torch.stack(torch.aminmax(tensor.float())).isfinite().all())


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: the weights cannot be read ({error})") from error
