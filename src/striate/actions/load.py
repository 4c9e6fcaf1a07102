"""`striate.load`: the model of a run, or of a network that Striate did not train, ready to answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from striate.actions.subject import open_subject
from striate.errors import require
from striate.models.hub import fetched
from striate.models.loading import load_model
from striate.models.run import Run

if TYPE_CHECKING:
    from torch import nn

    from striate.models.input_spec import InputSpec
    from striate.models.model import Model


def load(
    run: Run | str | Path | None = None,
    *,
    network: str | nn.Module | None = None,
    weights: str | Path | None = None,
    class_names: str | Path | Sequence[str] | None = None,
    input_spec: InputSpec | None = None,
    device: str = "auto",
    epoch: int | None = None,
) -> Model:
    """The model of a run folder, or of a run on the Hugging Face Hub, "hf://owner/name" or "hf://owner/name@revision".
    `network`: your own module, where the run was trained on one. `epoch`: with the
    weights that it had after this epoch, where the run was trained with `keep_epochs`; None: those that answer best.

    Or, without a run, that of a network which Striate did not train: its name and `weights`, a file (None: what its
    makers publish), or a module of yours and its `input_spec`; see `actions.subject.open_subject`.

    Nothing in the folder or the file is executed. Raises InputError where it holds no run, a broken or a hostile one,
    and where the weights are not those of the network.
    """
    if epoch is not None:
        of_run = run is not None and not isinstance(network, str)
        plain = weights is None and class_names is None and input_spec is None
        require(of_run and plain, "epoch is one that a run has kept; name the run, and no other weights")
        assert run is not None
        assert not isinstance(network, str)
        run = fetched(run)
        return load_model(run.folder if isinstance(run, Run) else run, network=network, device=device, epoch=epoch)
    return open_subject(
        run, network=network, weights=weights, class_names=class_names, input_spec=input_spec, device=device
    )
