"""Where a training starts that goes on from an earlier run: its network, its weights, the input that it was made for.

The outputs are matched by the names of the classes (labels, numbers), never by position: those of names that both have
are kept, where both are of one task; numbers are brought to the mean and deviation of the new ones.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.errors import InputError, require
from striate.models.hub import fetched
from striate.models.loading import load_model
from striate.models.run_files import OWN_NETWORK, read_config
from striate.tasks import TASKS
from striate.tasks.regression import Regression
from striate.words import counted

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.models.input_spec import InputSpec
    from striate.models.model import Model
    from striate.tasks.task import TableTask

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

    def put_into(self, network: nn.Module, task: TableTask) -> str:
        """Give `network` the run's weights, in place; the sentence for the log.

        The head's outputs for names that the run does not know stay as they are, all of them where it was made for
        another task. Raises InputError where the weights do not fit, and where the outputs differ and no head can be
        found.
        """
        own, taken = network.state_dict(), dict(self.model.network.state_dict())
        before = self.model.task
        same_task = before.name == task.name
        known = {name: number for number, name in enumerate(self.model.class_names)} if same_task else {}
        if isinstance(before, Regression) and isinstance(task, Regression):
            # What is learned as it is, and what by its arcsine, are different things.
            known = {name: one for name, one in known.items() if (name in before.shares) == (name in task.shares)}
        new = [name for name in task.names if name not in known]
        if tuple(task.names) != self.model.class_names or not same_task or isinstance(task, Regression):
            from striate.networks.heads import find_head

            head = find_head(network).name
            kept = [(position, known[name]) for position, name in enumerate(task.names) if name in known]
            for name in (f"{head}.weight", f"{head}.bias"):
                if name in own and name in taken and own[name].shape[1:] == taken[name].shape[1:]:
                    taken[name] = _rows(own[name], taken[name], kept)
                    if isinstance(before, Regression) and isinstance(task, Regression):
                        _in_other_units(taken[name], kept, before, task)
        self._require_fitting(own, taken)
        network.load_state_dict(taken)
        kinds = TASKS[before.name].kinds if before.name in TASKS else "outputs"
        if not same_task:
            return f"it starts from the weights of {self.run}, which answers with {kinds}: the outputs are new"
        if not new and len(task.names) == len(known):
            return f"it starts from the weights of {self.run}, whose {kinds} are the same"
        listed = ", ".join(new[:NAMED]) + ", ..." * (len(new) > NAMED)
        return f"it starts from the weights of {self.run}, which knows {len(known)} {kinds}; " + (
            f"new are {listed}" if new else f"{len(task.names)} of them are kept"
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


def _in_other_units(rows: Tensor, kept: Sequence[tuple[int, int]], before: Regression, now: Regression) -> None:
    """Rows of a weight (K, ...) or a bias (K,), in place: what was standardised as `before` says, as `now` says."""
    for position, number in kept:
        deviation = now.deviations[position]
        rows[position] *= before.deviations[number] / deviation
        if rows.dim() == 1:
            rows[position] += (before.means[number] - now.means[position]) / deviation


def read_start(run: str | Path, *, network: str | nn.Module | None = None) -> Start:
    """The run to start from. `network`: the name that was asked for, or a module of the user's own.

    Raises InputError where `run` is no run, a broken or an unfinished one, or one of another network.
    """
    named, run = run, fetched(run)
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
    return Start(run=str(named), network=name, arguments=dict(described.get("arguments", {})), model=model)
