"""What `striate look` found: each layer, the strongest pictures of its units, and what these respond to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.actions.look_alike import Alike
    from striate.actions.look_changes import Changes
    from striate.actions.look_films import Films
    from striate.taps.fields import Fields
    from striate.taps.places import Place
    from striate.views.top_index import Found


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer that can be looked at.

    stride: rows and columns of the input from the field of a unit to those of its neighbours; where every unit sees the
    whole picture, or they are not evenly spaced, those of the picture for each of the map; None where there is no map
    of more than one cell. field: rows and columns of the input that a unit sees at most.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    stride: tuple[float, float] | None
    field: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        stride = None if self.stride is None else list(self.stride)
        return {**self.__dict__, "shape": list(self.shape), "stride": stride, "field": list(self.field)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What was found: the page and the arrays (None where none were asked for), and each layer's units.

    found: by layer, the strongest pictures of its units and what these respond to; empty without pictures. names: of
    the pictures, by their numbers in `found`. left_out: those that could not be read, with the reason. changes: what
    moving, scaling and turning some of the pictures does, films: units through training, and alike: which pictures the
    network finds so, where they were asked for.
    """

    network: str
    page: Path | None
    arrays: Path | None
    looked: str
    pictures: int
    layers: tuple[Layer, ...]
    found: Mapping[str, Found]
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    changes: Changes | None = None
    films: Films | None = None
    alike: Alike | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values: of each layer its counts, and of each unit its strongest pictures and its classes."""
        return {
            "network": self.network,
            "page": None if self.page is None else str(self.page),
            "arrays": None if self.arrays is None else str(self.arrays),
            "looked": self.looked,
            "pictures": self.pictures,
            "left_out": [{"path": name, "reason": reason} for name, reason in self.left_out],
            "notes": list(self.notes),
            "layers": [{**layer.to_json(), "units": self._units(layer.name)} for layer in self.layers],
            **({} if self.changes is None else {"invariance": self.changes.to_json()}),
            **({} if self.films is None else {"through_training": self.films.to_json(self.names)}),
            **({} if self.alike is None else {"feature_space": self.alike.to_json(self.names)}),
        }

    def _units(self, layer: str) -> list[dict[str, Any]]:
        if layer not in self.found:
            return []
        top, units = self.found[layer].top, self.found[layer].units
        return [
            {
                "unit": unit,
                "dead": bool(units.dead[unit]),
                "twin": int(units.twin[unit]) if units.twin[unit] >= 0 else None,
                "fires": float(units.fires[unit]),
                "selectivity": float(units.selectivity[unit]),
                "explained": float(units.explained[unit]),
                "classes": [self.class_names[k] for k in units.classes_of(unit)],
                "top": [
                    {"path": self.names[row], "value": value, "cell": list(cell)} for value, row, cell in top.of(unit)
                ],
            }
            for unit in range(len(units.dead))
        ]


def layer_of(place: Place, fields: Fields, step: tuple[int, int] | None) -> Layer:
    """A place as the result names it, with the fields of its units and the step between these."""
    return Layer(
        name=place.name,
        kind=place.kind,
        shape=place.shape,
        stride=step or (place.stride if place.spatial else None),
        field=fields.size,
    )
