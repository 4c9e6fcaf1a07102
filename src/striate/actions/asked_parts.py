"""Parts that a recipe names and that do not fit what is there: refused before pictures are decoded."""

from __future__ import annotations

from striate.actions.job import Job
from striate.data.samples import Samples
from striate.errors import require
from striate.tasks.losses import CLASSES


def require_parts(job: Job, samples: Samples, *, stream: bool) -> None:
    """Raise InputError where balance, dropout or L-BFGS lack what they need; what the task says of the loss is asked of
    the task."""
    recipe, task = job.recipe, samples.task
    require(
        not recipe.balance or task == CLASSES,
        f"balance draws classes equally often, and this is {task}, which has none; leave it away",
    )
    require(
        not recipe.balance or not stream,
        "balance needs all pictures at hand, and these are streamed in the order of their files; take --class-weights "
        "balanced instead",
    )
    require(
        recipe.optimizer.name != "lbfgs" or not stream,
        "optimizer lbfgs takes all pictures in one batch, and these are streamed; take another one",
    )
    require(
        recipe.dropout is None or job.network is None,
        "dropout is put before the head of networks that are built here; put it into your own network yourself",
    )
