"""How much each layer changes as pictures are moved, scaled and turned: the section of `striate look --invariance`.

Legend: B pictures, T amounts, L layers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.actions.look_cells import as_pixels
from striate.actions.look_data import Looked
from striate.reports.drawing import Chart
from striate.reports.gallery import Change, drawn_strip
from striate.reports.lines import Series, line_chart
from striate.views.invariance import AMOUNTS, Invariance, changed, invariance, matrix
from striate.views.top_index import Index, keep_arrays, read_arrays
from striate.words import counted

PICTURES = 5  # as in the paper's figure
MOST_LAYERS = 8  # lines that can be told apart
DRAWN = 7  # of the amounts, on one picture
KEPT = ("amounts", "distances", "lengths", "probabilities", "classes")


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """A kind of change in words. scale: what an amount is multiplied by to be shown; still: where nothing changes."""

    title: str
    axis: str
    scale: float
    unit: str
    still: float


KINDS = {
    "translation": _Kind(title="Moved", axis="moved down by, % of the height", scale=100, unit=" %", still=0),
    "scale": _Kind(title="Scaled", axis="its size, % of what it was", scale=100, unit=" %", still=100),
    "rotation": _Kind(title="Turned", axis="turned anticlockwise by, degrees", scale=1, unit="°", still=0),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Changes:
    """What was found, one `Invariance` for each kind of change. rows: the (B,) pictures' numbers. labelled: whether the
    classes are the pictures' labels; else they are what is answered."""

    rows: tuple[int, ...]
    labelled: bool
    found: tuple[Invariance, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values; distances by layer as `relative` gives them."""
        return [
            {
                "change": one.change,
                "amounts": one.amounts.tolist(),
                "distances": dict(zip(one.layers, relative(one).tolist(), strict=True)),
                "probabilities": one.probabilities.tolist(),
                "classes": one.classes.tolist(),
            }
            for one in self.found
        ]

    def arrays(self) -> dict[str, np.ndarray]:
        """ "invariance/<change>/<what>": see `Invariance`; "invariance/rows"."""
        found = {f"invariance/{one.change}/{name}": getattr(one, name).numpy() for one in self.found for name in KEPT}
        return {**found, "invariance/rows": np.array(self.rows, dtype=np.int64)}


def relative(one: Invariance) -> np.ndarray:
    """(L, T): the mean distance over the pictures as a share of the mean length; NaN where a layer gives nothing.

    Not the mean of the shares: one picture of which a layer sees next to nothing would outweigh all others.
    """
    lengths = one.lengths.double().numpy().mean(axis=1)[:, None]
    distances = one.distances.double().numpy().mean(axis=1)
    shares: np.ndarray = np.divide(distances, lengths, where=lengths > 0, out=np.full(distances.shape, np.nan))
    return shares


def changes_of(
    looked: Looked,
    layers: Sequence[str],
    unread: Sequence[int],
    index: Index | None,
    output: str | int | None,
) -> Changes:
    """A few of the pictures, evenly spaced, moved, scaled and turned. unread: the numbers of those that cannot be."""
    readable = [row for row in range(len(looked.samples)) if row not in set(unread)]
    places = np.unique(np.linspace(0, len(readable) - 1, PICTURES).round().astype(int))
    rows = tuple(readable[place] for place in places)
    classes = _classes(looked, rows)
    names = _some(layers)
    place = None if index is None else index.place(json.dumps(["invariance", rows, classes, names, AMOUNTS]))
    kept = None if place is None else read_arrays(place, looked.observer)
    if kept is None:
        kept = _computed(looked, rows, classes, names, output)
        if place is not None:
            keep_arrays(place, kept, looked.observer)
    found = tuple(
        Invariance(
            change=change,  # type: ignore[arg-type]  # one of AMOUNTS
            layers=tuple(names),
            **{name: torch.from_numpy(np.array(kept[f"{change} {name}"])) for name in KEPT},
        )
        for change in AMOUNTS
    )
    return Changes(rows=rows, labelled=classes is not None, found=found)


def _computed(
    looked: Looked, rows: Sequence[int], classes: Sequence[int] | None, layers: Sequence[str], output: str | int | None
) -> dict[str, np.ndarray]:
    """Picture by picture; as it is kept."""
    prepared = looked.prepared(rows)
    parts: list[tuple[Invariance, ...]] = []
    for number, row in enumerate(rows):
        asked = None if classes is None else classes[number]
        inputs = looked.inputs(prepared[row][None])
        parts.append(invariance(looked.model.network, inputs, asked, layers=layers, output=output))
        looked.observer.progress("moving, scaling, turning", number + 1, len(rows))
    axes = {"amounts": None, "distances": 1, "lengths": 1, "probabilities": 0, "classes": 0}
    arrays = {}
    for several in zip(*parts, strict=True):
        for name, axis in axes.items():
            tensors: list[Tensor] = [getattr(one, name) for one in several]
            whole = tensors[0] if axis is None else torch.cat(tensors, dim=axis)
            arrays[f"{several[0].change} {name}"] = whole.numpy()
    return arrays


def _classes(looked: Looked, rows: Sequence[int]) -> list[int] | None:
    """The numbers of their labels among the network's classes; None where not all are among them."""
    known: Mapping[str, int] = {name: number for number, name in enumerate(looked.model.class_names)}
    found = [known.get(looked.label(row) or "") for row in rows]
    return None if any(one is None for one in found) else [one for one in found if one is not None]


def _some(layers: Sequence[str]) -> list[str]:
    """At most MOST_LAYERS, evenly, the first and the last among them."""
    if len(layers) <= MOST_LAYERS:
        return list(layers)
    return [layers[number] for number in np.linspace(0, len(layers) - 1, MOST_LAYERS).round().astype(int)]


# -- as a section -------------------------------------------------------------------------------


def drawn_changes(changes: Changes, looked: Looked) -> tuple[tuple[Change, ...], str]:
    """The section, and which pictures it is of in words."""
    names = _told_apart([looked.label(row) or looked.samples.names[row] for row in changes.rows])
    row = changes.rows[len(changes.rows) // 2]
    (shown,) = looked.prepared([row]).values()
    made = tuple(_drawn(one, looked, shown, names, changes.labelled) for one in changes.found)
    which = "their labels" if changes.labelled else "what the network answers"
    said = (
        f"{counted(len(changes.rows), 'picture')}: {', '.join(names)}; the classes are {which}; distances are shares "
        "of the length of the features of the pictures themselves"
    )
    return made, said


def _drawn(one: Invariance, looked: Looked, shown: Tensor, names: Sequence[str], labelled: bool) -> Change:
    kind = KINDS[one.change]
    x = [kind.scale * amount for amount in one.amounts.tolist()]
    features = [
        Series(name=layer, values=values, style=f"run{number}")
        for number, (layer, values) in enumerate(zip(one.layers, relative(one).tolist(), strict=True), start=1)
    ]
    answers = [
        Series(name=name, values=values, style=f"run{number}")
        for number, (name, values) in enumerate(zip(names, one.probabilities.tolist(), strict=True), start=1)
    ]
    whose = "Probability of the label, %" if labelled else "Probability of the answer, %"
    charts: list[Chart | None] = [
        line_chart("How far features move, %", x, features, x_name=kind.axis, as_percent=True, mark=kind.still),
        line_chart(whose, x, answers, x_name=kind.axis, as_percent=True, mark=kind.still),
    ]
    chosen = np.unique(np.linspace(0, len(x) - 1, DRAWN).round().astype(int))
    sign = "+" if kind.still == 0 else ""
    return Change(
        title=kind.title,
        picture=drawn_strip(_changed(one, looked, shown, [float(one.amounts[place]) for place in chosen])),
        amounts=tuple("0" if x[place] == 0 else f"{x[place]:{sign}.0f}{kind.unit}" for place in chosen),
        charts=tuple(chart for chart in charts if chart is not None),
    )


def _changed(one: Invariance, looked: Looked, shown: Tensor, amounts: Sequence[float]) -> list[np.ndarray]:
    """A prepared picture (C, H, W) so changed, (H, W, C) each: the mean colour comes in from outside."""
    mean = 255 * torch.tensor(looked.model.input_spec.mean).view(-1, 1, 1)
    matrices = torch.stack([matrix(one.change, amount, shown.shape[1:]) for amount in amounts])
    return [as_pixels(picture) for picture in changed(shown.float()[None] - mean, matrices) + mean]


def _told_apart(names: Sequence[str]) -> list[str]:
    """With numbers where several are the same: "llama", "llama 2"."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return found
