"""One label of a run of labels as a question of two answers, "no car" and "car", which every view can be asked.

With scores s_k of the labels, the pair (-s_k / 2, s_k / 2) has the softmax (1 - p, p) of p = sigmoid(s_k): the
probability of the label is that of the run. Legend: B pictures, K labels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from striate.errors import InputError, require
from striate.tasks.classification import Classification
from striate.tasks.multilabel import MultiLabel

if TYPE_CHECKING:
    from striate.actions.mistake import RunPictures
    from striate.models.model import Model

INSIDE = "network."  # how the names of the network's own layers begin


class OneLabel(nn.Module):
    """A network (B, K) whose answer for one label is (B, 2): against it and for it."""

    def __init__(self, network: nn.Module, number: int) -> None:
        super().__init__()
        self.network = network
        self.number = number

    def forward(self, pictures: Tensor) -> Tensor:
        score = self.network(pictures)[:, self.number] / 2
        return torch.stack([-score, score], dim=1)


def answers_of(name: str) -> tuple[str, str]:
    """("no car", "car")."""
    return f"no {name}", name


def one_label(model: Model, number: int) -> Model:
    """The model of a task of labels, asked for one of them alone. Raises InputError for another task."""
    task = model.task
    if not isinstance(task, MultiLabel):
        raise InputError(f"a model of {task.name} has no labels")
    names = answers_of(task.class_names[number])
    return replace(
        model,
        network=OneLabel(model.network, number).train(model.network.training),
        task=Classification(names, sharpness=task.sharpness),
        channels_last=False,
    )


def inner(layer: str | None) -> str | None:
    """The name of a layer of the run's network, as the network of one label has it."""
    return layer if layer is None or layer.startswith(INSIDE) else INSIDE + layer


def said_of(source: RunPictures, path: Path, name: str) -> str | None:
    """Whether the source says that the picture at `path` has a label, as an answer; None where it says nothing."""
    row = source.row_of(path)
    if row is None or source.samples is None or name not in source.samples.class_names:
        return None
    require(source.samples.task == "multilabel", f"{source.samples.source}: holds no labels any more")
    has = source.samples.targets[row, source.samples.class_names.index(name)]
    return None if not source.samples.labelled[row] else answers_of(name)[int(has > 0.5)]
