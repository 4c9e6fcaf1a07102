"""A square that slides over a picture: where it stands, what covers the picture there, and what a network answers.

`Sliding` answers block by block, of some rows and columns of places each, and says how it did (`how`): incrementally
(`views/incremental`), or by whole pictures, the plain way, which any network takes.

Legend: B pictures, C channels, H W pixels, N scores; a block has r rows and c columns of places, n = r c.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from striate.errors import InputError, require
from striate.machine.memory import give_back_memory, is_out_of_memory
from striate.machine.precision import autocast
from striate.taps.multiply_adds import multiply_adds
from striate.taps.outputs import scores
from striate.taps.places import Place, as_maps
from striate.taps.watching import watching
from striate.views.incremental import spans
from striate.views.incremental.patches import patches_of, unit_maps
from striate.views.incremental.work import Memo, Work

Fill = float | str | Tensor
MEAN = "mean"
INCREMENTAL = "incremental"
# Places at once: as many as keep a processor's arithmetic busy, and no more pixels than fit into its caches and memory.
MOST_PLACES = 36
PIXELS_AT_ONCE = 64 * 224 * 224
FORMATS = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# Of less of the arithmetic before the first layer that needs whole maps, patches are not worth their while.
LEAST_LOCAL = 0.5


@dataclass(frozen=True, kw_only=True)
class Squares:
    """The places of a square of `size` pixels: all pairs of a top and a left edge, in pixels."""

    size: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """Some rows and columns of the places."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """How many."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def halves(self) -> tuple[Block, Block]:
        """Two blocks of at least one place, of a block of at least two."""
        rows, columns = self.shape
        if rows >= columns:
            middle = self.rows.start + rows // 2
            return (
                Block(slice(self.rows.start, middle), self.columns),
                Block(slice(middle, self.rows.stop), self.columns),
            )
        middle = self.columns.start + columns // 2
        return (
            Block(self.rows, slice(self.columns.start, middle)),
            Block(self.rows, slice(middle, self.columns.stop)),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """For the places of a block: `scores` (r, c, N), and `activity` (r, c) of the unit that is watched, or None."""

    block: Block
    scores: Tensor
    activity: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A unit of a place, and how much of its map (n, h, w) counts: (n,)."""

    place: Place
    unit: int
    measure: Callable[[Tensor], Tensor]

    def of(self, given: Tensor) -> Tensor:
        """Its activity in what the place gave."""
        return self.measure(unit_maps(as_maps(self.place, given), self.unit).float())


def squares_in(height: int, width: int, size: int, stride: int) -> Squares:
    """Squares every `stride` pixels from the upper left corner on, and the last ones flush with the other edges.

    Raises InputError for a size or a stride below one, and for a picture that is smaller than the square.
    """
    require(size >= 1, f"the square must have a size of at least 1 pixel, got {size}")
    require(stride >= 1, f"the square must move by at least 1 pixel, got a stride of {stride}")
    if size > min(height, width):
        raise InputError(
            f"a square of {size} pixels does not fit into a picture of {height}x{width}; take a smaller one"
        )

    def along(length: int) -> tuple[int, ...]:
        last = length - size
        return tuple(sorted({*range(0, last + 1, stride), last}))

    return Squares(size=size, tops=along(height), lefts=along(width))


def covering(pictures: Tensor, fill: Fill) -> Tensor:
    """What is seen of the pictures (B, C, H, W) where the square stands, as pictures of the same shape.

    fill: a value, as the network takes it (0 is the mean of a data set after the usual normalisation); "mean", each
    picture's own mean of each channel; or a tensor (C,), (C, H, W) or (B, C, H, W). Raises InputError for others.
    """
    if isinstance(fill, str):
        require(fill == MEAN, f"the fill of the square is a number, '{MEAN}' or a picture, got '{fill}'")
        return pictures.mean((2, 3), keepdim=True).expand_as(pictures)
    if not isinstance(fill, Tensor):
        return pictures.new_tensor(float(fill)).expand_as(pictures)
    cover = fill.to(pictures)
    cover = cover[:, None, None] if cover.ndim == 1 and len(cover) == pictures.shape[1] else cover
    if cover.ndim and tuple(cover.shape[-3:]) not in (tuple(pictures.shape[1:]), (pictures.shape[1], 1, 1)):
        raise InputError(
            f"the fill of the square must be a picture of {'x'.join(map(str, pictures.shape[1:]))}, "
            f"got {'x'.join(map(str, fill.shape))}"
        )
    require(cover.ndim < 4 or len(cover) in (1, len(pictures)), f"{len(cover)} fills for {len(pictures)} pictures")
    return cover.expand_as(pictures)


def blocks_of(squares: Squares, pixels: int) -> list[Block]:
    """The places of a square in pictures of so many pixels, in blocks that are computed at once, about as high as wide.

    Places that lie together change the same parts of a map, and those at an edge a smaller part: hence squarish blocks.
    """
    most = max(1, min(MOST_PLACES, PIXELS_AT_ONCE // pixels))
    rows = _parts(len(squares.tops), math.isqrt(most))
    columns = _parts(len(squares.lefts), most // max(part.stop - part.start for part in rows))
    return [Block(one, other) for one in rows for other in columns]


def _parts(count: int, most: int) -> list[slice]:
    """0 to `count` in as few parts as can be of at most so many, as equal as can be."""
    parts = math.ceil(count / most)
    edges = [count * part // parts for part in range(parts + 1)]
    return [slice(begin, end) for begin, end in pairwise(edges)]


class Sliding:
    """Answers of one network; `how` says how they are computed, and why not incrementally where they are not."""

    def __init__(
        self,
        network: nn.Module,
        *,
        output: str | int | None,
        precision: str,
        incremental: bool,
        watched: Watched | None,
    ) -> None:
        """`network`: bare and in evaluation mode, as `taps.unchanged` gives it."""
        self.network, self.output, self.precision, self.watched = network, output, precision, watched
        self.how = INCREMENTAL if incremental else "whole, as was asked"
        self._layers = {id(module): name for name, module in network.named_modules()}
        self._weights = Memo([*network.parameters(), *network.buffers()])
        self._judged = False

    @torch.no_grad()
    def answers(
        self, picture: Tensor, cover: Tensor, squares: Squares, blocks: Sequence[Block] | None = None
    ) -> Iterator[Answers]:
        """For each block of places: the answers where the square shows `cover` in place of `picture`, (1, C, H, W)."""
        todo = deque(blocks_of(squares, picture.shape[2] * picture.shape[3]) if blocks is None else blocks)
        computed_in = FORMATS.get(self.precision, picture.dtype)
        clean = picture.to(computed_in).contiguous(memory_format=torch.channels_last)
        work = Work(self._layers, computed_in, self._weights, Memo([clean], self._weights))
        while todo:
            block = todo.popleft()
            try:
                found = self._answers(picture, cover, squares, block, work, clean)
            except (RuntimeError, MemoryError) as error:
                if block.shape == (1, 1) or not is_out_of_memory(error):
                    raise
                found = None
            if found is None:
                # Here the error is gone, and with it everything that its frames held on to.
                give_back_memory(str(picture.device))
                todo.extendleft(reversed(block.halves()))
            else:
                yield found

    def _answers(
        self, picture: Tensor, cover: Tensor, squares: Squares, block: Block, work: Work, clean: Tensor
    ) -> Answers:
        tops, lefts = squares.tops[block.rows], squares.lefts[block.columns]
        # One picture alone: a plain tensor of the network's for one picture could be what it made of this very picture.
        if self.how == INCREMENTAL and len(tops) * len(lefts) > 1:
            covers = [
                cover[..., top : top + squares.size, left : left + squares.size] for top in tops for left in lefts
            ]
            patches = patches_of(
                work,
                clean,
                torch.cat(covers),
                spans.changed(tops, [top + squares.size for top in tops], picture.shape[2]),
                spans.changed(lefts, [left + squares.size for left in lefts], picture.shape[3]),
                picture.dtype,
            )
            work.multiply_adds = 0
            found = self._incrementally(patches, block)
            if found is not None:
                self._judge(work, picture)
                return found
        pictures = picture.repeat(len(tops) * len(lefts), 1, 1, 1)
        for place, (top, left) in enumerate((top, left) for top in tops for left in lefts):
            square = (..., slice(top, top + squares.size), slice(left, left + squares.size))
            pictures[place][square] = cover[0][square]
        with autocast(self.precision, picture.device.type):
            return self._pass(pictures, block)

    def _incrementally(self, patches: Tensor, block: Block) -> Answers | None:
        """None, and `how` says why, where the network does something with a tensor that patches have no answer for."""
        try:
            return self._pass(patches, block)
        except (RuntimeError, TypeError, AttributeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            reason = str(error).strip().partition("\n")[0]
            self.how = f"whole, because the network does not take patches ({type(error).__name__}: {reason})"
            return None

    def _judge(self, work: Work, picture: Tensor) -> None:
        """Go on by whole pictures where most of the network comes after a layer that needs whole maps."""
        if work.not_local is None or self._judged:
            return
        self._judged = True
        if work.multiply_adds < LEAST_LOCAL * multiply_adds(self.network, picture):
            self.how = f"whole, because {work.not_local} is not local"

    def _pass(self, pictures: Tensor, block: Block) -> Answers:
        activity: list[Tensor] = []

        def read(_: str, given: Tensor) -> Tensor:
            activity[:] = [self.watched.of(given)] if self.watched is not None else []
            return activity[0]

        names = [] if self.watched is None else [self.watched.place.name]
        with watching(self.network, names, reading=read):
            found = scores(self.network, pictures, self.output)
        return Answers(
            block=block,
            scores=found.float().reshape(*block.shape, -1).cpu(),
            activity=activity[0].reshape(block.shape).cpu() if activity else None,
        )
