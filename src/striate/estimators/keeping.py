"""A fitted model as plain values and bytes, for pickles of an estimator: its weights as safetensors, the rest as JSON's
values. Loading it runs nothing but our own code on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from safetensors.torch import load, save

from striate.estimators.fitting import Fitted
from striate.machine.devices import pick_device
from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.networks import build_network
from striate.tasks import task_from_json
from striate.training.resolved import Resolved


@dataclass(frozen=True, kw_only=True)
class Kept:
    """`weights`: safetensors; `values`: network, arguments, input, task and plan as plain values."""

    weights: bytes
    values: dict[str, Any]


def kept(fitted: Fitted) -> Kept:
    """What `restored` makes the same model of."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in fitted.model.network.state_dict().items()}
    return Kept(
        weights=save(tensors),
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
    spec, task = InputSpec.from_json(values["input"]), task_from_json(values["task"])
    network = build_network(
        values["network"],
        num_outputs=task.num_outputs,
        channels=spec.channels,
        size=(spec.height, spec.width),
        arguments=values["arguments"],
        seed=0,
    ).network
    network.load_state_dict(load(one.weights))
    network = network.to(place).to(memory_format=torch.channels_last).eval()
    return Fitted(
        model=Model(network, spec, task, place),
        network=values["network"],
        arguments=values["arguments"],
        plan=Resolved.from_mapping(values["plan"], "a pickled estimator"),
    )
