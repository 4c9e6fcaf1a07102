"""What was decided from the recipe, the data and this machine: written under `[resolved]` before step 1.

Resuming and repeating read it and decide nothing anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

from striate.data.augmentation import FITTED
from striate.errors import InputError, did_you_mean, require
from striate.machine.allocator import ALLOCATORS, KEEP
from striate.machine.precision import CHANNELS_LAST, CONTIGUOUS, FORMATS, LAYOUTS
from striate.models.run_files import OWN_NETWORK
from striate.training.part_settings import AugmentSettings, OptimizerSettings, RegularizerSettings, ScheduleSettings
from striate.training.settings import check, from_mapping, setting, shown, to_mapping

# By steps of an optimizer, or by fitting a linear head on a frozen network's features.
METHODS = ("steps", "frozen")


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Every value that a run depends on, beside the pictures themselves. Raises InputError for what cannot be."""

    method: str = setting("steps", "", choices=METHODS)
    network: str
    arguments: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    weights: str | None = None
    channels: int
    height: int
    width: int
    fit: str = "squash"
    crop_share: float = 1.0
    interpolation: str = "bilinear"
    # Of the run that it started from, in [0, 1] units, one a channel; None: fitted, or those of published weights.
    mean: tuple[Any, ...] | None = None
    deviation: tuple[Any, ...] | None = None
    mean_picture: bool = False  # taken off in the place of the mean
    own_loss: bool = False  # a function of the user's, which no file can hold
    fine_tune: bool = False  # after the head was fitted, where it helps on validation
    # In all, as last planned.
    epochs: int = setting(1, "", at_least=1)
    steps: int = setting(1, "", at_least=1)
    batch_size: int = setting(128, "", at_least=1)
    accumulate: int = setting(1, "", at_least=1)  # batches a step
    learning_rate: float = setting(0.1, "", above=0)
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(name="sgd", weight_decay=0.0))
    schedule: ScheduleSettings = field(default_factory=lambda: ScheduleSettings(name="one-cycle"))
    loss: str | None = None  # None: the task's own
    label_smoothing: float = setting(0.0, "", at_least=0, at_most=0.9)
    class_weights: str = setting("none", "", choices=("none", "balanced"))
    balance: bool = False
    regularizer: RegularizerSettings = field(default_factory=RegularizerSettings)
    dropout: float | None = setting(None, "", at_least=0, at_most=0.99)  # None: as the network has it
    freeze: str | None = None
    clip: float | None = setting(None, "", above=0)
    averaging: float = setting(0.0, "", at_least=0, at_most=0.99999)
    swa: float | None = setting(None, "", above=0, at_most=1)
    patience: int | None = setting(None, "", at_least=1)
    augment: dict[str, Any] = field(default_factory=dict)  # the fields of Augmentation that are not off
    precision: str = setting("float32", "", choices=FORMATS)
    layout: str = setting(CHANNELS_LAST, "", choices=LAYOUTS)
    device: str = "cpu"
    threads: int = setting(1, "", at_least=1)
    processes: int = setting(1, "", at_least=1)
    compile: bool = False
    allocator: str = setting(KEEP, "", choices=ALLOCATORS)
    reference: bool = False
    seed: int = setting(0, "", at_least=0, at_most=2**63 - 1)
    validate_every: int = setting(1, "", at_least=1)  # epochs
    # Pictures of the shuffle buffer where the training pictures are streamed; None: they are decoded once.
    buffer: int | None = setting(None, "", at_least=1)
    # Of the pictures, labels and splits that the run began with; "": not looked at.
    fingerprint: str = ""
    # Of a run that was planned anew for time: [first step, progress there, steps in all].
    plans: tuple[Any, ...] = ()
    # Of a run whose batches did not fit into memory: [first step, counted from 1, parts that a batch is done in].
    splits: tuple[Any, ...] = ()
    # Why, in sentences for the report.
    reasons: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        check(self, "resolved.")
        known = [field_.name for field_ in fields(AugmentSettings) if field_.name != "name"] + [*FITTED]
        for name in self.augment:
            require(name in known, f"resolved.augment: no setting '{name}'" + did_you_mean(name, known))
        require(all(isinstance(one, str) for one in self.reasons), "resolved.reasons must be texts")
        require(
            _are_splits(self.splits),
            f"resolved.splits must hold [first step, parts] each, in order of steps, got {shown(self.splits)}",
        )
        for name in ("mean", "deviation"):
            values = getattr(self, name) or ()
            numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
            require(numbers, f"resolved.{name} must hold numbers, got {shown(values)}")
        for plan in self.plans:
            require(_is_plan(plan), f"resolved.plans must hold [first step, progress, steps] each, got {shown(plan)}")

    @property
    def pictures_a_step(self) -> int:
        """Of all its batches."""
        return self.batch_size * self.accumulate

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for TOML."""
        return to_mapping(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str) -> Resolved:
        """What `to_mapping` gave. Raises InputError, naming `where`."""
        missing = [name for name in ("network", "channels", "height", "width") if name not in values]
        if missing:
            raise InputError(f"{where}: [resolved] lacks {missing[0]}; leave the whole table out to have it decided")
        if "layout" not in values and values["network"] == OWN_NETWORK:
            values = {**values, "layout": CONTIGUOUS}  # before it was written down, networks of one's own kept theirs
        return from_mapping(cls, values, where, "resolved.")


def _is_plan(plan: Any) -> bool:
    if not (isinstance(plan, list | tuple) and len(plan) == 3):
        return False
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in plan):
        return False
    first, share, total = (float(value) for value in plan)
    return 0 <= first <= total < 2**53 and first.is_integer() and total.is_integer() and 0 <= share <= 1


def _are_splits(splits: tuple[Any, ...]) -> bool:
    for entry in splits:
        if not (isinstance(entry, list | tuple) and len(entry) == 2):
            return False
        if not all(isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**53 for value in entry):
            return False
    steps = [entry[0] for entry in splits]
    return all(before < after for before, after in pairwise(steps))
