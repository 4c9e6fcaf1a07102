"""What is kept of a training for its page, in `metrics.json` under "page": sentences, and which pictures are shown.

The names of the pictures are kept and not the pictures: so the page can be made anew, and there is one way to make it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from striate.data.distribution import Distribution
from striate.data.samples import Samples
from striate.errors import InputError
from striate.models.run_files import METRICS

if TYPE_CHECKING:
    import numpy as np

# Positions (n,) in a split -> for each of them the nearest training rows with their distances.
Nearest = Callable[["np.ndarray"], dict[int, list[tuple[int, float]]]]


@dataclass(frozen=True, kw_only=True)
class Near:
    """A training picture that lies near a mistake, by cosine distance of features."""

    name: str
    label: str
    distance: float

    @classmethod
    def of(cls, samples: Samples, found: Sequence[tuple[int, float]], label: Callable[[int], str]) -> tuple[Near, ...]:
        """Training rows with their distances; `label` says what a row is."""
        return tuple(cls(name=samples.names[row], label=label(row), distance=distance) for row, distance in found)


@dataclass(frozen=True, kw_only=True)
class Mistaken:
    """A held-back picture whose answer is not its label; `probability` is that of the answer, None where that is a
    number. note: how far off it is, where that can be said."""

    name: str
    target: str
    prediction: str
    probability: float | None
    neighbours: tuple[Near, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Unsure:
    """A held-back picture and its most probable classes, most probable first; or the labels that are least certain,
    of which it has `targets`."""

    name: str
    target: str
    top: tuple[tuple[str, float], ...]
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the report tells beside figures: sentences, counts by split (K,) each, and which pictures are shown.

    pictures: by split; runs of early versions, all of classes, have none. distributions, points: of numbers, as in
    `TrainingReport`.
    """

    title: str
    created: str
    split: str
    summary: tuple[str, ...]
    trust: tuple[str, ...]
    reasons: tuple[str, ...]
    counts: Mapping[str, Sequence[int]]
    mistakes: tuple[Mistaken, ...]
    unsure: tuple[Unsure, ...]
    pictures: Mapping[str, int] = field(default_factory=dict)
    distributions: tuple[Distribution, ...] = ()
    points: tuple[tuple[tuple[float, float], ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Page:
        """What `to_json` gave. Raises InputError where it is none."""
        try:
            counts = {str(name): [int(number) for number in column] for name, column in values["counts"].items()}
            return cls(
                title=_text(values["title"]),
                created=_text(values["created"]),
                split=_text(values["split"]),
                summary=tuple(map(_text, values["summary"])),
                trust=tuple(map(_text, values["trust"])),
                reasons=tuple(map(_text, values["reasons"])),
                counts=counts,
                mistakes=tuple(
                    Mistaken(
                        name=_text(one["name"]),
                        target=_text(one["target"]),
                        prediction=_text(one["prediction"]),
                        probability=None if one["probability"] is None else _finite(one["probability"]),
                        note=_text(one.get("note", "")),
                        neighbours=tuple(
                            Near(name=_text(near["name"]), label=_text(near["label"]), distance=float(near["distance"]))
                            for near in one["neighbours"]
                        ),
                    )
                    for one in values["mistakes"]
                ),
                unsure=tuple(
                    Unsure(
                        name=_text(one["name"]),
                        target=_text(one["target"]),
                        top=tuple((_text(name), float(probability)) for name, probability in one["top"]),
                        targets=tuple(map(_text, one.get("targets", ()))),
                    )
                    for one in values["unsure"]
                ),
                pictures={str(name): int(number) for name, number in values.get("pictures", {}).items()},
                distributions=tuple(Distribution.from_json(one) for one in values.get("distributions", ())),
                points=tuple(
                    tuple((_finite(target), _finite(answer)) for target, answer in pairs)
                    for pairs in values.get("points", ())
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"{METRICS}: what it keeps of the page cannot be read ({error!r})") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _finite(value: Any) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{value!r} is not finite")
    return number
