"""`striate train --learning-curve`: what more pictures would bring, from trainings on fewer of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.actions.several import Trainings, figure_of, learned_from, open_folder, require_open
from striate.errors import require
from striate.evaluation.figure import Figure, Z
from striate.evaluation.headlines import HEADLINES
from striate.evaluation.power_law import FEWEST_POINTS, Forecast, fit_power_law, forecast
from striate.machine.files import write_atomically
from striate.models.run import Run
from striate.observer import SILENT, Observer

if TYPE_CHECKING:
    from torch import nn

RESULT, PAGE = "curve.json", "report.html"
# Shares of the training pictures: halves in two steps each.
SHARES = tuple(round(2 ** (-step / 2), 4) for step in range(7, -1, -1))
DRAWN = 40  # points of the line on the page


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """A figure by the number of training pictures, and what twice as many would bring.

    pictures: training pictures of each run; figures: what its test pictures gave; forecast: the same figure for twice
    the largest number, with the band that it falls into in 95 of 100 cases.
    """

    folder: Path
    task: str
    metric: str
    pictures: tuple[int, ...]
    figures: tuple[Figure, ...]
    forecast: Forecast
    runs: tuple[Run, ...]
    page: Path

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "folder": str(self.folder),
            "task": self.task,
            "metric": self.metric,
            "points": [
                {"run": str(run), "pictures": count, **figure.to_json()}
                for run, count, figure in zip(self.runs, self.pictures, self.figures, strict=True)
            ],
            "forecast": {
                "pictures": self.forecast.pictures,
                "value": self.forecast.value,
                "low": self.forecast.low,
                "high": self.forecast.high,
            },
        }


def learning_curve(
    source: Any,
    *,
    shares: Sequence[float] = SHARES,
    out: str | Path | None = None,
    network: str | nn.Module | None = None,
    observer: Observer = SILENT,
    **settings: Any,
) -> LearningCurve:
    """Train on growing shares of the training pictures, each tested on the same test pictures, and look ahead.

    source, network, settings: as for `train`. shares: in (0, 1], ascending, four at least; a smaller one is a part of
    every larger one, and each class keeps its share. out: a new folder for the runs and the page (None:
    `runs/<source>-learning-curve-<n>`), or one in which the same was begun, and goes on.

    Raises InputError for what cannot be used.
    """
    asked = list(shares)
    require(
        len(asked) >= FEWEST_POINTS and asked == sorted(set(asked)) and asked[0] > 0 and asked[-1] <= 1,
        f"shares must be {FEWEST_POINTS} or more ascending numbers in (0, 1], got {asked}",
    )
    require_open(settings, ("fold", "share", "minutes"), "a learning curve")
    called = str(source) if isinstance(source, str | Path) else "arrays"
    given = {**settings, **({} if network is None else {"network": network})}
    folder, made = open_folder("learning-curve", source, out, given, {"shares": asked})
    changes = {f"share-{share:g}": {"share": share} for share in asked}
    trainings = Trainings(
        kind="learning-curve",
        source=source,
        folder=folder,
        settings=given,
        changes=changes,
        made=made,
        observer=observer,
    )
    # Of few pictures two shares may be the same ones: one point.
    by_count = {learned_from(run): run for run in trainings.carry_out().values()}
    pictures, runs = tuple(by_count), tuple(by_count.values())
    found = [figure_of(run) for run in runs]
    task = found[0][0]
    headline, noun = HEADLINES[task], runs[0].noun
    figures = tuple(Figure.from_json(figure) for _, figure in found)
    require(
        len(pictures) >= FEWEST_POINTS,
        f"{called}: the shares are {', '.join(f'{count:,}' for count in pictures)} training {noun}s; that is too "
        "few to look ahead",
    )
    # The law is one of errors, which fall to their floor.
    errors = [1 - one.value for one in figures]
    deviations = [_deviation(one) for one in figures]
    error = forecast(pictures, errors, deviations, at=2 * pictures[-1], seed=0)
    ahead = Forecast(
        pictures=error.pictures,
        value=1 - error.value,
        low=max(headline.lowest, 1 - error.high),
        high=1 - error.low,
    )
    result = LearningCurve(
        folder=folder,
        task=task,
        metric=headline.figure,
        pictures=pictures,
        figures=figures,
        forecast=ahead,
        runs=runs,
        page=folder / PAGE,
    )
    law = fit_power_law(pictures, errors, deviations)
    steps = [round(pictures[0] * (ahead.pictures / pictures[0]) ** (step / (DRAWN - 1))) for step in range(DRAWN)]
    from striate.reports.several import curve_page

    write_atomically(folder / RESULT, json.dumps(result.to_json(), indent=2) + "\n")
    write_atomically(
        result.page,
        curve_page(
            source=called,
            headline=headline,
            noun=noun,
            points=list(zip(pictures, figures, strict=True)),
            forecast=ahead,
            line=[(step, float(1 - law.at(step))) for step in steps],
        ),
    )
    return result


def _deviation(figure: Figure) -> float:
    """How far chance moves a figure: a quarter of its 95 % interval; as a share, where it has none."""
    if figure.low is not None and figure.high is not None:
        return (figure.high - figure.low) / (2 * Z)
    return math.sqrt(max(figure.value * (1 - figure.value), 1 / figure.n) / figure.n)
