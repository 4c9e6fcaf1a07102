"""Whether an exported file answers as the model does: both are shown the same raw pictures.

Legend: H W pixels of a picture, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.data.decode import as_pixels
from striate.errors import InputError, require
from striate.exports.locating import first_difference
from striate.exports.opened import Opened
from striate.models.model import Model
from striate.observer import SILENT, Observer
from striate.words import counted

TOLERANCE = 1e-4  # of a probability; for numbers, of the spread of the target in training
FEWEST = 64  # pictures that a proof is made of


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was compared: pictures (how many of them were held out from the training), their smallest and largest sizes
    (width, height), the largest difference of an answer, how many near-ties went the other way, and with which
    versions."""

    pictures: int
    held_out: int
    smallest: tuple[int, int]
    largest: tuple[int, int]
    sizes: int
    largest_difference: float
    near_ties: int
    tolerance: float = TOLERANCE
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.__dict__, "smallest": list(self.smallest), "largest": list(self.largest)}

    def sentence(self) -> str:
        """For a person."""
        sides = [f"{width}x{height}" for width, height in (self.smallest, self.largest)]
        held = f"{self.held_out} held out from the training" if self.held_out else "all of them generated"
        return (
            f"{counted(self.pictures, 'picture')} of {counted(self.sizes, 'size')}, {sides[0]} to {sides[1]} ({held}): "
            f"the same answers, largest difference {self.largest_difference:.1e}"
        )


def prove(
    opened: Opened, model: Model, pictures: Sequence[np.ndarray], *, held_out: int = 0, observer: Observer = SILENT
) -> Proof:
    """Compare the file's answers with the model's, picture by picture; each is (H, W, 3) `uint8`, RGB.

    Raises InputError, naming the first layer that differs, where the most probable class of one differs (unless the two
    are within 1e-4 of each other), or any probability by more than 1e-4. Numbers may differ by 1e-4 of their spread.
    """
    require(len(pictures) >= FEWEST, f"a proof needs {FEWEST} pictures, got {len(pictures)}")
    unit = _unit(model)
    differing: list[int] = []
    worst, near_ties = 0.0, 0
    for number, picture in enumerate(pictures):
        expected = model.answer(model.prepare(as_pixels(picture))[None])[0].numpy() / unit
        found = opened.answers(picture[None])[0] / unit
        if found.shape != expected.shape or not np.isfinite(found).all():
            difference, otherwise = float("inf"), True
        else:
            difference = float(np.abs(found - expected).max())
            otherwise, near_tie = _other_class(model, found, expected)
            near_ties += near_tie
        worst = max(worst, difference)
        if otherwise or difference > TOLERANCE:
            differing.append(number)
        observer.progress("proving", number + 1, len(pictures))
    if differing:
        where = first_difference(opened, model, pictures[differing[0]])
        height, width = pictures[differing[0]].shape[:2]
        raise InputError(
            f"the export was refused: {counted(len(differing), 'picture')} of {len(pictures)} "
            f"{'is' if len(differing) == 1 else 'are'} answered otherwise, by up to {worst:.2g}; for one of "
            f"{width}x{height} pixels {where}"
        )
    areas = sorted({picture.shape[:2] for picture in pictures}, key=lambda size: (size[0] * size[1], size))
    return Proof(
        pictures=len(pictures),
        held_out=held_out,
        smallest=(areas[0][1], areas[0][0]),
        largest=(areas[-1][1], areas[-1][0]),
        sizes=len(areas),
        largest_difference=worst,
        near_ties=near_ties,
        versions=opened.versions,
    )


def _other_class(model: Model, found: np.ndarray, expected: np.ndarray) -> tuple[bool, bool]:
    """Whether another class is the most probable, and whether that is a near-tie."""
    first, second = int(expected.argmax()), int(found.argmax())
    if model.task.name != "classification" or first == second:
        return False, False
    near_tie = bool(expected[first] - expected[second] < TOLERANCE)
    return not near_tie, near_tie


def _unit(model: Model) -> np.ndarray:
    """What a difference is measured in: probabilities as they are, numbers by their spread in training."""
    spread = getattr(model.task, "deviations", None)
    return np.ones(1) if spread is None else np.asarray(spread, dtype=np.float64)
