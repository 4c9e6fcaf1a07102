"""Gradient ascent on pictures, as dreams of every kind share it: sizes, small movements, gradients, steps.

Every draw is made from (seed, step, row), so that a dream can be had again, alone or among others.
Legend: N pictures, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from striate.data.draws import uniforms
from striate.errors import InputError, require
from striate.taps.norms import constant_norms
from striate.taps.rectifiers import rectifying
from striate.views.backward import gradient_at

RATIO = 1.4  # each octave is so much larger than the one before (Mordvintsev, Olah, Tyka 2015)
SMALLEST_OCTAVE = 64  # pixels of the shorter side, where their number is not said
SMALLEST = 8
SHIFT, TURN, ZOOM = 1 / 16, 5.0, 1.1  # a share of the side; degrees; a factor and its inverse
PURPOSE = 0xD8EA_0002
NO_WAY = "what a dream would raise does not depend on the picture in a way that can be differentiated"

Size = tuple[int, int]


def octave_sizes(size: Size, octaves: int | None, most: int) -> list[Size]:
    """(H, W) of each octave, the last one `size`. None: as many as leave SMALLEST_OCTAVE pixels, at most `most`.

    Raises InputError: no octave, or so many that the first would have less than SMALLEST pixels a side.
    """
    require(min(size) >= SMALLEST, f"a dream needs at least {SMALLEST} pixels a side, got {size[1]}x{size[0]}")
    if octaves is None:
        octaves = max([number for number in range(1, most + 1) if _side(min(size), number) >= SMALLEST_OCTAVE] or [1])
    require(octaves >= 1, f"a dream needs at least 1 octave, got {octaves}")
    fitting = 1
    while fitting < octaves and _side(min(size), fitting + 1) >= SMALLEST:
        fitting += 1
    require(
        octaves == fitting,
        f"{octaves} octaves are too many for a picture of {size[1]}x{size[0]}: the first would have less than "
        f"{SMALLEST} pixels a side; take at most {fitting}",
    )
    return [(_side(size[0], number), _side(size[1], number)) for number in range(octaves, 0, -1)]


def _side(side: int, number: int) -> int:
    """The side of the octave with this number, counted from 1, the largest."""
    return round(side / RATIO ** (number - 1))


def wobble(seed: int, step: int, rows: np.ndarray, size: Size, share: float = 1.0) -> Tensor:
    """Where each picture is looked at in this step, (N, 2, 3) float32: a small shift, turn and zoom, as the matrix that
    `functional.affine_grid` takes (places of the picture from places of the view, both from -1 to 1). share: how large
    it is beside the largest; 0 is the picture as it stands."""
    height, width = size
    draws = share * (2 * uniforms(seed, step, rows, 4, purpose=PURPOSE) - 1)
    angle, zoom = np.deg2rad(TURN * draws[:, 0]), ZOOM ** draws[:, 1]
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    # A turn is one of pixels, whose sides differ where the picture is not square.
    matrices = np.stack(
        [
            np.stack([cosine, -sine * height / width, 2 * SHIFT * draws[:, 2]], axis=1),
            np.stack([sine * width / height, cosine, 2 * SHIFT * draws[:, 3]], axis=1),
        ],
        axis=1,
    )
    return torch.from_numpy(matrices.astype(np.float32))


def sampled(pictures: Tensor, places: Tensor, size: Size) -> Tensor:
    """(N, C, H, W) looked at by matrices (N, 2, 3) -> (N, C, *size), bilinear, reflected beyond the border."""
    grid = functional.affine_grid(places, [*pictures.shape[:2], *size], align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def gradient_of(raised: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """The gradient of `raised` ((N, ...) -> (N,), each of its own line) at `point`, (N, ...).

    A line of zeros, as where the rectifiers on the way are all shut, is asked for again by the rule of the deconvnet
    (Zeiler and Fergus 2014), which asks what would raise it whether or not anything does yet.

    Raises InputError where the network has no gradient there, or one that is not finite, as `gradient_at` does.
    """

    def gradient() -> Tensor:
        here = point.detach().requires_grad_()
        with torch.enable_grad(), constant_norms():
            value = raised(here).sum()
        require(value.requires_grad, f"the network has no gradient: {NO_WAY}")
        found = gradient_at(value, here)
        if found is None:
            raise InputError(f"the network has no gradient: {NO_WAY}")
        require(
            bool(found.isfinite().all()), "the network's gradient is not finite (NaN or infinity): it leads nowhere"
        )
        return found

    found = gradient()
    silent = found.flatten(1).abs().amax(dim=1) == 0
    if bool(silent.any()):
        with rectifying("deconvolution"):
            found = torch.where(silent.view(-1, *[1] * (found.ndim - 1)), gradient(), found)
    return found


class Adam:
    """Ascent by the rule of Kingma and Ba 2015, algorithm 1, each number by itself; or partly all of a picture alike.

    shared: from 0, each number divided by its own root mean square, as they have it, to 1, all of a picture divided by
    that of the whole picture; between, by a weighted geometric mean of the two. By itself, a number that is only pushed
    to and fro by draws moves as fast as one that is always pulled the same way, and the picture fills with what nothing
    asks for; all alike, only the few strongest would move.

    Not torch's: its first step loads a compiler, for a second and a half, and the size of gradients here is any.
    """

    def __init__(self, rate: float, shared: float = 0.0) -> None:
        self.rate, self.shared, self.steps = rate, shared, 0
        self.mean: Tensor | None = None
        self.square: Tensor | None = None

    def climbed(self, point: Tensor, gradient: Tensor) -> Tensor:
        """The point one step up, (N, ...), a line a picture; always the same shape."""
        if self.mean is None or self.square is None:
            self.mean, self.square = torch.zeros_like(point), torch.zeros_like(point)
        self.steps += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient.square()
        mean, square = self.mean / (1 - 0.9**self.steps), self.square / (1 - 0.999**self.steps)
        size = square.sqrt()
        if self.shared:
            whole = square.flatten(1).mean(1).sqrt().view(-1, *[1] * (point.ndim - 1))
            size = size ** (1 - self.shared) * whole**self.shared
        # Where nothing pulls nothing moves: 0 / 0 is no direction.
        return point + self.rate * torch.where(size > 0, mean / size, 0.0)


def as_kept(pictures: Tensor) -> Tensor:
    """The nearest multiples of 1 / 255 in [0, 1]: what a file of 8 bits keeps."""
    return (255 * pictures.detach().clamp(0, 1)).round() / 255
