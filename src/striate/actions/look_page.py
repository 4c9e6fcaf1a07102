"""The page and the arrays of `striate look`, out of what was found; the feature maps of one picture are made here.

Legend: U units, T the strongest pictures of each, K classes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.actions.look_alike import drawn_alike
from striate.actions.look_changes import drawn_changes
from striate.actions.look_data import Looked, blank_picture
from striate.actions.look_films import drawn_films
from striate.actions.look_result import Layer, Look
from striate.actions.look_weights import drawn_weights
from striate.reports import text
from striate.reports.drawing import Chart
from striate.reports.gallery import Cell, Change, Chapter, Filmed, Gallery, drawn_maps, example_picture, gallery_page
from striate.reports.sheets import Sheet

if TYPE_CHECKING:
    import torch

    from striate.models.model import Model
    from striate.taps.fields import Fields
    from striate.views.filters import Weights
    from striate.views.top_index import Found
    from striate.views.units import Units

MADE_BY = "striate look"
MOST_NAMED = 3
SIDE_OF_FILMS = 64  # pixels of a patch


def compose(
    result: Look,
    model: Model,
    looked: Looked | None,
    *,
    every: Sequence[Layer],
    shown: Mapping[str, tuple[int, ...]],
    sheets: Mapping[str, Mapping[int, Sheet]],
    fields: Mapping[str, Fields],
    reconstructed: bool,
    command: str,
    output: str | int | None,
) -> tuple[str, bytes]:
    """The page, and the arrays as NPZ. every: all layers of the network; shown: of each layer, the units
    of the page; fields: by layer, the receptive fields of its units."""
    from striate.views.filters import filters

    weights = filters(model.network, blank_picture(model), output=output)
    chapters: list[Chapter] = []
    changes: tuple[tuple[Change, ...], str] = ((), "")
    films: tuple[Filmed, ...] = ()
    alike: tuple[Chart | None, str] = (None, "")
    example, example_name = None, ""
    if looked is not None:
        row = _first_readable(result, looked)
        (prepared,) = looked.prepared([row]).values()
        example, example_name = example_picture(prepared.permute(1, 2, 0).numpy()), looked.samples.names[row]
        chapters = _chapters(result, model, looked, prepared, shown, sheets, output)
        if result.changes is not None:
            changes = drawn_changes(result.changes, looked)
        if result.films is not None:
            films = drawn_films(result.films, looked, fields, SIDE_OF_FILMS)
        if result.alike is not None:
            alike = drawn_alike(result.alike, looked)
    page = gallery_page(
        Gallery(
            title=result.network,
            network=result.network,
            created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            looked=result.looked,
            command=command,
            notes=result.notes,
            reconstructed=reconstructed,
            chapters=tuple(chapters),
            weights=drawn_weights(weights, model.class_names, model.input_spec.channels),
            changes=changes[0],
            changed=changes[1],
            films=films,
            alike=alike[0],
            alike_said=alike[1],
            example=example,
            example_name=example_name,
            layers=tuple(_row(layer) for layer in every),
        )
    )
    file = io.BytesIO()
    arrays: dict[str, Any] = _arrays(result, weights, fields)
    np.savez_compressed(file, **arrays)
    return page, file.getvalue()


def _first_readable(result: Look, looked: Looked) -> int:
    unread = {row for one in result.found.values() for row, _ in one.left_out}
    return next(row for row in range(len(looked.samples)) if row not in unread)


def _chapters(
    result: Look,
    model: Model,
    looked: Looked,
    prepared: torch.Tensor,
    shown: Mapping[str, tuple[int, ...]],
    sheets: Mapping[str, Mapping[int, Sheet]],
    output: str | int | None,
) -> list[Chapter]:
    from striate.views.feature_maps import feature_maps

    names = [layer.name for layer in result.layers]
    made = []
    for layer, maps in zip(
        result.layers,
        feature_maps(model.network, looked.inputs(prepared[None]), layers=names, output=output),
        strict=True,
    ):
        units = result.found[layer.name].units
        made.append(
            Chapter(
                layer=layer.name,
                kind=layer.kind,
                facts=tuple(_facts(layer, units)),
                units=len(units.dead),
                dead=int(units.dead.sum()),
                twins=int((units.twin >= 0).sum()),
                cells=tuple(_cells(result, model, looked, layer, shown[layer.name], sheets.get(layer.name, {}))),
                maps=drawn_maps(maps.values[0, maps.strongest()].numpy()) if maps.place.spatial else None,
            )
        )
    return made


def _cells(
    result: Look,
    model: Model,
    looked: Looked,
    layer: Layer,
    shown: Sequence[int],
    sheets: Mapping[int, Sheet],
) -> Iterator[Cell]:
    found = result.found[layer.name]
    is_answer = layer is result.layers[-1] and layer.shape == (len(model.class_names),)
    for unit in shown:
        selectivity = float(found.units.selectivity[unit])
        yield Cell(
            unit=unit,
            name=model.class_names[unit] if is_answer else "",
            picture=sheets.get(unit),
            classes=tuple(result.class_names[k] for k in found.units.classes_of(unit, MOST_NAMED)),
            strongest=tuple(looked.label(row) or looked.samples.names[row] for _, row, _ in found.top.of(unit)),
            selectivity=selectivity if np.isfinite(selectivity) else None,
            fires=float(found.units.fires[unit]),
            highest=float(found.units.highest[unit]),
            dead=bool(found.units.dead[unit]),
            twin=int(found.units.twin[unit]) if found.units.twin[unit] >= 0 else None,
        )


def _facts(layer: Layer, units: Units) -> Iterator[tuple[str, str]]:
    yield "kind", layer.kind
    yield "shape", _shape_words(layer.shape)
    if layer.stride is not None:
        yield "a unit every", f"{_by(layer.stride)} pixels"
    yield "a unit sees", f"{_by(layer.field)} pixels"
    yield "units", text.count(len(units.dead))
    yield "dead", text.count(int(units.dead.sum()))
    yield "twins", text.count(int((units.twin >= 0).sum()))
    yield "fire in", text.percent(float(np.mean(units.fires)), 0)
    told = units.selectivity[np.isfinite(units.selectivity)]
    if len(told):
        yield "selectivity, median", text.decimal(float(np.median(told)), 2)
    told = units.explained[np.isfinite(units.explained)]
    if len(told):
        yield "explained by class, median", text.percent(float(np.median(told)), 0)


def _row(layer: Layer) -> dict[str, str]:
    return {
        "layer": layer.name,
        "kind": layer.kind,
        "shape": _shape_words(layer.shape),
        "stride": "" if layer.stride is None else _by(layer.stride),
        "sees": _by(layer.field),
    }


def _by(pair: tuple[float, float]) -> str:
    return " x ".join(f"{round(length, 2):g}" for length in pair)


def _shape_words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _arrays(result: Look, weights: Sequence[Weights], fields: Mapping[str, Fields]) -> dict[str, np.ndarray]:
    """By name: "<layer>/values", "/rows", "/cells", "/patches" (U, T, 4: top, left, bottom, right), what its units
    respond to; "weights/<layer>"; "names" of the pictures."""
    arrays: dict[str, np.ndarray] = {
        "made_by": np.array(MADE_BY),
        "names": np.array([_text(name) for name in result.names], dtype=np.str_),
        "class_names": np.array([_text(name) for name in result.class_names], dtype=np.str_),
        "layers": np.array([layer.name for layer in result.layers], dtype=np.str_),
    }
    for name, found in result.found.items():
        arrays |= {f"{name}/{part}": array for part, array in _of_layer(found, fields[name]).items()}
    for more in (result.changes, result.films, result.alike):
        arrays |= {} if more is None else more.arrays()
    return arrays | {f"weights/{one.layer}": one.values.numpy() for one in weights if one.kind != "matrix"}


def _of_layer(found: Found, fields: Fields) -> dict[str, np.ndarray]:
    top, units = found.top, found.units
    patches = np.full((*top.rows.shape, 4), -1, dtype=np.int64)
    for unit, number in np.argwhere(top.rows >= 0):
        patches[unit, number] = fields.at(*(int(one) for one in top.cells[unit, number]))
    return {
        "values": top.values,
        "rows": top.rows,
        "cells": top.cells,
        "patches": patches,
        **{name: value for name, value in vars(units).items() if isinstance(value, np.ndarray)},
    }


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
