"""Test-time augmentation: a picture is answered in several views of it, and the answers are averaged.

Each view goes the one way from prepared pictures to answers, `Model.answer`. Numbers that are angles turn with their
picture, and are turned back before the mean is taken. Legend: N pictures, C channels, h w of the network's input, K
answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from striate.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import torch

    from striate.models.input_spec import InputSpec
    from striate.models.model import Model, PreparedLike

Place = tuple[float, float]  # of a cut: 0 at the top, or the left; 1 at the bottom, or the right
CENTRE: tuple[Place, ...] = ((0.5, 0.5),)
CORNERS: tuple[Place, ...] = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Way:
    """Which views there are: `cuts` of the input's size out of a picture that is `margin` times as large, each also
    `mirrored`, and each of these by all `turns`, in degrees counter-clockwise."""

    says: str
    paper: str
    margin: float = 1.0
    cuts: tuple[Place, ...] = CENTRE
    mirrored: bool = False
    turns: tuple[float, ...] = (0.0,)

    @property
    def views(self) -> int:
        """How many there are of each picture."""
        return len(self.cuts) * (1 + self.mirrored) * len(self.turns)


TTA: dict[str, Way] = {
    "none": Way(says="the picture as it is", paper=""),
    "flip": Way(
        says="the picture and its mirror image", paper="Simonyan and Zisserman 2015, section 3.2", mirrored=True
    ),
    "ten-crop": Way(
        says="the four corners and the centre of the picture, brought to 256/224 of the size, and their mirror images",
        paper="Krizhevsky et al. 2012, section 4.1",
        margin=256 / 224,
        cuts=(*CORNERS, *CENTRE),
        mirrored=True,
    ),
    "turn": Way(
        says="the picture, and the picture turned by 10 and 20 degrees to either side",
        paper="",
        turns=(0.0, -20.0, -10.0, 10.0, 20.0),
    ),
}


def way_called(tta: str) -> Way:
    """The row of `TTA`. Raises InputError, with the nearest name, where there is none."""
    if tta not in TTA:
        raise InputError(f"tta must be one of {', '.join(TTA)}, got '{tta}'" + did_you_mean(tta, TTA))
    return TTA[tta]


def spec_for(spec: InputSpec, tta: str) -> InputSpec:
    """How pictures are prepared for these views: `spec` itself, or a larger one. Where `spec` leaves a margin away
    (`crop_share` below 1), the views are cut out of all that is left of it."""
    way = way_called(tta)
    if way.margin == 1:
        return spec
    margin = way.margin if spec.crop_share == 1 else 1 / spec.crop_share
    return replace(
        spec,
        height=round(margin * spec.height),
        width=round(margin * spec.width),
        crop_share=1.0,
        mean_picture=None,  # taken off each view
    )


def answer(
    model: Model, prepared: PreparedLike, tta: str = "none", observe: Callable[[int, int], None] | None = None
) -> torch.Tensor:
    """Pictures prepared by `spec_for` (N, C, H, W) -> the mean of the answers to their views, on the CPU, `float32`:
    (N, K) probabilities for classes or labels, (N, K) numbers, of which angles are turned back. With "none" it is
    `model.answer` itself. Where pictures are squashed (`fit`), they are turned in the shape that they have then.

    `observe(done, N)` is called after each batch. Raises InputError where the pictures were not prepared so.
    """
    way, spec = way_called(tta), model.input_spec
    if way.views == 1:
        return model.answer(prepared, observe)
    wanted = spec_for(spec, tta)
    if tuple(prepared.shape[2:]) != (wanted.height, wanted.width):
        got = "x".join(map(str, prepared.shape))
        raise InputError(
            f"{tta} takes prepared pictures of Nx{spec.channels}x{wanted.height}x{wanted.width}, got {got}"
        )
    total, first = None, None
    views = product(way.cuts, (False, True)[: 1 + way.mirrored], way.turns)
    for done, ((down, across), mirrored, turn) in enumerate(views):
        top, left = round(down * (wanted.height - spec.height)), round(across * (wanted.width - spec.width))
        view = _View(prepared, top, left, spec, mirrored, turn)
        answers = model.answer(view, None if observe is None else _share_of(observe, done, way.views)).double()
        first = answers if first is None else first
        answers = _turned_back(answers, model, mirrored, turn, first)
        total = answers if total is None else total + answers
    assert total is not None
    return (total / way.views).float()


def _turned_back(answers: torch.Tensor, model: Model, mirrored: bool, turn: float, near: torch.Tensor) -> torch.Tensor:
    """Answers (N, K) to a view as answers to the picture: its angles, in degrees counter-clockwise, are turned back, to
    the nearest to those of `near` (N, K) among those that are the same direction."""
    from striate.tasks.regression import Regression

    if not isinstance(model.task, Regression) or not model.task.angles or not (mirrored or turn):
        return answers
    places = [model.task.target_names.index(name) for name in model.task.angles]
    back = answers[:, places] - turn
    back = -back if mirrored else back
    made = answers.clone()
    made[:, places] = near[:, places] + (back - near[:, places] + 180) % 360 - 180
    return made


def _share_of(observe: Callable[[int, int], None], done: int, views: int) -> Callable[[int, int], None]:
    return lambda part, whole: observe((done * whole + part) // views, whole)


@dataclass(frozen=True, eq=False)
class _View:
    """One cut of prepared pictures, of the size of `spec`, made where it is looked at. A `PreparedLike`."""

    prepared: PreparedLike
    top: int
    left: int
    spec: InputSpec
    mirrored: bool
    turn: float

    @property
    def shape(self) -> Sequence[int]:
        return (*self.prepared.shape[:2], self.spec.height, self.spec.width)

    @property
    def ndim(self) -> int:
        return self.prepared.ndim

    def __len__(self) -> int:
        return len(self.prepared)

    def __getitem__(self, part: slice | torch.Tensor, /) -> torch.Tensor:
        bottom, right = self.top + self.spec.height, self.left + self.spec.width
        cut = self.prepared[part][:, :, self.top : bottom, self.left : right]
        cut = cut.flip(3) if self.mirrored else cut.contiguous()
        return _turned(cut, self.turn, self.spec) if self.turn else cut


def _turned(pictures: torch.Tensor, degrees: float, spec: InputSpec) -> torch.Tensor:
    """Prepared pictures (N, C, h, w) turned counter-clockwise about their centres; what comes from outside is as in
    training, their reflection or the mean."""
    from striate.data.placement import Placement
    from striate.data.warp import warp_block

    count, _, height, width = pictures.shape
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = width / 2, height / 2
    matrix = np.array(
        [[cosine, -sine, x - cosine * x + sine * y], [sine, cosine, y - sine * x - cosine * y], [0, 0, 1]]
    )
    placement = Placement(
        matrices=np.broadcast_to(matrix, (count, 3, 3)),
        height=height,
        width=width,
        sources=np.broadcast_to(np.array([height, width]), (count, 2)),
        boxes=np.broadcast_to(np.array([0.0, 0.0, width, height]), (count, 4)),
        reflect=spec.fit != "pad",
    )
    return warp_block(pictures.permute(0, 2, 3, 1), placement, spec)
