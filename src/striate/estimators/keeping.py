"""A fitted model as plain values and bytes, for pickles of an estimator: its weights as safetensors, the rest as JSON's
values. Loading it runs nothing but our own code on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from safetensors.torch import load, save

from striate.actions.building import as_asked
from striate.estimators.fitting import Fitted
from striate.machine.devices import pick_device
from striate.models.input_spec import InputSpec
from striate.models.mean_picture import MeanPicture, read_mean_picture
from striate.models.model import Model
from striate.networks import build_network
from striate.tasks import task_from_json
from striate.training.resolved import Resolved

WHERE = "a pickled estimator"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """`weights`: safetensors; `values`: network, arguments, input, task and plan as plain values; `mean`: the mean
    picture as safetensors, where there is one."""

    weights: bytes
    values: dict[str, Any]
    mean: bytes | None = None


def kept(fitted: Fitted) -> Kept:
    """What `restored` makes the same model of."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in fitted.model.network.state_dict().items()}
    mean = fitted.model.input_spec.mean_picture
    return Kept(
        weights=save(tensors),
        mean=None if mean is None else mean.to_bytes(),
        values={
            "network": fitted.network,
            "arguments": fitted.arguments,
            "input": fitted.model.input_spec.to_json(),
            "task": fitted.model.task.to_json(),
            "plan": fitted.plan.to_mapping(),
        },
    )


def restored(one: Kept, device: str) -> Fitted:
    """The model that `kept` was given, on `device`. Raises InputError where it is none."""
    import torch

    values, place = one.values, pick_device(device)
    spec, task = InputSpec.from_json(values["input"], partial(_mean, one)), task_from_json(values["task"])
    plan = Resolved.from_mapping(values["plan"], WHERE)
    network = build_network(
        values["network"],
        num_outputs=task.num_outputs,
        channels=spec.channels,
        size=(spec.height, spec.width),
        arguments=values["arguments"],
        seed=0,
    ).network
    as_asked(plan, network)  # for the passes that may follow
    network.load_state_dict(load(one.weights))
    network = network.to(place).to(memory_format=torch.channels_last).eval()
    return Fitted(
        model=Model(network, spec, task, place),
        network=values["network"],
        arguments=values["arguments"],
        plan=plan,
    )


def _mean(one: Kept, shape: tuple[int, int, int]) -> MeanPicture:
    """The mean picture of this shape (C, h, w)."""
    return read_mean_picture(lambda: one.mean or b"", WHERE, shape)
