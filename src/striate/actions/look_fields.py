"""What the units of a network's layers see of a picture, and how far apart; kept for the next look at this network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from striate.actions.look_data import shape_of
from striate.data.kept import cache_budget
from striate.models.model import Model
from striate.observer import SILENT, Observer
from striate.taps.fields import Fields, receptive_fields
from striate.taps.places import Place
from striate.taps.steps import Step, field_steps
from striate.views.top_index import Index, content_of, keep_arrays, read_arrays


@dataclass(frozen=True, eq=False)
class Sight:
    """By layer: the receptive fields of its units, and the step between them; None where there is none to be told."""

    fields: Mapping[str, Fields]
    steps: Mapping[str, Step | None]


def sight_of(model: Model, places: Sequence[Place], output: str | int | None, observer: Observer = SILENT) -> Sight:
    """What the units of these places see."""
    names = [place.name for place in places]
    index = None
    if cache_budget() > 0:
        index = Index(content_of(model.network, "", {"shape": shape_of(model), "output": output, "layers": names}))
        kept = read_arrays(index.place("fields"), observer)
        if kept is not None:
            return _from_arrays(names, kept)
    fields = receptive_fields(model.network, names, shape_of(model), output=output)
    found = Sight(fields, field_steps(model.network, fields, shape_of(model), output=output))
    if index is not None:
        keep_arrays(index.place("fields"), _as_arrays(names, found), observer)
    return found


def _as_arrays(names: Sequence[str], sight: Sight) -> dict[str, np.ndarray]:
    """Numbered by the order of the layers: "rows 0", "columns 0", ...; "steps" (L, 2), 0 where there is none."""
    arrays = {"steps": np.array([sight.steps[name] or (0, 0) for name in names], dtype=np.int64).reshape(-1, 2)}
    for number, name in enumerate(names):
        fields = sight.fields[name]
        arrays[f"rows {number}"] = np.array(fields.rows, dtype=np.int64)
        arrays[f"columns {number}"] = np.array(fields.columns, dtype=np.int64)
    return arrays


def _from_arrays(names: Sequence[str], kept: Mapping[str, np.ndarray]) -> Sight:
    fields, steps = {}, {}
    for number, name in enumerate(names):
        rows, columns = (
            tuple((int(start), int(end)) for start, end in kept[f"{what} {number}"]) for what in ("rows", "columns")
        )
        down, right = (int(one) for one in kept["steps"][number])
        fields[name], steps[name] = Fields(rows, columns), (down, right) if down > 0 else None
    return Sight(fields, steps)
