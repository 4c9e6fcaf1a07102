"""Test-time augmentation: a picture is answered in several views of it, and the answers are averaged.

Each view goes the one way from prepared pictures to answers, `Model.answer`. Numbers that are angles have
the other sign in a mirrored view, and are mirrored back before the mean is taken. Legend: N pictures, C channels, h w
of the network's input, K answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

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
    `mirrored`."""

    says: str
    paper: str
    margin: float = 1.0
    cuts: tuple[Place, ...] = CENTRE
    mirrored: bool = False

    @property
    def views(self) -> int:
        """How many there are of each picture."""
        return len(self.cuts) * (1 + self.mirrored)


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
    (N, K) probabilities for classes or labels, (N, K) numbers. With "none" it is `model.answer` itself.

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
    views = product(way.cuts, (False, True)[: 1 + way.mirrored])
    for done, ((down, across), mirrored) in enumerate(views):
        top, left = round(down * (wanted.height - spec.height)), round(across * (wanted.width - spec.width))
        view = _View(prepared, top, left, spec.height, spec.width, mirrored)
        answers = model.answer(view, None if observe is None else _share_of(observe, done, way.views)).double()
        first = answers if first is None else first
        answers = _mirrored_back(answers, model, first) if mirrored else answers
        total = answers if total is None else total + answers
    assert total is not None
    return (total / way.views).float()


def _mirrored_back(answers: torch.Tensor, model: Model, near: torch.Tensor) -> torch.Tensor:
    """Answers (N, K) to mirrored pictures as answers to the pictures: angles, in degrees from upright, have the other
    sign, and are written as what is nearest to `near` (N, K) among those that are the same direction."""
    from striate.tasks.regression import Regression

    if not isinstance(model.task, Regression) or not model.task.angles:
        return answers
    places = [model.task.target_names.index(name) for name in model.task.angles]
    made = answers.clone()
    made[:, places] = near[:, places] + (-answers[:, places] - near[:, places] + 180) % 360 - 180
    return made


def _share_of(observe: Callable[[int, int], None], done: int, views: int) -> Callable[[int, int], None]:
    return lambda part, whole: observe((done * whole + part) // views, whole)


@dataclass(frozen=True, eq=False)
class _View:
    """One cut of prepared pictures, of this size, made where it is looked at. A `PreparedLike`."""

    prepared: PreparedLike
    top: int
    left: int
    height: int
    width: int
    mirrored: bool

    @property
    def shape(self) -> Sequence[int]:
        return (*self.prepared.shape[:2], self.height, self.width)

    @property
    def ndim(self) -> int:
        return self.prepared.ndim

    def __len__(self) -> int:
        return len(self.prepared)

    def __getitem__(self, part: slice | torch.Tensor, /) -> torch.Tensor:
        cut = self.prepared[part][:, :, self.top : self.top + self.height, self.left : self.left + self.width]
        return cut.flip(3) if self.mirrored else cut.contiguous()
