"""The cells of the gallery: of each unit the patches of its strongest pictures beside their reconstructions, drawn.

What was drawn is kept with the index, so that the second look draws nothing.

Legend: U units, T the strongest pictures of each, C channels, H W pixels of the network's input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.actions.look_data import Looked, blank_picture, shape_of
from striate.observer import Observer
from striate.reports.sheets import BETWEEN, GAP, QUALITY, Sheet, framed, sheet, signed
from striate.taps.fields import Fields
from striate.views.deconvnet import Deconvnet, deconvnet
from striate.views.top_index import Index, keep_arrays, read_arrays
from striate.views.top_patches import Top

TOLD_APART = 0.98  # of what a reconstruction is made of, see `reports.sheets.signed`
BYTES_AT_ONCE = 1 << 28  # of prepared pictures that are in memory at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """Units of one layer that are to be drawn."""

    layer: str
    units: tuple[int, ...]
    top: Top
    fields: Fields


def draw(
    looked: Looked,
    wanted: Sequence[Wanted],
    *,
    side: int,
    reconstructed: bool,
    index: Index | None,
    output: str | int | None = None,
) -> dict[str, dict[int, Sheet]]:
    """By layer and unit the drawn cell; none for a unit without pictures. side: see `reports.sheets.sheet`.

    reconstructed: with what the deconvnet makes of the patches beside them. Raises InputError where a picture cannot be
    read any more.
    """
    observer = looked.observer
    style = f"{side} {reconstructed} {QUALITY} {GAP} {BETWEEN} {TOLD_APART}"
    found = {one.layer: _kept(index, one.layer, style, observer) for one in wanted}
    missing = [
        (one, unit)
        for one in wanted
        for unit in one.units
        if unit not in found[one.layer] and len(one.top.of(unit)) > 0
    ]
    done = 0
    ways: dict[str, Deconvnet] = {}
    for part in _parts(looked, missing):
        prepared = looked.prepared([row for one, unit in part for _, row, _ in one.top.of(unit)])
        for one, units in _by_layer(part):
            if reconstructed and one.layer not in ways:
                blank = blank_picture(looked.model)
                network = looked.model.network
                ways[one.layer] = deconvnet(network, blank, one.layer, fields=one.fields, output=output)
            found[one.layer].update(_drawn(looked, one, units, prepared, side, ways.get(one.layer)))
            done += len(units)
            observer.progress("drawing units", done, len(missing))
    if index is not None:
        for layer in {one.layer for one, _ in missing}:
            _keep(index, layer, style, found[layer], observer)
    return {
        one.layer: {unit: found[one.layer][unit] for unit in one.units if unit in found[one.layer]} for one in wanted
    }


def _drawn(
    looked: Looked,
    one: Wanted,
    units: Sequence[int],
    prepared: dict[int, Tensor],
    side: int,
    way: Deconvnet | None,
) -> dict[int, Sheet]:
    asked = [(unit, row, cell) for unit in units for _, row, cell in one.top.of(unit)]
    patches: dict[int, list[np.ndarray]] = {unit: [] for unit in units}
    for unit, row, cell in asked:
        patches[unit].append(cut(as_pixels(prepared[row]), one.fields, cell))
    blocks = {unit: [patches[unit]] for unit in units}
    if way is not None:
        pictures = looked.inputs(torch.stack([prepared[row] for _, row, _ in asked]))
        made = way.reconstructions(pictures, [unit for unit, _, _ in asked], [cell for _, _, cell in asked])
        backs: dict[int, list[np.ndarray]] = {unit: [] for unit in units}
        for (unit, _, cell), values in zip(asked, made.permute(0, 2, 3, 1).numpy(), strict=True):
            backs[unit].append(cut(values, one.fields, cell, as_signed=True))
        for unit in units:
            blocks[unit].append(backs[unit])
    return {unit: sheet(blocks[unit], side=side) for unit in units}


def cut(picture: np.ndarray, fields: Fields, cell: tuple[int, int], *, as_signed: bool = False) -> np.ndarray:
    """What a unit at `cell` sees of a picture (H, W, C), as a tile of the layer's largest field, (h, w, 4) `uint8`.

    A field that the border of the picture cuts off stands at that side of its tile. as_signed: numbers around zero,
    scaled by what is seen of them.
    """
    return cut_box(picture, fields.at(*cell), fields.size, as_signed=as_signed)


def cut_box(
    picture: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int], *, as_signed: bool = False
) -> np.ndarray:
    """The same of a box (top, left, bottom, right) of a picture, in a tile of `size`."""
    top, left, bottom, right = box
    seen = picture[top:bottom, left:right]
    corner = (
        size[0] - (bottom - top) if top == 0 and bottom < picture.shape[0] else 0,
        size[1] - (right - left) if left == 0 and right < picture.shape[1] else 0,
    )
    return framed(signed(seen, TOLD_APART) if as_signed else seen, size, corner)


def as_pixels(prepared: Tensor) -> np.ndarray:
    """(C, H, W) of any type in [0, 255] -> (H, W, C) `uint8`."""
    values = prepared.permute(1, 2, 0).numpy()
    return values if values.dtype == np.uint8 else np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _parts(looked: Looked, missing: Sequence[tuple[Wanted, int]]) -> Iterator[list[tuple[Wanted, int]]]:
    """In the order given, as many at a time as have pictures that memory takes."""
    each = 4 * math.prod(shape_of(looked.model))
    part: list[tuple[Wanted, int]] = []
    rows: set[int] = set()
    for one, unit in missing:
        more = {row for _, row, _ in one.top.of(unit)}
        if part and len(rows | more) * each > BYTES_AT_ONCE:
            yield part
            part, rows = [], set()
        part.append((one, unit))
        rows |= more
    if part:
        yield part


def _by_layer(part: Sequence[tuple[Wanted, int]]) -> Iterator[tuple[Wanted, list[int]]]:
    """A few units of one layer at a time: their reconstructions are in memory together."""
    few: list[int] = []
    for position, (one, unit) in enumerate(part):
        few.append(unit)
        last = position + 1 == len(part) or part[position + 1][0] is not one
        if last or len(few) == 16:
            yield one, few
            few = []


def _kept(index: Index | None, layer: str, style: str, observer: Observer) -> dict[int, Sheet]:
    arrays = None if index is None else read_arrays(index.place(f"{layer}\n{style}"), observer)
    if arrays is None:
        return {}
    ends = np.cumsum(arrays["lengths"])
    return {
        int(unit): Sheet(arrays["data"][end - length : end].tobytes(), int(width), int(height), bool(squares))
        for unit, length, end, (width, height, squares) in zip(
            arrays["units"], arrays["lengths"], ends, arrays["sizes"], strict=True
        )
    }


def _keep(index: Index, layer: str, style: str, sheets: dict[int, Sheet], observer: Observer) -> None:
    units = sorted(sheets)
    kept = [sheets[unit] for unit in units]
    arrays: dict[str, np.ndarray] = {
        "units": np.array(units, dtype=np.int64),
        "lengths": np.array([len(one.data) for one in kept], dtype=np.int64),
        "sizes": np.array([(one.width, one.height, one.squares) for one in kept], dtype=np.int64).reshape(-1, 3),
        "data": np.frombuffer(b"".join(one.data for one in kept), dtype=np.uint8),
    }
    keep_arrays(index.place(f"{layer}\n{style}"), arrays, observer)
