"""`striate describe`: a network in numbers, of a run or by its name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.samples import CLASSIFICATION
from striate.errors import require
from striate.models.hub import fetched
from striate.models.loading import load_model
from striate.models.run_files import is_run, read_config


@dataclass(frozen=True, kw_only=True)
class Described:
    """A network: its layers with weights (name, kind, shape), and what it counts to. noun: "picture", or "row" of
    `channels` numbers; task: as in `striate.tasks.TASKS`, whose classes, labels or numbers `classes` counts."""

    name: str
    channels: int
    size: tuple[int, int]
    classes: int
    weights: int
    multiply_adds: int
    layers: tuple[tuple[str, str, str, int], ...]  # name, kind, shape of its weights, number of them
    noun: str = "picture"
    task: str = CLASSIFICATION

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        layers = [dict(zip(("name", "kind", "shape", "weights"), layer, strict=True)) for layer in self.layers]
        return {**self.__dict__, "size": list(self.size), "layers": layers}


def describe(
    what: str | Path, *, channels: int | None = None, size: int | None = None, classes: int | None = None
) -> Described:
    """A run (a folder), or a network by its name for pictures (`channels`, `size`, `size`) and so many classes: 3, 224
    and 1000 where they are None. A run has its own.

    Raises InputError for an unknown name, for a folder that holds no run, and where a run is given any of them.
    """
    from striate.networks import build_network
    from striate.networks.describe import describe as count

    folder = Path(fetched(what))
    if is_run(folder) or os.path.isdir(folder):  # noqa: PTH112 - False for any name that cannot be one
        told = {"channels": channels, "size": size, "classes": classes}
        given = [name for name, value in told.items() if value is not None]
        require(not given, f"{folder}: a run has its own {' and '.join(given)}; leave --{' and --'.join(given)} away")
        config = read_config(folder)
        model = load_model(folder, device="cpu")
        name, network = config["network"]["name"], model.network
        channels, place = model.input_spec.channels, (model.input_spec.height, model.input_spec.width)
        classes, task = model.task.num_outputs, model.task.name
        noun = "picture" if model.input_spec.fields is None else "row"
    else:
        noun, task = "picture", CLASSIFICATION
        channels = 3 if channels is None else channels
        size = 224 if size is None else size
        classes = 1000 if classes is None else classes
        built = build_network(str(what), num_outputs=classes, channels=channels, size=(size, size), seed=0)
        name, network, place = str(what), built.network, built.size
    counted = count(network, channels, place)
    layers = []
    for layer_name, layer in network.named_modules():
        own = list(layer.parameters(recurse=False))
        if own:
            shape = "x".join(map(str, own[0].shape))
            layers.append((layer_name or name, type(layer).__name__, shape, sum(weight.numel() for weight in own)))
    return Described(
        name=name,
        channels=channels,
        size=place,
        classes=classes,
        weights=counted.weights,
        multiply_adds=counted.multiply_adds,
        layers=tuple(layers),
        noun=noun,
        task=task,
    )
