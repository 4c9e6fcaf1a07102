"""Why a network answered so, for one picture, on one page.

Plain values in, one HTML document out, as in `pages.py`. Legend: H W pixels of what the network saw.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.reports import colours, thumbnails
from striate.reports.environment import environment
from striate.reports.training_report import Neighbour

if TYPE_CHECKING:
    from PIL import Image

LEAST_SIDE = 256  # smaller pictures are drawn with whole squares for pixels, at least this large
SQUARE_COLOUR = (255, 255, 255)
ON_THE_PAGE = 448  # longest side of a picture on the page; the files beside it are as the network saw it
WORTH = 1.25  # a picture without loss may be so much larger than a JPEG of it


@dataclass(frozen=True, kw_only=True)
class Share:
    """A class in the list of answers. `role`: "its answer", "the label", "asked for", or "" for the others."""

    name: str
    probability: float
    role: str = ""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The map of one class: over the picture and alone, as PNG."""

    class_name: str
    over: bytes
    alone: bytes


@dataclass(frozen=True, kw_only=True)
class Fared:
    """How a map fared when pixels were taken away and put back in its order: areas under the curves of probability, all
    in [0, 1], beside those of random maps. `sentence` tells it; `verdict`: "well", "half" or "ill"."""

    deletion: float
    insertion: float
    random_deletion: tuple[float, ...]
    random_insertion: tuple[float, ...]
    sentence: str
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way of making maps, and what it made: one `Drawn` for each class of the page. `fared` is of the first class.
    settings: what it was asked with, in words."""

    name: str
    title: str
    answers: str
    misleads: str
    cost: str
    paper: str
    layer: str | None
    settings: str
    seconds: float
    is_signed: bool
    drawn: tuple[Drawn, ...]
    fared: Fared | None = None


@dataclass(frozen=True, kw_only=True)
class Turning:
    """The smallest square that turns the answer: the picture with it (PNG), and a sentence. Without a picture there
    is none: the sentence says how far was looked."""

    picture: bytes | None
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a mistake: a class, and the training pictures of it that are nearest to the picture."""

    class_name: str
    role: str
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, kw_only=True)
class ExplanationPage:
    """All that the page shows. frame: (left, top, width, height) of what the network saw, as shares of the whole
    picture, None where it saw all of it. labelled: what the label says of the answer, "" where it is not known.
    classes: those that the maps are of. reasons: why it may have gone wrong, for a mistake alone."""

    title: str
    network: str
    created: str
    command: str
    seen: bytes
    seen_words: str
    whole: bytes | None
    frame: tuple[float, float, float, float] | None
    answer: Share
    label: str | None
    labelled: str
    shares: tuple[Share, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    methods: tuple[Method, ...]
    left_out: Sequence[tuple[str, str]] = ()
    occlusion: Method | None = None
    turning: Turning | None = None
    reasons: tuple[str, ...] = ()
    sides: tuple[Side, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[tuple[str, str]] = ()

    @property
    def mistaken(self) -> bool:
        """Whether the label is known and is another than the answer."""
        return self.label is not None and self.label != self.answer.name

    @property
    def all_methods(self) -> tuple[Method, ...]:
        """Occlusion among them, in the order of the page."""
        return self.methods + (() if self.occlusion is None else (self.occlusion,))


def explanation_page(page: ExplanationPage) -> str:
    """The page as one HTML document. Raises ValueError where a picture is neither PNG nor JPEG."""
    kinds = {one.is_signed for one in page.all_methods}
    return (
        environment()
        .get_template("explanation.html")
        .render(
            page=page,
            strips={kind: png(colours.scale_strip(kind)) for kind in sorted(kinds)},
            judged=[one for one in page.all_methods if one.fared is not None],
        )
    )


def enlarged(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C), small ones with every pixel repeated, so that the longer side has at least `LEAST_SIDE` pixels."""
    times = -(-LEAST_SIDE // max(pixels.shape[:2]))
    if times <= 1 or max(pixels.shape[:2]) >= LEAST_SIDE // 2:
        return pixels
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def png(pixels: np.ndarray) -> bytes:
    """A picture (H, W), (H, W, 1) or (H, W, 3) `uint8` as a PNG file."""
    file = io.BytesIO()
    # Level 6, Pillow's own, takes three times as long for a tenth of the size.
    _image(pixels).save(file, "PNG", compress_level=3)
    return file.getvalue()


def on_page(pixels: np.ndarray, beside: bytes) -> bytes:
    """A picture for the page, whose file `beside` it is `png(pixels)`: that, or a JPEG where it is much smaller."""
    if max(pixels.shape[:2]) > ON_THE_PAGE:
        return thumbnails.thumbnail(pixels, side=ON_THE_PAGE)
    jpeg = thumbnails.as_jpeg(_image(pixels))
    return beside if len(beside) <= WORTH * len(jpeg) else jpeg


def _image(pixels: np.ndarray) -> Image.Image:
    from PIL import Image

    plain = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    return Image.fromarray(np.ascontiguousarray(plain))


def draw_square(pixels: np.ndarray, box: tuple[int, int, int, int], fill: Sequence[int] | np.ndarray) -> np.ndarray:
    """The picture (H, W, C) `uint8` with a square (top, left, bottom, right) filled and a line around it, as
    (H, W, 3) where C is 3 or 1. For small pictures it is enlarged first, as everywhere on the page."""
    coloured = pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)
    times = enlarged(coloured).shape[0] // coloured.shape[0]
    drawn = enlarged(coloured).copy()
    top, left, bottom, right = (times * side for side in box)
    drawn[top:bottom, left:right] = np.asarray(fill, dtype=np.uint8)
    line = max(1, max(drawn.shape[:2]) // 128)
    for inset, colour in ((0, (0, 0, 0)), (line, SQUARE_COLOUR)):
        upper, lower, start, end = top + inset, bottom - inset, left + inset, right - inset
        drawn[upper : upper + line, start:end] = colour
        drawn[lower - line : lower, start:end] = colour
        drawn[upper:lower, start : start + line] = colour
        drawn[upper:lower, end - line : end] = colour
    return drawn
