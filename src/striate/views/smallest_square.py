"""The smallest square that turns the answer when it covers a part of the picture. (C, H, W) -> where, and to what.

Occlusion (Zeiler and Fergus 2014, section 4.2) asked the other way round: how little must be hidden for another answer.
Sizes are tried from large to small, each at its own places, and the first size at which no place turns the answer ends
it: so it is the smallest of the given sizes for which it and every larger one turn the answer.
Limits: places are on a grid (`PLACES` along a side at most), so a smaller square at a place in between may do it too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import require
from striate.machine.precision import pick_precision
from striate.taps.outputs import scores
from striate.taps.unchanged import unchanged
from striate.views.maps import as_classes, require_pictures
from striate.views.sliding import Answers, Fill, Sliding, Squares, blocks_of, covering, squares_in

# Along a side; with more it takes longer than a person waits.
PLACES = 24
STRIDE_SHARE = 4
# Of the shorter side of the picture.
SHARES = (0.75, 0.6, 0.5, 0.4, 0.33, 0.27, 0.22, 0.18, 0.14, 0.11, 0.09, 0.07, 0.05, 0.035)


@dataclass(frozen=True, kw_only=True)
class SmallestSquare:
    """A square of `size` pixels at `top`, `left` turns the answer from `before` to `after`, both numbers of classes.

    probability: of `before` in the whole picture and with the square over it. after_probability: of `after` with it.
    There may be more places at which such a square turns it: the search ends with the first block that has one.
    how: as in `Occlusion`.
    """

    size: int
    top: int
    left: int
    before: int
    after: int
    probability: tuple[float, float]
    after_probability: float
    how: str


def smallest_square(
    network: nn.Module,
    picture: Tensor,
    label: int | None = None,
    sizes: Sequence[int] | None = None,
    *,
    fill: Fill = 0.0,
    output: str | int | None = None,
    precision: str = "float32",
) -> SmallestSquare | None:
    """The smallest square, of `sizes` in pixels, that turns the answer for `picture` (C, H, W) or (1, C, H, W).

    label: the class that the answer is turned to; None for any other than the most probable one.
    None where the largest square does not turn the answer, or where it is `label` to begin with.
    Raises InputError as `occlusion` does.
    """
    pictures = picture if picture.ndim == 4 else picture[None]
    require_pictures(pictures)
    require(len(pictures) == 1, f"the smallest square is found for one picture at a time, got {len(pictures)}")
    height, width = pictures.shape[2:]
    tried = sorted(set(_sizes(min(height, width)) if sizes is None else sizes), reverse=True)
    require(len(tried) > 0, "no size of the square was given")
    grids = [squares_in(height, width, size, _stride(max(height, width), size)) for size in tried]
    precision = pick_precision(precision, pictures.device.type)[0]
    cover = covering(pictures, fill)
    best: SmallestSquare | None = None
    with unchanged(network) as bare, torch.no_grad():
        clean = scores(bare, pictures, output)
        before = int(as_classes(None, clean)[0, 0])
        wanted = None if label is None else int(as_classes(label, clean)[0, 0])
        if wanted == before:
            return None
        probability = float(clean[0].softmax(0)[before])
        sliding = Sliding(bare, output=output, precision=precision, incremental=True, watched=None)
        for squares in grids:
            found = _turning(sliding, pictures, cover, squares, before, wanted, probability, best)
            if found is None:
                break
            best = found
    return best


def _sizes(side: int) -> list[int]:
    return [max(1, round(share * side)) for share in SHARES]


def _stride(side: int, size: int) -> int:
    return max(1, size // STRIDE_SHARE, math.ceil((side - size) / (PLACES - 1)))


def _turning(
    sliding: Sliding,
    picture: Tensor,
    cover: Tensor,
    squares: Squares,
    before: int,
    wanted: int | None,
    probability: float,
    larger: SmallestSquare | None,
) -> SmallestSquare | None:
    """The best place of the first block that turns the answer, beginning with what the larger square covered."""
    blocks = blocks_of(squares, picture.shape[2] * picture.shape[3])
    if larger is not None:
        row, column = larger.top + larger.size / 2, larger.left + larger.size / 2
        blocks.sort(key=lambda block: _distance(squares, (block.rows, block.columns), row, column))
    for answers in sliding.answers(picture, cover, squares, blocks):
        found = _best(answers, squares, before, wanted, probability, sliding.how)
        if found is not None:
            return found
    return None


def _distance(squares: Squares, places: tuple[slice, slice], row: float, column: float) -> float:
    """Between a point and the nearest middle of a square of these places, in pixels, squared."""
    half = squares.size / 2
    down = min(abs(top + half - row) for top in squares.tops[places[0]])
    across = min(abs(left + half - column) for left in squares.lefts[places[1]])
    return down * down + across * across


def _best(
    answers: Answers, squares: Squares, before: int, wanted: int | None, probability: float, how: str
) -> SmallestSquare | None:
    likely = answers.scores.softmax(2)
    after = answers.scores.argmax(2)
    turned = after != before if wanted is None else after == wanted
    if not turned.any():
        return None
    left_over = likely[..., before].masked_fill(~turned, torch.inf)
    row, column = divmod(int(left_over.argmin()), left_over.shape[1])
    return SmallestSquare(
        size=squares.size,
        top=squares.tops[answers.block.rows][row],
        left=squares.lefts[answers.block.columns][column],
        before=before,
        after=int(after[row, column]),
        probability=(probability, float(likely[row, column, before])),
        after_probability=float(likely[row, column, after[row, column]]),
        how=how,
    )
