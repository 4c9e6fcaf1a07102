"""How the learning rate moves: (progress in [0, 1]) -> factor of the highest rate in [0, 1].

Progress rather than steps, so that a run whose length is planned anew goes on along the same curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from striate.errors import unknown
from striate.training.recipe import ScheduleSettings


def one_cycle(progress: float, settings: ScheduleSettings) -> float:
    """Up in a straight line during the warm-up, then down in a straight line to `final`.

    Smith & Topin 2018, "Super-convergence" (arXiv:1708.07120), with a linear fall.
    """
    if progress < settings.warmup:
        return _rise(progress, settings.warmup)
    return 1 + (settings.final - 1) * _fallen(progress, settings.warmup)


def cosine(progress: float, settings: ScheduleSettings) -> float:
    """Up during the warm-up, then down along half a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5)."""
    if progress < settings.warmup:
        return _rise(progress, settings.warmup)
    half = 0.5 * (1 + math.cos(math.pi * _fallen(progress, settings.warmup)))
    return settings.final + (1 - settings.final) * half


def constant(progress: float, settings: ScheduleSettings) -> float:
    """Up during the warm-up, then the same rate to the end."""
    return _rise(progress, settings.warmup) if progress < settings.warmup else 1.0


def _rise(progress: float, warmup: float) -> float:
    # Not from zero: the first step would teach nothing.
    return 0.02 + 0.98 * progress / warmup


def _fallen(progress: float, warmup: float) -> float:
    return min(1.0, (progress - warmup) / (1 - warmup))


Schedule = Callable[[float, ScheduleSettings], float]
SCHEDULES: dict[str, Schedule] = {"one-cycle": one_cycle, "cosine": cosine, "constant": constant}


def schedule_named(settings: ScheduleSettings) -> Schedule:
    """The schedule that the settings name. Raises InputError for an unknown one."""
    if settings.name not in SCHEDULES:
        raise unknown("schedule", str(settings.name), SCHEDULES)
    return SCHEDULES[settings.name]
