"""The networks of a run after the epochs that it has kept, one at a time, for films."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import InputError, require
from striate.models.run import Run
from striate.models.run_files import kept_epochs

if TYPE_CHECKING:
    from torch import nn

    from striate.models.model import Model


def epochs_of(run: object) -> tuple[int, ...]:
    """The epochs whose weights a run has kept. Raises InputError where there are none, and for what is no run."""
    if not isinstance(run, Run | str | Path):
        raise InputError("a film is of the epochs that a run has kept; name the folder of a run")
    epochs = kept_epochs(str(run))
    require(bool(epochs), f"{run}: keeps no weights of epochs; train with --keep-epochs 1 to have a film")
    return epochs


def models_of(
    run: object, epochs: Sequence[int], network: str | nn.Module | None, device: str
) -> Iterator[tuple[int, Model]]:
    """(epoch, the model after it), in order; a module of the user's own stays as it is."""
    from striate.models.loading import load_model

    own = None if isinstance(network, str) else network
    for epoch in epochs:
        yield epoch, load_model(str(run), network=copy.deepcopy(own), device=device, epoch=epoch)
