"""Whose answers are asked for or looked into: a run's, those of a network that Striate did not train, or of a module.

K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import InputError, require, unknown
from striate.machine.allocator import keep_memory_for_answers
from striate.models.hub import fetched
from striate.models.loading import load_model
from striate.models.run import Run
from striate.words import counted

if TYPE_CHECKING:
    from torch import nn

    from striate.models.input_spec import InputSpec
    from striate.models.model import Model
    from striate.networks.trained import TrainedNetwork
    from striate.tasks.classification import Classification

IMAGENET = "imagenet"  # in place of a file of class names


def open_subject(
    run: Run | Model | nn.Module | str | Path | None = None,
    *,
    network: str | nn.Module | None = None,
    weights: str | Path | None = None,
    class_names: str | Path | Sequence[str] | None = None,
    input_spec: InputSpec | None = None,
    output: str | int | None = None,
    device: str = "auto",
) -> Model:
    """The model that is meant; nothing that is read is executed.

    run: a run folder, or hf://owner/name[@revision] on the Hugging Face Hub (with `network`, your own module, where it
    was trained on one), or a `Model`, which is given back as it is. Or, in its place, `network`: the name of a network
    (see `build_network`) that Striate did not train, with `weights`, a file of its state dict (safetensors; .pth and
    .pt are read as tensors alone), or None for what its makers publish; or a `torch.nn.Module` that takes (B, C, H, W)
    and gives (B, K) scores, with its weights in it. That module is not changed: it stays in its mode and on its device,
    and a copy goes where `device` names another.

    class_names: K names, a text file with one a line, or "imagenet" for ImageNet's 1,000; None: those of published
    weights, else "class 0", "class 1", ... input_spec: what the network takes; None: what its makers say. A module has
    to be told. output: which of its outputs holds the scores, where a module gives a dictionary or a tuple; the model
    can then be looked into, with the same `output`, but has no answers of its own.

    Raises InputError: a run and a network, or neither; an unknown name; weights of another network; names that are
    more or fewer than the classes; a module without `input_spec`, or one that does not give (B, K) scores.
    """
    from torch import nn

    if isinstance(run, nn.Module):
        require(network is None, "one network was given as two: leave network away")
        run, network = None, run
    if run is not None:
        return _of_run(fetched(run), network, weights, class_names, input_spec, device)
    if network is None:
        require(
            weights is None, f"{weights}: weights alone are no network; name the one that they belong to by --network"
        )
        raise InputError("neither a run nor a network is named; name the folder of a run, or a network by --network")
    if isinstance(network, nn.Module):
        require(weights is None, f"{weights}: a module has its weights already; load them into it yourself")
        require(
            input_spec is not None,
            "what a network of your own takes is not known; give it as input_spec=striate.InputSpec(...)",
        )
        assert input_spec is not None
        return _of_module(network, class_names, input_spec, output, device)
    return _by_name(network, None if weights is None else Path(weights), class_names, input_spec, device)


def _of_run(
    run: Run | Model | str | Path,
    network: str | nn.Module | None,
    weights: str | Path | None,
    class_names: str | Path | Sequence[str] | None,
    input_spec: InputSpec | None,
    device: str,
) -> Model:
    from striate.models.model import Model

    name = "a model" if isinstance(run, Model) else str(run)
    require(
        not isinstance(network, str), f"{name} and --network {network}: give the run or the network, not both of them"
    )
    for given, what in ((weights, "weights"), (class_names, "class-names"), (input_spec, "input-spec")):
        require(given is None, f"{name}: a run has its own {what.replace('-', ' ')}; leave --{what} away")
    if isinstance(run, Model):
        require(network is None, "a model has its network already; leave network away")
        return run
    assert not isinstance(network, str)
    keep_memory_for_answers()
    return load_model(run.folder if isinstance(run, Run) else run, network=network, device=device)


def _by_name(
    name: str,
    weights: Path | None,
    class_names: str | Path | Sequence[str] | None,
    input_spec: InputSpec | None,
    device: str,
) -> Model:
    from striate.machine.devices import pick_device
    from striate.models.model import Model
    from striate.networks.trained import trained_network

    place = pick_device(device)  # what cannot be is said before anything is read or fetched
    keep_memory_for_answers()
    spec = input_spec
    size, channels = (None, None) if spec is None else ((spec.height, spec.width), spec.channels)
    trained = trained_network(name, weights=weights, size=size, channels=channels)
    if spec is None:
        spec = _spec_of(trained, name)
    task = _task(class_names, trained.num_outputs, trained.class_names, str(weights or name))
    return Model(trained.network.to(place), spec, task, place)


def _of_module(
    network: nn.Module,
    class_names: str | Path | Sequence[str] | None,
    spec: InputSpec,
    output: str | int | None,
    device: str,
) -> Model:
    import torch

    from striate.machine.devices import pick_device
    from striate.models.model import Model

    first = next(network.parameters(), None)
    there = "cpu" if first is None else str(first.device)
    place = there if device == "auto" else pick_device(device)
    for weight in network.parameters():
        require(
            not weight.is_floating_point() or weight.dtype == torch.float32,
            f"the network has weights of {str(weight.dtype).removeprefix('torch.')}, and pictures are given to it as "
            "float32; give network.float()",
        )
    if place != there:
        network = copy.deepcopy(network).to(place)
    count = _outputs_of(network, spec, output, place)
    return Model(network, spec, _task(class_names, count, None, "the network"), place, channels_last=False)


def _outputs_of(network: nn.Module, spec: InputSpec, output: str | int | None, place: str) -> int:
    """K, told by one black picture."""
    import torch

    from striate.taps.outputs import scores
    from striate.taps.unchanged import unchanged

    picture = spec.normalize(torch.zeros(1, spec.channels, spec.height, spec.width, device=place))
    with unchanged(network) as bare, torch.no_grad():
        return int(scores(bare, picture, output).shape[1])


def _spec_of(trained: TrainedNetwork, name: str) -> InputSpec:
    from striate.models.input_spec import InputSpec

    own = trained.own_input
    if own is None or own.mean is None or own.deviation is None:
        raise InputError(f"{name}: how its pictures were normalised is not known; say it in Python with input_spec")
    return InputSpec(
        channels=trained.channels,
        height=trained.size[0],
        width=trained.size[1],
        fit="crop",
        crop_share=own.crop_share,
        interpolation=own.interpolation,
        mean=own.mean,
        deviation=own.deviation,
    )


def _task(
    class_names: str | Path | Sequence[str] | None, count: int, published: tuple[str, ...] | None, whose: str
) -> Classification:
    """The classes by their names. Raises InputError where they are not `count`."""
    from striate.tasks.classification import Classification

    if class_names is None:
        names = published or tuple(f"class {number}" for number in range(count))
        told = whose
    elif isinstance(class_names, str | Path):
        told = str(class_names)
        if told == IMAGENET:
            from striate.networks.imagenet_names import imagenet_names

            names = imagenet_names()
        else:
            from striate.data.sources.classes import read_names

            names = read_names(Path(class_names))
    else:
        names, told = tuple(class_names), "class_names"
    require(
        len(names) == count,
        f"{told}: {counted(len(names), 'class name')}, but {whose} has {counted(count, 'output')}, one a class",
    )
    try:
        return Classification(names)
    except InputError as error:
        raise InputError(f"{told}: {error}") from error


def class_number(wanted: str | int, names: Sequence[str]) -> int:
    """The class that is meant by its name, or else by its number. Raises InputError where there is none."""
    if wanted in names:
        return names.index(str(wanted))
    number = int(wanted) if isinstance(wanted, int) or (wanted.isascii() and wanted.isdecimal()) else None
    if number is None:
        raise unknown("class", str(wanted), names)
    require(0 <= number < len(names), f"no class {number}; there are {len(names):,}, counted from 0")
    return number
