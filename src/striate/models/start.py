"""Where a training starts that goes on from an earlier run: its network, its weights, the input that it was made for.

The outputs are matched by the names of the classes, never by position: those of classes that both have are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.errors import InputError, require
from striate.models.loading import load_model
from striate.models.run_files import OWN_NETWORK, read_config
from striate.words import counted

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.models.input_spec import InputSpec
    from striate.models.model import Model

NAMED = 5  # classes that a sentence names


@dataclass(frozen=True, kw_only=True)
class Start:
    """The run called `run`: the name and arguments of its network, and its model."""

    run: str
    network: str
    arguments: Mapping[str, Any]
    model: Model

    @property
    def input_spec(self) -> InputSpec:
        """Size, channels, fit, mean and deviation that its weights know."""
        return self.model.input_spec

    def put_into(self, network: nn.Module, class_names: Sequence[str]) -> str:
        """Give `network` the run's weights, in place; the sentence for the log.

        The head's outputs for classes that the run does not know stay as they are. Raises InputError where the
        weights do not fit, and where the classes differ and no head can be found.
        """
        own, taken = network.state_dict(), dict(self.model.network.state_dict())
        known = {name: number for number, name in enumerate(self.model.class_names)}
        new = [name for name in class_names if name not in known]
        if tuple(class_names) != self.model.class_names:
            from striate.networks.heads import find_head

            head = find_head(network).name
            kept = [(position, known[name]) for position, name in enumerate(class_names) if name in known]
            for name in (f"{head}.weight", f"{head}.bias"):
                if name in own and name in taken and own[name].shape[1:] == taken[name].shape[1:]:
                    taken[name] = _rows(own[name], taken[name], kept)
        self._require_fitting(own, taken)
        network.load_state_dict(taken)
        if not new and len(class_names) == len(known):
            return f"it starts from the weights of {self.run}, whose classes are the same"
        listed = ", ".join(new[:NAMED]) + ", ..." * (len(new) > NAMED)
        return f"it starts from the weights of {self.run}, which knows {len(known)} classes; " + (
            f"new are {listed}" if new else f"{len(class_names)} of them are kept"
        )

    def _require_fitting(self, own: Mapping[str, Tensor], taken: Mapping[str, Tensor]) -> None:
        names = dict.fromkeys([*own, *taken])
        differing = [
            name for name in names if name not in own or name not in taken or own[name].shape != taken[name].shape
        ]
        spec = self.input_spec
        require(
            not differing,
            f"{self.run}: its weights, made for pictures of {spec.width}x{spec.height}, do not fit this network "
            f"({counted(len(differing), 'tensor differs', 'tensors differ')}, the first is "
            f"{differing[0] if differing else ''}); leave away what changes it, such as --size",
        )


def _rows(own: Tensor, taken: Tensor, kept: Sequence[tuple[int, int]]) -> Tensor:
    """`own` (K, ...) with some of its rows out of `taken`: (position in own, position in taken) each."""
    rows = own.detach().clone()
    for position, before in kept:
        rows[position] = taken[before]
    return rows


def read_start(run: str | Path, *, network: str | nn.Module | None = None) -> Start:
    """The run to start from. `network`: the name that was asked for, or a module of the user's own.

    Raises InputError where `run` is no run, a broken or an unfinished one, or one of another network.
    """
    described = read_config(run)["network"]
    name = str(described["name"])
    own = None if network is None or isinstance(network, str) else copy.deepcopy(network)
    if name == OWN_NETWORK and own is None:
        raise InputError(
            f"{run}: was trained on a network of your own; give it in Python: "
            "striate.train(source, network=module, from_run=...)"
        )
    if name != OWN_NETWORK and own is not None:
        raise InputError(f"{run}: is a run of {name}, whose weights a network of your own cannot take")
    if isinstance(network, str) and network != name:
        raise InputError(f"{run}: is a run of {name}, not of {network}; leave --network away, or name another run")
    model = load_model(run, network=own, device="cpu")
    return Start(run=str(run), network=name, arguments=dict(described.get("arguments", {})), model=model)
