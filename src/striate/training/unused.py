"""Settings that shape a part which is not there are refused: they would change nothing, and nobody would know.

A table says which optimizers and schedules each of their settings is for; what is for all of them is not in it.
"""

from __future__ import annotations

from dataclasses import fields

from striate.data.augmentation import Augmentation
from striate.data.variations import VARIATIONS
from striate.errors import require
from striate.training.part_settings import (
    AugmentSettings,
    OptimizerSettings,
    RegularizerSettings,
    ScheduleSettings,
)
from striate.training.recipe import Recipe

Part = OptimizerSettings | ScheduleSettings
OF_OPTIMIZERS = {
    "momentum": ("sgd", "rmsprop", "muon"),
    "nesterov": ("sgd", "muon"),
    "beta1": ("adam", "adamw", "muon"),
    "beta2": ("adam", "adamw", "rmsprop", "muon"),
    "history": ("lbfgs",),
    "iterations": ("lbfgs",),
}
OF_SCHEDULES = {
    "final": ("one-cycle", "cosine", "step", "polynomial", "plateau"),
    "drops": ("step",),
    "divide_by": ("step", "plateau"),
    "power": ("polynomial",),
    "wait": ("plateau",),
}
# Detail of a variation of pictures -> the variation that it shapes.
OF_VARIATIONS = {detail: name for name, part in VARIATIONS.items() for detail in part.details}


def require_used(recipe: Recipe, optimizer: str | None, schedule: str | None) -> None:
    """Raise InputError where the recipe sets what the optimizer or the schedule of these names does not look at.

    A name is None where it is not known yet: then its settings pass.
    """
    _require_of(recipe.optimizer, "optimizer", optimizer, OF_OPTIMIZERS)
    _require_of(recipe.schedule, "schedule", schedule, OF_SCHEDULES)
    penalty: RegularizerSettings = recipe.regularizer
    require(
        bool(penalty.l1 or penalty.l2) or not penalty.biases,
        "regularizer.biases says what is penalised, and nothing is; add --regularizer.l1 or --regularizer.l2, or leave "
        "it away",
    )


def require_shaped(asked: AugmentSettings, augmentation: Augmentation) -> None:
    """Raise InputError where the recipe shapes a variation of pictures that `augmentation` does not have."""
    off = Augmentation()
    for detail, name in OF_VARIATIONS.items():
        require(
            getattr(asked, detail) is None or getattr(augmentation, name) != getattr(off, name),
            f"augment.{detail} shapes {name}, which is off; add --augment.{name.replace('_', '-')}, or leave it away",
        )


def _require_of(settings: Part, family: str, name: str | None, table: dict[str, tuple[str, ...]]) -> None:
    for field in fields(settings):
        fitting = table.get(field.name)
        require(
            name is None or fitting is None or name in fitting or getattr(settings, field.name) == field.default,
            f"{family}.{field.name} means nothing to the {family} {name}; leave it away, or take "
            f"{' or '.join(fitting or ())}",
        )
