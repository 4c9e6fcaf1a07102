"""The gallery of a network: layers as chapters, units as cells with what excites them. Plain values in, one page out.

A page of 512 units stays under 15 MB and is soon painted: a unit's patches are one picture, and a browser neither
lays out nor decodes a cell that is not on the screen.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from striate.names import visible
from striate.reports import drawing, text, thumbnails
from striate.reports.environment import OPEN_ROWS, environment
from striate.reports.sheets import Sheet, framed, sheet, signed, unsigned

PICTURE_BYTES = 10_500_000  # of all pictures before base64, which adds a third: the page stays under 15 MB
SIDES = ((128, 64), (700, 44))  # up to so many units: pixels of a patch's longer side
SMALLEST_SIDE = 32
MAPS, MAP_COLUMNS = 16, 8
FILTERS, FILTER_COLUMNS = 256, 16
WIDEST = 1024  # of a matrix of weights


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A unit. picture: its strongest patches, and their reconstructions where there are some; None for a unit without.

    classes: those that it answers to most, most first. strongest: the labels (or names) of the pictures, strongest
    first. twin: the unit that says the same. selectivity: in [0, 1], None where it is not told.
    """

    unit: int
    name: str = ""
    picture: Sheet | None = None
    classes: tuple[str, ...] = ()
    strongest: tuple[str, ...] = ()
    selectivity: float | None = None
    fires: float | None = None
    highest: float | None = None
    dead: bool = False
    twin: int | None = None

    @property
    def spoken(self) -> str:
        """For who does not see the picture."""
        counts = {name: self.strongest.count(name) for name in dict.fromkeys(self.strongest)}
        named = ", ".join(f"{name} ({number})" if number > 1 else name for name, number in list(counts.items())[:4])
        more = ", ..." if len(counts) > 4 else ""
        return f"Unit {self.unit}: its strongest pictures are {text.clip(named, 160)}{more}"


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A layer: `facts` are (name, value) in words; `units` of it in all, of which `cells` are shown."""

    layer: str
    kind: str
    facts: tuple[tuple[str, str], ...] = ()
    units: int = 0
    dead: int = 0
    twins: int = 0
    cells: tuple[Cell, ...] = ()
    maps: Sheet | None = None  # the strongest feature maps of one picture


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Weights as a picture, with what it is in a sentence."""

    title: str
    said: str
    picture: Sheet


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one kind of change does to pictures. picture: one of them so changed; amounts: how much, tile by tile."""

    title: str
    picture: Sheet
    amounts: tuple[str, ...]
    charts: tuple[drawing.Chart, ...]


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A unit through training. picture: a column an epoch, the strongest patch above what counts in it. first, last:
    the strongest activations after the first epoch and the last. pictures: how many were the strongest in turn; since:
    the epoch from which on it was the last of them."""

    unit: int
    picture: Sheet
    first: float
    last: float
    pictures: int
    since: int


@dataclass(frozen=True, kw_only=True)
class Filmed:
    """Units of a layer through training."""

    layer: str
    epochs: tuple[int, ...]
    units: tuple[Grown, ...]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """All that the page shows. looked: what was looked at it with, in words; notes: what a reader should know.
    changes: the section on pictures that are moved, scaled and turned; changed: which pictures these are. films: the
    section on units through training. alike: pictures laid out by what the network finds alike; alike_said: how to
    read it."""

    title: str
    network: str
    created: str
    looked: str
    command: str
    notes: tuple[str, ...] = ()
    reconstructed: bool = False
    chapters: tuple[Chapter, ...] = ()
    weights: tuple[Drawn, ...] = ()
    changes: tuple[Change, ...] = ()
    changed: str = ""
    films: tuple[Filmed, ...] = ()
    alike: drawing.Chart | None = None
    alike_said: str = ""
    example: bytes | None = None  # PNG or JPEG
    example_name: str = ""
    layers: tuple[Mapping[str, str], ...] = field(default_factory=tuple)


def side_for(units: int) -> int:
    """Pixels of the longer side of a patch, on a page with so many units."""
    return next((side for most, side in SIDES if units <= most), SMALLEST_SIDE)


def gallery_page(gallery: Gallery) -> str:
    """The gallery as one HTML document, under 15 MB: units beyond that are left away, and the page says how many."""
    left = PICTURE_BYTES - sum(len(one.picture.data) for one in gallery.weights)
    left -= sum(len(one.maps.data) for one in gallery.chapters if one.maps is not None)
    left -= sum(len(one.picture.data) for one in gallery.changes)
    left -= sum(len(one.picture.data) for film in gallery.films for one in film.units)
    left -= 0 if gallery.alike is None else 3 * len(gallery.alike.svg) // 4  # in base64 already
    shown: list[tuple[Chapter, list[Cell], int]] = []
    for chapter in gallery.chapters:
        cells: list[Cell] = []
        for cell in chapter.cells:
            size = 0 if cell.picture is None else len(cell.picture.data)
            if size <= left:
                left -= size
                cells.append(cell)
        shown.append((chapter, cells, chapter.units - len(cells)))
    units = sum(chapter.units for chapter in gallery.chapters)
    return (
        environment()
        .get_template("gallery.html")
        .render(
            gallery=gallery,
            chapters=shown,
            units=units,
            dead=sum(chapter.dead for chapter in gallery.chapters),
            twins=sum(chapter.twins for chapter in gallery.chapters),
            fitted=sum(len(cells) for _, cells, _ in shown),
            lazy=lazy,
            open_rows=OPEN_ROWS,
        )
    )


def lazy(picture: Sheet, alt: str) -> Markup:
    """The `<img>` of a sheet, decoded when it is about to be seen."""
    kind = "webp" if picture.data[8:12] == b"WEBP" else "png"
    code = base64.b64encode(picture.data).decode("ascii")
    squares = Markup(' class="pixel"') if picture.squares else ""
    form = '<img{} loading="lazy" decoding="async" width="{}" height="{}" src="data:image/{};base64,{}" alt="{}">'
    return Markup(form).format(squares, picture.width, picture.height, kind, Markup(code), visible(alt))


def drawn_filters(values: np.ndarray, *, most: int = FILTERS) -> Sheet:
    """Filters or templates (U, h, w, C), C 1 or 3, each scaled by its own greatest weight; grey is zero."""
    tiles = [_whole(signed(one)) for one in values[:most]]
    columns = min(FILTER_COLUMNS, len(tiles))
    return sheet([tiles], side=48, columns=columns, rows=-(-len(tiles) // columns))


def drawn_strength(values: np.ndarray, *, most: int = FILTERS) -> Sheet:
    """Weights on maps (U, h, w), none negative: the more, the brighter."""
    tiles = [_whole(unsigned(one[..., None])) for one in values[:most]]
    columns = min(FILTER_COLUMNS, len(tiles))
    return sheet([tiles], side=48, columns=columns, rows=-(-len(tiles) // columns))


def drawn_matrix(values: np.ndarray) -> Sheet:
    """A matrix of weights (U, D), scaled by its greatest; grey is zero."""
    return sheet([[_whole(signed(values[..., None]))]], side=min(WIDEST, max(320, *values.shape)), columns=1, rows=1)


def drawn_maps(values: np.ndarray) -> Sheet:
    """Feature maps (U, h, w), the first MAPS of them, each from its least value (black) to its greatest (white)."""
    tiles = [_whole(unsigned(one[..., None])) for one in values[:MAPS]]
    columns = min(MAP_COLUMNS, len(tiles))
    return sheet([tiles], side=72, columns=columns, rows=-(-len(tiles) // columns))


def drawn_strip(pictures: Sequence[np.ndarray]) -> Sheet:
    """Pictures (H, W, C) of one size, `uint8`, side by side."""
    return sheet([[_whole(one) for one in pictures]], side=112, columns=len(pictures), rows=1)


def drawn_film(patches: Sequence[np.ndarray], backs: Sequence[np.ndarray], side: int) -> Sheet:
    """Tiles (h, w, 4) of each epoch: the patches in a row, and below them what counts in them."""
    return sheet([[*patches, *backs]], side=side, columns=len(patches), rows=2)


def example_picture(pixels: np.ndarray) -> bytes:
    """A picture (H, W, C) for the page."""
    return thumbnails.thumbnail(pixels, side=192)


def listed(names: Sequence[str], most: int = 3) -> str:
    """ "a, b, c and 4 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {text.count(more)} more" if more > 0 else "")


def _whole(pixels: np.ndarray) -> np.ndarray:
    return framed(pixels, (pixels.shape[0], pixels.shape[1]), (0, 0))
