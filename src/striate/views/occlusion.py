"""Occlusion: what the answer becomes as a square slides over the picture. (B, C, H, W) -> (B, K, rows, columns).

Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2 and figure 7: for every
place of the square the probability of a class, the most probable class, and the activity of the strongest feature map
of a layer. Exact: `incremental=False` computes every covered picture as a whole, and gives the same to 1e-5.
Limits: of two things of which either is enough, covering one changes nothing. A covered picture is one that the network
never saw, and the edges of the square can be taken for something.

Legend: B pictures, K classes asked for, N scores of the network, C channels, H W pixels; rows x columns of places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from striate.errors import InputError, require, unknown
from striate.machine.precision import autocast, pick_precision
from striate.taps.outputs import scores
from striate.taps.places import Place, as_maps, find_places, place_named
from striate.taps.unchanged import unchanged
from striate.taps.watching import watching
from striate.views.maps import Classes, Maps, as_classes, require_pictures
from striate.views.sliding import Fill, Sliding, Squares, Watched, covering, squares_in

Measure = Literal["sum", "max"]
MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda maps: maps.sum((-2, -1)),
    "max": lambda maps: maps.amax((-2, -1)),
}
# A seventh of the shorter side, moved by a quarter of itself: 32 and 8 pixels at 224, 625 places.
SIDE_SHARE, STRIDE_SHARE = 7, 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """The strongest feature map of `layer` in each picture: its number, and how active it is.

    unit (B,) int64; clean (B,): in the picture as it is; covered (B, rows, columns): as the square slides. `measure`:
    "sum" over the map, or its "max".
    """

    layer: str
    measure: str
    unit: Tensor
    clean: Tensor
    covered: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Occlusion:
    """What a square changes, for all of its places; float32 tensors on the CPU.

    probability, score: (B, K, rows, columns), of `classes` (B, K), where the square covers the picture; score is what
        the network gives, before softmax. clean_probability, clean_score: (B, K), of the picture as it is.
    most_probable: (B, rows, columns) int64. squares: `tops` of the rows and `lefts` of the columns, in pixels.
    how: "incremental", or "whole, because ..."
    """

    classes: Tensor
    probability: Tensor
    score: Tensor
    clean_probability: Tensor
    clean_score: Tensor
    most_probable: Tensor
    activity: Activity | None
    squares: Squares
    picture_size: tuple[int, int]
    how: str

    def drop(self) -> Tensor:
        """By how much the probability falls, (B, K, rows, columns); negative where it rises."""
        return self.clean_probability[..., None, None] - self.probability

    def maps(self) -> Maps:
        """For each pixel the mean drop of probability over the squares that cover it, in [-1, 1]; 0 where none does."""
        drop = self.drop()
        return Maps(
            method="occlusion",
            layer=None,
            values=over_pixels(drop, self.squares, self.picture_size),
            small=drop,
            classes=self.classes,
            scores=self.clean_score,
        )


def over_pixels(values: Tensor, squares: Squares, picture_size: tuple[int, int]) -> Tensor:
    """Of places (B, K, rows, columns) -> of pixels (B, K, H, W): the mean over the squares that cover it."""

    def covers(edges: tuple[int, ...], length: int) -> Tensor:
        pixels, first = torch.arange(length), torch.tensor(edges)[:, None]
        return ((pixels >= first) & (pixels < first + squares.size)).to(values)

    rows, columns = covers(squares.tops, picture_size[0]), covers(squares.lefts, picture_size[1])
    count = rows.sum(0)[:, None] * columns.sum(0)
    return rows.T @ values @ columns / count.clamp(min=1)


def occlusion(
    network: nn.Module,
    pictures: Tensor,
    classes: Classes = None,
    *,
    size: int | None = None,
    stride: int | None = None,
    fill: Fill = 0.0,
    layer: str | None = None,
    measure: Measure = "sum",
    output: str | int | None = None,
    precision: str = "float32",
    incremental: bool = True,
) -> Occlusion:
    """Slide a square over `pictures` (B, C, H, W), as the network takes them.

    classes: see `as_classes`; None is the most probable one. size, stride: pixels; without them a seventh of the
    shorter side of the picture, and a quarter of the square. fill: what the square shows, see `covering`. layer: the
    place whose strongest feature map is followed. precision: "float32", or "bfloat16", which is faster and rounds to
    three digits. incremental: whether only what the square can change is computed; the result is the same.

    Raises InputError: a square of size zero or larger than the picture, a stride of zero, a class, a layer or an output
    that the network does not have, a layer without a map.
    """
    require_pictures(pictures)
    squares = _squares(pictures, size, stride)
    if measure not in MEASURES:
        raise unknown("measure", str(measure), MEASURES)
    precision = pick_precision(precision, pictures.device.type)[0]
    covers = covering(pictures, fill)
    place = None if layer is None else _place(network, pictures, layer, output)
    with unchanged(network) as bare, torch.no_grad():
        with autocast(precision, pictures.device.type):
            clean, units, active = _clean(bare, pictures, output, place, measure)
        meant = as_classes(classes, clean)
        found: list[tuple[Tensor, Tensor | None]] = []
        sliding = None
        for row in range(len(pictures)):
            watched = Watched(place=place, unit=int(units[row]), measure=MEASURES[measure]) if place else None
            if sliding is None:
                sliding = Sliding(bare, output=output, precision=precision, incremental=incremental, watched=watched)
            sliding.watched = watched
            found.append(_slide(sliding, pictures[row : row + 1], covers[row : row + 1], squares, clean.shape[1]))
    assert sliding is not None
    covered = torch.stack([scored for scored, _ in found])  # (B, rows, columns, N)
    activity = [one for _, one in found if one is not None]
    meant = meant.cpu()
    clean_score = clean.float().cpu()

    def of_classes(values: Tensor) -> Tensor:
        chosen = meant[:, None, None, :].expand(*values.shape[:3], -1)
        return values.gather(3, chosen).permute(0, 3, 1, 2).contiguous()

    return Occlusion(
        classes=meant,
        probability=of_classes(covered.softmax(3)),
        score=of_classes(covered),
        clean_probability=clean_score.softmax(1).gather(1, meant),
        clean_score=clean_score.gather(1, meant),
        most_probable=covered.argmax(3),
        activity=Activity(layer=place.name, measure=measure, unit=units, clean=active, covered=torch.stack(activity))
        if place is not None
        else None,
        squares=squares,
        picture_size=(pictures.shape[2], pictures.shape[3]),
        how=sliding.how,
    )


def occlusion_map(
    network: nn.Module,
    pictures: Tensor,
    classes: Classes = None,
    *,
    layer: str | None = None,
    output: str | int | None = None,
    size: int | None = None,
    stride: int | None = None,
    fill: Fill = 0.0,
    precision: str = "float32",
) -> Maps:
    """`occlusion(...).maps()`: at each pixel the mean drop of probability over the squares that cover it.

    Raises InputError as `occlusion` does, and for a layer: occlusion looks at pictures.
    """
    require(layer is None, f"occlusion looks at the picture and at no layer; leave layer='{layer}' out")
    return occlusion(
        network, pictures, classes, output=output, size=size, stride=stride, fill=fill, precision=precision
    ).maps()


def _squares(pictures: Tensor, size: int | None, stride: int | None) -> Squares:
    height, width = pictures.shape[2:]
    size = max(1, min(height, width) // SIDE_SHARE) if size is None else size
    return squares_in(height, width, size, max(1, size // STRIDE_SHARE) if stride is None else stride)


def _place(network: nn.Module, pictures: Tensor, layer: str, output: str | int | None) -> Place:
    place = place_named(find_places(network, pictures, output=output), layer)
    if not place.spatial:
        raise InputError(f"'{layer}' ({place.kind}) has no feature maps of more than one cell; name a layer before it")
    return place


def _clean(
    network: nn.Module, pictures: Tensor, output: str | int | None, place: Place | None, measure: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (B, N) of the pictures as they are; the most active unit of the place in each, and how active it is."""
    names = [] if place is None else [place.name]
    with watching(network, names) as seen:
        found = scores(network, pictures, output)
    if place is None:
        nothing = torch.empty(0)
        return found, nothing.long(), nothing
    active, units = MEASURES[measure](as_maps(place, seen[place.name]).float()).max(1)
    return found, units.cpu(), active.cpu()


def _slide(
    sliding: Sliding, picture: Tensor, cover: Tensor, squares: Squares, outputs: int
) -> tuple[Tensor, Tensor | None]:
    """Scores (rows, columns, N) and activity (rows, columns) of one picture."""
    places = (len(squares.tops), len(squares.lefts))
    covered = torch.empty(*places, outputs)
    activity = None if sliding.watched is None else torch.empty(places)
    for answers in sliding.answers(picture, cover, squares):
        covered[answers.block.rows, answers.block.columns] = answers.scores
        if activity is not None and answers.activity is not None:
            activity[answers.block.rows, answers.block.columns] = answers.activity
    return covered, activity
