"""Many small pictures in one: what a unit sees, side by side, as one encoded picture of a page.

One file a unit and not one a patch: 512 units have nine patches and nine reconstructions each, and a page with ten
thousand pictures takes a browser seconds. Small patches are enlarged by whole factors, so that their pixels stay
squares and pack without loss; large ones are reduced. Between the tiles nothing is drawn: the page shows through.

Legend: h w pixels of a tile, C channels (1 grey, 3 colour).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, features

COLUMNS = 3
GAP = 2  # between tiles
BETWEEN = 10  # between blocks
QUALITY = 74


@dataclass(frozen=True)
class Sheet:
    """An encoded picture (WebP; PNG where Pillow has none), its size, and whether its pixels are squares."""

    data: bytes
    width: int
    height: int
    squares: bool = False


def signed(values: np.ndarray, share: float = 1.0) -> np.ndarray:
    """(h, w, C) numbers -> `uint8`: zero is the grey in the middle, the greatest distance from it is black or white.

    share: of the numbers other than zero, those that are told apart; the rest, which are farther away, are all black or
    white. A few pixels would else leave the others grey.
    """
    distances = np.abs(values[values != 0])
    most = float(np.quantile(distances, share)) if distances.size else 1.0
    return np.rint(np.clip(127.5 + 127.5 * values / most, 0, 255)).astype(np.uint8)


def unsigned(values: np.ndarray) -> np.ndarray:
    """(h, w, C) numbers -> `uint8`: the least is black, the greatest white; all black where they are equal."""
    least, most = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    return np.rint(255 * (values - least) / ((most - least) or 1.0)).astype(np.uint8)


def framed(patch: np.ndarray, size: tuple[int, int], corner: tuple[int, int]) -> np.ndarray:
    """A patch (h, w, C) `uint8` at its place (row, column) in a tile of this size (height, width), the rest clear.

    A patch at the border of a picture is cut off there; so it keeps its place beside the others. -> (h, w, 4).
    """
    tile = np.zeros((*size, 4), dtype=np.uint8)
    height, width = patch.shape[:2]
    part = tile[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
    part[..., :3] = patch if patch.shape[2] == 3 else patch[..., :1]
    part[..., 3] = 255
    return tile


def sheet(blocks: Sequence[Sequence[np.ndarray]], *, side: int, columns: int = COLUMNS, rows: int = COLUMNS) -> Sheet:
    """Blocks of tiles (h, w, 4), all of one size, side by side, each `columns` wide; missing tiles stay clear.

    side: pixels of the longer side of a tile, about; a small one is enlarged by a whole factor.
    """
    first = next((tile for block in blocks for tile in block), None)
    if first is None:
        raise ValueError("a sheet needs at least one tile")
    longer = max(first.shape[:2])
    factor = max(1, side // longer)
    reduced = longer > side
    size = tuple(max(1, round(length * side / longer)) if reduced else length * factor for length in first.shape[:2])
    block_width = columns * size[1] + (columns - 1) * GAP
    width = len(blocks) * block_width + (len(blocks) - 1) * BETWEEN
    height = rows * size[0] + (rows - 1) * GAP
    canvas = np.zeros((height, width, 4), dtype=np.uint8)
    for number, block in enumerate(blocks):
        left = number * (block_width + BETWEEN)
        for position, tile in enumerate(block[: rows * columns]):
            row, column = divmod(position, columns)
            top, at = row * (size[0] + GAP), left + column * (size[1] + GAP)
            canvas[top : top + size[0], at : at + size[1]] = _sized(tile, (size[0], size[1]), factor, reduced)
    return Sheet(_encoded(canvas, lossless=not reduced), width, height, squares=not reduced)


def _sized(tile: np.ndarray, size: tuple[int, int], factor: int, reduced: bool) -> np.ndarray:
    if not reduced:
        return np.repeat(np.repeat(tile, factor, axis=0), factor, axis=1)
    return np.asarray(Image.fromarray(tile).resize((size[1], size[0]), Image.Resampling.LANCZOS, reducing_gap=3.0))


def _encoded(canvas: np.ndarray, *, lossless: bool) -> bytes:
    picture, file = Image.fromarray(canvas), io.BytesIO()
    if features.check("webp"):
        picture.save(file, "WEBP", lossless=lossless, quality=QUALITY, method=4)
    else:
        picture.save(file, "PNG", optimize=True)
    return file.getvalue()
