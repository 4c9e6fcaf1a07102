"""`striate.verify`, `striate resume RUN --verify`: are the last steps repeated bit for bit?

The state of the previous checkpoint (or the beginning, where there is one checkpoint only) is trained on to the step
of the last one, in memory, and compared with it: weights, averages, what the optimizer keeps, losses. Nothing in the
run folder changes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from striate.actions.resume import require_run, taken_up
from striate.errors import InputError, require
from striate.machine.precision import reference_computing
from striate.machine.threads import with_threads
from striate.models.run import Run
from striate.models.run_files import CHECKPOINTS, LAST, OWN_NETWORK, PREVIOUS, RECIPE
from striate.observer import SILENT, Observer, duration
from striate.training.checkpoint import Progress, gathered, load_checkpoint, read_progress, read_tensors
from striate.training.own_parts import Loss, OwnParts
from striate.training.recipe_file import read_recipe
from striate.words import counted

if TYPE_CHECKING:
    from torch import nn

    from striate.actions.run_source import Source
    from striate.training.loop import Loop

# Of a checkpoint's counters those that a repetition must give again; the others are times and plans.
COUNTED = (
    "step",
    "epoch",
    "step_in_epoch",
    "best_epoch",
    "best_value",
    "epochs_without_better",
    "rate_share",
    "waited",
    "averaged",
    "loss_sum",
)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What came of repeating the steps after `first` up to `last`.

    `differs` names the first tensor or figure that is not equal bit for bit, "" where all are; `largest` is the
    largest difference in it.
    """

    run: str
    first: int
    last: int
    differs: str = ""
    largest: float = 0.0

    @property
    def repeats(self) -> bool:
        """Whether everything was equal, bit for bit."""
        return not self.differs

    @property
    def steps(self) -> int:
        """How many were repeated."""
        return self.last - self.first

    def __str__(self) -> str:
        """One sentence."""
        which = f"{counted(self.steps, 'step')} ({self.first + 1:,} to {self.last:,})"
        if self.repeats:
            return f"{self.run}: repeats bit for bit: {which}"
        return f"{self.run}: differs after {which}: first in {self.differs}, by up to {self.largest:.3g}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "steps": self.steps, "repeats": self.repeats}


def verify(
    run: Run | str | Path,
    *,
    network: nn.Module | None = None,
    loss: Loss | None = None,
    source: Source | None = None,
    observer: Observer = SILENT,
) -> Verification:
    """Repeat the steps before the last checkpoint of a run and say whether this machine gives them again bit for bit.

    Nothing in the folder changes. network, loss: your own, where the run was trained with them. source: where the
    pictures are now, if not where they were, or the arrays that `train` was given.

    Raises InputError where the folder holds no run or no steps to repeat, where several processes trained it, where
    another process is training into it, and where the pictures have changed.
    """
    from striate.machine.ranks import processes_for, ranks_here

    started = time.monotonic()
    run = run if isinstance(run, Run) else Run(Path(run))
    require_run(run)
    recipe, _ = read_recipe(run.folder / RECIPE)
    own = OwnParts(loss=loss)
    count = processes_for(recipe.processes, recipe.device, ranks_here())
    require(count == 1, f"{run}: its steps are those of {count} processes, which one cannot repeat bit for bit")
    with taken_up(run, network, source, observer, started, verifying=True, own=own) as (job, samples):
        resolved = job.resolved
        require(
            resolved is not None and resolved.method == "steps",
            f"{run}: a head on a pretrained network is fitted in one go, so there are no steps to repeat; "
            f"train it again by 'striate train SOURCE --recipe {run.folder / RECIPE}'",
        )
        assert resolved is not None
        require(
            resolved.network != OWN_NETWORK or (run.folder / CHECKPOINTS / PREVIOUS).is_file(),
            f"{run}: has one checkpoint only, and the weights that your network began with are not known",
        )
        from striate.actions.work import prepare_by_steps

        with reference_computing(resolved.reference), with_threads():
            return repeat(prepare_by_steps(job, samples).loop, str(run), run.folder, observer)


def repeat(loop: Loop, run: str, folder: Path, observer: Observer) -> Verification:
    """Train `loop`, which stands at its beginning, from the previous checkpoint in the run's `folder` to the last.

    Raises InputError where there is no last one, or where one of them is none of this training.
    """
    last, previous = folder / CHECKPOINTS / LAST, folder / CHECKPOINTS / PREVIOUS
    require(last.is_file(), f"{run}: has no checkpoint to repeat; go on with it by 'striate resume {run}'")
    goal = read_progress(last)
    average = loop.averaged.network if loop.averaged is not None else None
    if previous.is_file():
        loop.progress = load_checkpoint(previous, loop.network, average, loop.optimizer)
        if loop.scaler is not None:
            loop.scaler.load_state_dict(loop.progress.scaler)
    begun = loop.progress
    first = begun.step
    require(first < goal.step, f"{run}: its two checkpoints are of one step; there is nothing between to repeat")
    if begun.plans[0] != goal.plans[0]:
        begun.epochs_without_better = begun.averaged = 0  # as when it was asked to go further
    begun.plans = goal.plans
    took = duration(goal.seconds - begun.seconds)
    observer.say(f"repeating {counted(goal.step - first, 'step')} after step {first:,}, which took {took}")
    loop.replay(goal.step)
    return _compared(loop, run, first, goal, last)


def _compared(loop: Loop, run: str, first: int, goal: Progress, last: Path) -> Verification:
    average = loop.averaged.network if loop.averaged is not None else None
    ours, kept = gathered(loop.network, average, loop.optimizer)
    theirs, described = read_tensors(last)
    found = Verification(run=run, first=first, last=goal.step)
    if ours.keys() != theirs.keys():
        raise InputError(f"{last}: not a checkpoint of this training ({min(ours.keys() ^ theirs.keys())})")
    for name, value in ours.items():
        mine, other = value.detach().cpu(), theirs[name]
        if not _equal(mine, other):
            largest = float((mine.double() - other.double()).abs().max()) if mine.shape == other.shape else float("nan")
            return _with(found, name, largest)
    if kept != described.get("optimizer"):
        return _with(found, "what the optimizer counts", float("nan"))
    figures, wanted = _figures(loop.progress), _figures(goal)
    for name in wanted:
        if figures.get(name) != wanted[name]:
            return _with(found, name, abs(figures.get(name, float("nan")) - wanted[name]))
    return found


def _with(found: Verification, differs: str, largest: float) -> Verification:
    return Verification(run=found.run, first=found.first, last=found.last, differs=differs, largest=largest)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bit for bit: also the signs of zeros, and what is no number."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    bits = (tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other))
    return torch.equal(*bits)


def _figures(progress: Progress) -> Mapping[str, float]:
    """Counters, and the history but for its times, by name; what is no number is a text that equals itself."""
    counted = {name: getattr(progress, name) for name in COUNTED}
    rows = {
        f"{name} of epoch {row['epoch']:.0f}": value
        for row in progress.history
        for name, value in row.items()
        if name != "seconds"
    }
    return {name: value for name, value in {**counted, **rows}.items() if value == value}
