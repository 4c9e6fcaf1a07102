"""What `striate explain` found: the answer, the maps of it, what turns it, and what a mistake may come from.

Legend: H W pixels and C channels of what the network saw, K classes that maps are of, N classes that it knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.names import plain_name
from striate.views.titles import title_of

if TYPE_CHECKING:
    from striate.actions.mistake import Near
    from striate.reports.training_report import Neighbour
    from striate.views.fared import Fared

PAGE = "explanation.html"
OCCLUSION = "occlusion"


@dataclass(frozen=True, kw_only=True, eq=False)
class Mapped:
    """What one method said: `values` (K, H, W) float32, larger is more important; the `layer` that it looked at, where
    it looks at one; the `settings` that it was asked with; how the map of the first class `fared`.

    seconds: that it took, without what it shares with a method before it.
    """

    method: str
    values: np.ndarray
    layer: str | None
    seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    fared: Fared | None = None


@dataclass(frozen=True, kw_only=True)
class Turned:
    """The smallest square that turns the answer when it is covered: `box` (top, left, bottom, right) in pixels of what
    the network saw, and what is answered then. `box` is None where no square of up to `largest` pixels does."""

    box: tuple[int, int, int, int] | None
    answer: str | None
    probability: float | None
    largest: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Why the answer for a picture, and the folder that holds the page and the files.

    seen: (H, W, C) uint8, what the network saw. probabilities: (N,). label: None where it is not known. classes: those
    that the maps are of. left_out: (method, why) of what cannot be right for this network. nearest: for a mistake, the
    training pictures nearest to the picture, by class. one_of: the label that is explained, where a
    picture has several; None where it has one class. Everything else for `page` is in `details`.
    """

    picture: str
    folder: Path
    seen: np.ndarray
    class_names: tuple[str, ...]
    probabilities: np.ndarray
    label: str | None
    classes: tuple[str, ...]
    maps: tuple[Mapped, ...]
    left_out: tuple[tuple[str, str], ...]
    turned: Turned | None
    nearest: Mapping[str, tuple[Near, ...]]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    details: Details = field(repr=False)
    one_of: str | None = None

    def _repr_html_(self) -> str:
        """For notebooks."""
        from striate.reports.explanation_cell import explanation_cell

        known = self.label is not None
        labelled = f", but it is {self.label}" if self.mistaken else ", and so it is" if known else ""
        return explanation_cell(
            title=f"{self.picture}: {self.answer}{labelled}",
            lines=(*self.reasons, *self.notes, f"everything: {self.page}"),
            answers=list(zip(self.class_names, map(float, self.probabilities), strict=True)),
            seen=self.seen,
            maps=[(f"{title_of(one.method)}: {self.classes[0]}", one.values) for one in self.maps],
        )

    @property
    def answer(self) -> str:
        """The most probable class."""
        return self.class_names[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        """Of the answer."""
        return float(self.probabilities.max())

    @property
    def mistaken(self) -> bool:
        """Whether the label is known and is another."""
        return self.label is not None and self.label != self.answer

    @property
    def labelled(self) -> str:
        """What the label says of the answer: "that is its label", "car is none of its labels"; "" where it is not
        known."""
        if self.label is None:
            return ""
        if self.one_of is None:
            return f"its label is {self.label}" if self.mistaken else "that is its label"
        if self.label != self.one_of:
            return f"{self.one_of} is none of its labels"
        return f"{self.one_of} is one of its labels" if self.mistaken else "that is one of its labels"

    @property
    def page(self) -> Path:
        """Where the page lies."""
        return self.folder / PAGE

    def to_json(self) -> dict[str, Any]:
        """Plain values; the maps themselves are in `maps.npz`."""
        turned = self.turned
        return {
            "picture": self.picture,
            "page": str(self.page),
            "answer": self.answer,
            "probability": self.probability,
            "label": self.label,
            "mistaken": self.mistaken if self.label is not None else None,
            "classes": list(self.classes),
            "maps": [_plain(one) for one in self.maps],
            "left_out": [{"method": name, "reason": reason} for name, reason in self.left_out],
            "smallest_square": None
            if turned is None
            else {
                "box": None if turned.box is None else list(turned.box),
                "answer": turned.answer,
                "probability": turned.probability,
                "largest": turned.largest,
            },
            "nearest": {
                name: [{"name": one.name, "similarity": one.similarity} for one in near]
                for name, near in self.nearest.items()
            },
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "probabilities": {
                name: float(value) for name, value in zip(self.class_names, self.probabilities, strict=True)
            },
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Details:
    """What the page tells beside the result: how the picture came to the network, and with what all of it was made.

    pixels: the whole picture (h, w, C). frame: the part of it that the network saw, (left, top, width, height) as
    shares, None for all of it. fill: the colour that covers a square, (C,). neighbours: pictures for `nearest`.
    """

    pixels: np.ndarray
    frame: tuple[float, float, float, float] | None
    seen_words: str
    fill: np.ndarray
    network: str
    command: str
    created: str
    settings: Mapping[str, Any]
    neighbours: Mapping[str, tuple[Neighbour, ...]]


def _plain(one: Mapped) -> dict[str, Any]:
    told: dict[str, Any] = {"method": one.method, "layer": one.layer, "settings": dict(one.settings)}
    told["seconds"] = round(one.seconds, 3)
    if one.fared is not None:
        told["deletion"], told["random_deletion"] = one.fared.deletion, list(one.fared.random_deletion)
        told["insertion"], told["random_insertion"] = one.fared.insertion, list(one.fared.random_insertion)
    return told


def short_name(text: str) -> str:
    """A name of a class as a part of the name of a file: letters, digits, dots and dashes, at most 40."""
    return plain_name(text)[:40] or "class"
