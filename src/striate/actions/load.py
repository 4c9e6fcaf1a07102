"""`striate.load`: the model of a run, ready to answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from striate.models.run import Run, load_model

if TYPE_CHECKING:
    from torch import nn

    from striate.models.model import Model


def load(run: Run | str | Path, *, network: nn.Module | None = None, device: str = "auto") -> Model:
    """The model of a run folder. `network`: your own module, where the run was trained on one.

    Nothing in the folder is executed. Raises InputError where it holds no run, a broken or a hostile one.
    """
    return load_model(run.folder if isinstance(run, Run) else run, network=network, device=device)
