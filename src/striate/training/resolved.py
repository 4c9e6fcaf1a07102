"""What was decided from the recipe, the data and this machine: written under `[resolved]` before step 1.

Resuming and repeating read it and decide nothing anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from striate.errors import InputError, require
from striate.training.recipe import OptimizerSettings, ScheduleSettings
from striate.training.settings import check, from_mapping, setting, to_mapping

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
    fine_tune: bool = False  # after the head was fitted, where it helps on validation
    epochs: int = setting(1, "", at_least=1)
    steps: int = setting(1, "", at_least=1)
    batch_size: int = setting(128, "", at_least=1)
    learning_rate: float = setting(0.1, "", above=0)
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(name="sgd", weight_decay=0.0))
    schedule: ScheduleSettings = field(default_factory=lambda: ScheduleSettings(name="one-cycle"))
    label_smoothing: float = 0.0
    class_weights: str = "none"
    clip: float | None = None
    averaging: float = 0.0
    patience: int | None = None
    augment: dict[str, Any] = field(default_factory=dict)  # the fields of Augmentation that are not off
    precision: str = "float32"
    device: str = "cpu"
    threads: int = setting(1, "", at_least=1)
    seed: int = 0
    validate_every: int = setting(1, "", at_least=1)  # epochs
    # Of a run that was planned anew for time: [first step, progress there, steps in all].
    plans: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        check(self, "resolved.")
        for plan in self.plans:
            fine = isinstance(plan, list | tuple) and len(plan) == 3 and all(isinstance(x, int | float) for x in plan)
            require(fine, f"resolved.plans must hold three numbers each, got {plan!r}")

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for TOML."""
        return to_mapping(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str) -> Resolved:
        """What `to_mapping` gave. Raises InputError, naming `where`."""
        missing = [name for name in ("network", "channels", "height", "width") if name not in values]
        if missing:
            raise InputError(f"{where}: [resolved] lacks {missing[0]}; leave the whole table out to have it decided")
        return from_mapping(cls, values, where, "resolved.")
