"""How the learning rate moves: a table of shapes, (progress in [0, 1]) -> factor of the highest rate in [0, 1].

Progress rather than steps, so that a run whose length is planned anew goes on along the same curve. What `plateau`
takes off when validation stops improving is kept by the loop (`Progress.rate_share`), since it depends on more than
progress.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from striate.errors import require, unknown
from striate.training.part_settings import ScheduleSettings
from striate.training.resolved import Resolved

Schedule = Callable[[float, ScheduleSettings], float]


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


def step(progress: float, settings: ScheduleSettings) -> float:
    """Up during the warm-up, then `drops` times divided by `divide_by`, after equal parts of what is left; never below
    `final` (LeCun et al. 1998, section III; He et al. 2016, section 4.2)."""
    if progress < settings.warmup:
        return _rise(progress, settings.warmup)
    dropped = min(settings.drops, math.floor((settings.drops + 1) * _fallen(progress, settings.warmup)))
    return max(settings.final, settings.divide_by**-dropped)


def polynomial(progress: float, settings: ScheduleSettings) -> float:
    """Up during the warm-up, then down as (1 - t)^power to `final` (Chen et al. 2017, arXiv:1606.00915, eq. in 4.1)."""
    if progress < settings.warmup:
        return _rise(progress, settings.warmup)
    left: float = (1 - _fallen(progress, settings.warmup)) ** settings.power
    return settings.final + (1 - settings.final) * left


def plateau(progress: float, settings: ScheduleSettings) -> float:
    """Up during the warm-up, then constant; the loop divides it (see `fallen_further`; Krizhevsky et al. 2012,
    section 5)."""
    return constant(progress, settings)


def fallen_further(share: float, settings: ScheduleSettings) -> float:
    """What is left of the rate when validation has stopped improving once more, at least `final`."""
    return max(settings.final, share / settings.divide_by)


def _rise(progress: float, warmup: float) -> float:
    # Not from zero: the first step would teach nothing.
    return 0.02 + 0.98 * progress / warmup


def _fallen(progress: float, warmup: float) -> float:
    return min(1.0, (progress - warmup) / (1 - warmup))


@dataclass(frozen=True, kw_only=True)
class Part:
    """One row of the table: the shape, and what a person should know of it.

    watches: whether validation moves it too, so that there must be one.
    """

    function: Schedule
    sentence: str
    needs: str
    good_for: str
    paper: str
    watches: bool = False


SCHEDULES: dict[str, Part] = {
    "one-cycle": Part(
        function=one_cycle,
        sentence="up in a straight line, then down in a straight line",
        needs="the length of the run",
        good_for="nearly everything; the shortest way to a given accuracy",
        paper="Smith and Topin 2018 (arXiv:1708.07120)",
    ),
    "cosine": Part(
        function=cosine,
        sentence="up, then down along half a cosine: high for longer",
        needs="the length of the run",
        good_for="long runs",
        paper="Loshchilov and Hutter 2017 (arXiv:1608.03983)",
    ),
    "constant": Part(
        function=constant,
        sentence="up, then the same rate to the end",
        needs="nothing",
        good_for="watching what a rate does; L-BFGS; averaging over epochs",
        paper="Robbins and Monro 1951",
    ),
    "step": Part(
        function=step,
        sentence="up, then divided by `divide_by` after equal parts of the run, `drops` times",
        needs="the length of the run",
        good_for="repeating LeNet-5 and the ResNets for CIFAR-10, which were trained with it",
        paper="LeCun et al. 1998, section III; He et al. 2016 (arXiv:1512.03385), section 4.2",
    ),
    "polynomial": Part(
        function=polynomial,
        sentence="up, then down as a power of what is left of the run",
        needs="the length of the run",
        good_for="repeating segmentation networks, which were trained with it",
        paper="Chen et al. 2017 (arXiv:1606.00915)",
    ),
    "plateau": Part(
        function=plateau,
        sentence="up, then divided by `divide_by` whenever validation has not improved for `wait` validations",
        needs="pictures held back for validation",
        good_for="runs of a length that nobody knows, with --patience to end them; repeating AlexNet",
        paper="Krizhevsky et al. 2012, section 5; He et al. 2016 (arXiv:1512.03385), section 3.4",
        watches=True,
    ),
}


def schedule_named(settings: ScheduleSettings) -> Schedule:
    """The schedule that the settings name. Raises InputError for an unknown one."""
    if settings.name not in SCHEDULES:
        raise unknown("schedule", str(settings.name), SCHEDULES)
    return SCHEDULES[settings.name].function


def schedule_of(plan: Resolved) -> Callable[[float], float]:
    """(progress) -> factor of the highest rate. Where weights are averaged over the last epochs, the rate stays from
    their beginning on as it is there (Izmailov et al. 2018, section 3.2: the weights that are averaged must differ)."""
    shape, last = schedule_named(plan.schedule), 1.0 if plan.swa is None else 1.0 - plan.swa
    return lambda progress: shape(min(progress, last), plan.schedule)


def watches_validation(settings: ScheduleSettings) -> bool:
    """Whether validation moves the rate too."""
    return settings.name in SCHEDULES and SCHEDULES[settings.name].watches


def require_watched(settings: ScheduleSettings, *, held_back: bool) -> None:
    """Refuse to let validation move the rate where nothing is held back for it. Raises InputError."""
    require(
        held_back or not watches_validation(settings),
        f"schedule {settings.name} watches validation, and nothing is held back for it that can be used; take another "
        "schedule, such as step",
    )
