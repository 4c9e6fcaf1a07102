"""How training pictures vary: strengths -> draws from (seed, epoch, row) -> one matrix and colours a picture.

Randomness is a function of (seed, epoch, row), so the draws are equal however the work is divided; each
operation has numbers of its own, so that turning one on changes no other. The picture is resampled once
(`warp.py`), then coloured, then erased; pairs are mixed last (`mixing.py`). Legend: B pictures, H W of a
picture, h w of the output, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from striate.data.draws import uniforms
from striate.data.placement import Placement
from striate.data.resample import Frame, fitted
from striate.errors import require

if TYPE_CHECKING:
    import torch

__all__ = ["Augmentation", "Drawn", "Placement", "apply", "draw", "preview"]

PURPOSE = 2  # of the draws (see `draws.uniforms`); the order of rows has another
FLIP_PURPOSE = 3
SMALL = 64  # uniform pictures up to this side are warped as one batch

# Columns of the numbers of a row. Append only: a changed place changes every run.
_, _, ROTATE, SCALE, SHEAR_X, SHEAR_Y, MOVE_X, MOVE_Y, PAD_X, PAD_Y = range(10)
CROP_AREA, CROP_ASPECT, CROP_X, CROP_Y, BRIGHT, CONTRAST, SATURATE, HUE = range(10, 18)
ERASE, ERASE_AREA, ERASE_ASPECT, ERASE_X, ERASE_Y, MIX_KIND, MIX_SHARE, MIX_X, MIX_Y = range(18, 27)
COLUMNS = 27

ERASE_ASPECT_RANGE = 10 / 3  # height / width in [0.3, 3.33], Zhong et al. 2020, section 4.2


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Strengths; 0 (False, 1 for `random_resized_crop`) is off, and everything is off by default.

    What comes from outside of a picture is its reflection, or the mean where the input's fit is "pad".

    - `pad_crop`: moved by up to so many whole pixels of the network's input, each way: padding and a
      random crop (Krizhevsky 2012, section 4.1; He et al. 2016, section 4.2).
    - `random_resized_crop`: the smallest share of the area that a random box keeps, which then fills the
      input; its aspect ratio, as the input shows it, is log-uniform within `crop_aspect` of the input's
      (Szegedy et al. 2015, section 6). The whole share of 1 is off.
    - `flip_horizontal`, `flip_vertical`: half of the pictures in each epoch (Krizhevsky 2012), the other half in the
      next one (alternating flips: Jordan 2024, arXiv:2404.00498, section 3.6).
    - `rotation`, `shear`: up to so many degrees; `translation`: up to this share of each side (whole
      pixels unless the picture is resampled anyway); `scale`: a factor, log-uniform in [1 / scale,
      scale], about the centre (affine distortions: Simard et al. 2003, section 2).
    - `brightness`, `contrast`, `saturation`: factors uniform in 1 +- strength; `hue`: turned by up to
      this share of the circle, in YIQ (colour jitter: Howard 2013, section 2; see `colour.py`).
    - `erasing`: the probability that a rectangle of `erasing_smallest` to `erasing_largest` of the area
      becomes the mean (Zhong et al. 2020).
    - `mixup`: alpha of Beta(alpha, alpha), the share of a picture that is mixed with the next one of the
      epoch (Zhang et al. 2018); `cutmix`: the same for the area outside of a pasted rectangle (Yun et
      al. 2019). With both, each picture has one of them, by a coin.

    Raises InputError where a strength is out of its range.
    """

    pad_crop: int = 0
    random_resized_crop: float = 1.0
    crop_aspect: float = 4 / 3
    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    translation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    erasing: float = 0.0
    erasing_smallest: float = 0.02
    erasing_largest: float = 0.33
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            require(number and low <= value <= high, f"augment.{name} must be in [{low:g}, {high:g}], got {value!r}")
        require(type(self.pad_crop) is int, f"augment.pad_crop must be a whole number of pixels, got {self.pad_crop!r}")
        for name in ("flip_horizontal", "flip_vertical"):
            value = getattr(self, name)
            require(isinstance(value, bool), f"augment.{name} must be true or false, got {value!r}")
        require(
            self.scale == 0 or self.scale >= 1,
            f"augment.scale must be 0 (off) or a factor of at least 1, such as 1.1, got {self.scale!r}",
        )
        require(
            self.erasing_smallest <= self.erasing_largest,
            f"augment.erasing_smallest must not exceed erasing_largest, got {self.erasing_smallest!r}"
            f" and {self.erasing_largest!r}",
        )

    @property
    def crops(self) -> bool:
        """Whether a random box of the picture fills the input."""
        return self.random_resized_crop < 1

    @property
    def turns(self) -> bool:
        """Whether the axes of the picture may leave those of the input."""
        return self.rotation > 0 or self.shear > 0

    @property
    def scales(self) -> bool:
        """Whether the size of things may change."""
        return self.scale > 1

    @property
    def moves(self) -> bool:
        """Whether pictures are moved in any way."""
        return (
            self.crops
            or self.turns
            or self.scales
            or self.pad_crop > 0
            or self.translation > 0
            or self.flip_horizontal
            or self.flip_vertical
        )

    @property
    def colours(self) -> bool:
        """Whether colours change."""
        return self.brightness > 0 or self.contrast > 0 or self.saturation > 0 or self.hue > 0

    @property
    def mixes(self) -> bool:
        """Whether pictures are mixed with others."""
        return self.mixup > 0 or self.cutmix > 0

    def in_words(self) -> str:
        """What is on, for the log: "pad_crop 4, flip_horizontal", or "none"."""
        changed = [(item.name, getattr(self, item.name)) for item in fields(self)]
        on = {item.name for item in fields(self) if getattr(self, item.name) != item.default}
        return (
            ", ".join(name if value is True else f"{name} {value:g}" for name, value in changed if name in on) or "none"
        )


RANGES: dict[str, tuple[float, float]] = {
    "pad_crop": (0, 512),
    "random_resized_crop": (0.001, 1),
    "crop_aspect": (1, 10),
    "rotation": (0, 180),
    "scale": (0, 4),
    "shear": (0, 60),
    "translation": (0, 1),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "saturation": (0, 1),
    "hue": (0, 0.5),
    "erasing": (0, 1),
    "erasing_smallest": (0, 1),
    "erasing_largest": (0, 1),
    "mixup": (0, 1000),
    "cutmix": (0, 1000),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """What was drawn for B pictures.

    `way` says how the pictures are resampled: "whole" (fitted as for an answer, then flipped and moved
    by whole pixels), "box" (an upright box of whole pixels fills the output) or "warp" (any matrix).
    """

    placement: Placement
    way: str
    flips: np.ndarray  # (B, 2) bool, along x and y
    shifts: np.ndarray  # (B, 2) int64, whole pixels of the output along x and y; used by "whole" alone
    brightness: np.ndarray | None  # (B,) factors, or None where colours stay
    contrast: np.ndarray | None
    saturation: np.ndarray | None
    hue: np.ndarray | None  # (B,) turns
    erased: np.ndarray | None  # (B, 4) int64 left, top, right, bottom in the output; empty: none
    mixed: np.ndarray | None  # (B, 4) int64 the box of the partner's that is pasted; empty: mixup
    shares: np.ndarray | None  # (B,) float64 in [0, 1], what is left of the picture itself; None: no mixing


def draw(
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    rows: np.ndarray,
    shapes: np.ndarray,
    frame: Frame,
    *,
    uniform: bool = False,
) -> Drawn:
    """What happens to pictures `rows` (B,) of sizes `shapes` (B, 2 or 3) in this epoch, on their way into `frame`.

    `uniform`: all pictures of the source have one size (then small ones are warped without rounding
    their boxes to whole pixels). Each line depends on (seed, epoch, row) and the picture's size alone.
    """
    rows = np.asarray(rows, dtype=np.int64)
    numbers = _numbers(augmentation, seed, epoch, rows)
    sizes = np.asarray(shapes, dtype=np.int64).reshape(len(rows), -1)[:, :2]
    small = uniform and len(sizes) > 0 and int(sizes.max()) <= SMALL
    way = "whole"
    if augmentation.turns or (small and (augmentation.crops or augmentation.scales)):
        way = "warp"
    elif augmentation.crops or augmentation.scales:
        way = "box"
    flips = _flips(augmentation, seed, epoch, rows)
    shifts = _shifts(augmentation, numbers, frame)
    if way == "whole":
        shifts = np.rint(shifts)
    bases, boxes = _bases(augmentation, numbers, sizes, frame)
    matrices = _composed(bases, _motions(augmentation, numbers, flips, shifts, frame))
    if way == "box":
        matrices = _snapped(matrices, frame)
    if way != "whole" or frame.fit == "pad":
        height, width = sizes.T.astype(np.float64)
        boxes = np.stack([np.zeros_like(width), np.zeros_like(height), width, height], axis=1)
    placement = Placement(
        matrices=matrices,
        height=frame.height,
        width=frame.width,
        sources=sizes,
        boxes=boxes,
        reflect=frame.fit != "pad",
    )
    strengths = (
        (augmentation.brightness, BRIGHT),
        (augmentation.contrast, CONTRAST),
        (augmentation.saturation, SATURATE),
    )
    factors = [1 + strength * (2 * numbers[:, at] - 1) if strength > 0 else None for strength, at in strengths]
    mixed, shares = _mixing(augmentation, numbers, frame)
    return Drawn(
        placement=placement,
        way=way,
        flips=flips,
        shifts=shifts.astype(np.int64),
        brightness=factors[0],
        contrast=factors[1],
        saturation=factors[2],
        hue=augmentation.hue * (2 * numbers[:, HUE] - 1) if augmentation.hue > 0 else None,
        erased=_erased(augmentation, numbers, frame) if augmentation.erasing > 0 else None,
        mixed=mixed,
        shares=shares,
    )


def _numbers(augmentation: Augmentation, seed: int, epoch: int, rows: np.ndarray) -> np.ndarray:
    """(B, COLUMNS), the columns apart from each other in memory; drawn where what is on depends on them, else 0.5."""
    needed = {
        (PAD_X, PAD_Y): augmentation.pad_crop > 0,
        (MOVE_X, MOVE_Y): augmentation.translation > 0,
        (CROP_AREA, CROP_ASPECT, CROP_X, CROP_Y): augmentation.crops,
        (ROTATE,): augmentation.rotation > 0,
        (SCALE,): augmentation.scales,
        (SHEAR_X, SHEAR_Y): augmentation.shear > 0,
        (BRIGHT, CONTRAST, SATURATE, HUE): augmentation.colours,
        (ERASE, ERASE_AREA, ERASE_ASPECT, ERASE_X, ERASE_Y): augmentation.erasing > 0,
        (MIX_KIND, MIX_SHARE, MIX_X, MIX_Y): augmentation.mixes,
    }
    columns = [column for some, wanted in needed.items() if wanted for column in some]
    numbers = np.full((len(rows), COLUMNS), 0.5, order="F")
    numbers[:, columns] = uniforms(seed, epoch, rows, columns, purpose=PURPOSE)
    return numbers


def _flips(augmentation: Augmentation, seed: int, epoch: int, rows: np.ndarray) -> np.ndarray:
    """Whether each picture is mirrored along x and along y, (B, 2) bool."""
    wanted = np.array([augmentation.flip_horizontal, augmentation.flip_vertical])
    if not wanted.any():
        return np.zeros((len(rows), 2), dtype=bool)
    # Drawn once for the whole run, then in turn: two epochs show each picture both ways (four, all four ways).
    flips = uniforms(seed, 0, rows, 2, purpose=FLIP_PURPOSE) < 0.5
    slower = epoch >> 1 if augmentation.flip_horizontal else epoch
    flips ^= np.array([epoch & 1, slower & 1], dtype=bool)
    flips &= wanted
    return flips


def _shifts(augmentation: Augmentation, numbers: np.ndarray, frame: Frame) -> np.ndarray:
    """Pixels of the output (B, 2) along x and y."""
    reach = 2 * augmentation.pad_crop + 1
    padded = np.minimum(np.floor(numbers[:, [PAD_X, PAD_Y]] * reach), reach - 1) - augmentation.pad_crop
    sides = np.array([frame.width, frame.height], dtype=np.float64)
    moved: np.ndarray = padded + (2 * numbers[:, [MOVE_X, MOVE_Y]] - 1) * augmentation.translation * sides
    return moved


def _bases(
    augmentation: Augmentation, numbers: np.ndarray, sizes: np.ndarray, frame: Frame
) -> tuple[np.ndarray, np.ndarray]:
    """Output -> picture without motion, (B, 3, 3), and the box of the picture that fills the output, (B, 4)."""
    heights, widths = sizes.T.astype(np.float64)
    resized_heights, resized_widths, tops, lefts = fitted(sizes[:, 0], sizes[:, 1], frame)
    steps_x, steps_y = widths / resized_widths, heights / resized_heights
    if augmentation.crops:
        # The aspect is that which the input shows: a squashed picture is cropped in its squashed shape.
        areas = widths * heights
        areas = areas * (
            augmentation.random_resized_crop + numbers[:, CROP_AREA] * (1 - augmentation.random_resized_crop)
        )
        aspects = np.exp((2 * numbers[:, CROP_ASPECT] - 1) * math.log(augmentation.crop_aspect))
        aspects = aspects * (frame.width * steps_x) / (frame.height * steps_y)
        across = np.minimum(np.sqrt(areas * aspects), widths)
        down = np.minimum(np.sqrt(areas / aspects), heights)
        x, y = numbers[:, CROP_X] * (widths - across), numbers[:, CROP_Y] * (heights - down)
    else:
        across, down = frame.width * steps_x, frame.height * steps_y
        x, y = lefts * steps_x, tops * steps_y
    bases = np.zeros((len(sizes), 3, 3))
    bases[:, 0, 0], bases[:, 1, 1], bases[:, 2, 2] = across / frame.width, down / frame.height, 1.0
    bases[:, 0, 2], bases[:, 1, 2] = x, y
    return bases, np.stack([x, y, x + across, y + down], axis=1)


def _motions(
    augmentation: Augmentation, numbers: np.ndarray, flips: np.ndarray, shifts: np.ndarray, frame: Frame
) -> np.ndarray:
    """Output -> output before the motion, (B, 3, 3): the content is flipped, sheared, scaled, turned about
    the centre, then shifted, and this is the inverse of that."""
    signed = 2 * numbers - 1
    across, down = np.where(flips, -1.0, 1.0).T
    inverse = np.zeros((len(numbers), 2, 2))
    inverse[:, 0, 0], inverse[:, 1, 1] = across, down
    if augmentation.turns or augmentation.scales:
        # Written out, entry by entry: of thousands of 2x2 matrices a product or an inverse is mostly calls.
        angles = np.radians(augmentation.rotation) * signed[:, ROTATE]
        factors = np.exp(math.log(max(augmentation.scale, 1.0)) * signed[:, SCALE])
        slant_x, slant_y = np.tan(np.radians(augmentation.shear) * signed[:, [SHEAR_X, SHEAR_Y]]).T
        # Both slants at once could fold the picture flat: at 45 degrees each they make one line of it.
        slant_y = np.where(slant_x * slant_y > 0.5, 0.0, slant_y)
        cosines, sines = np.cos(angles), np.sin(angles)
        across, down = (flip / (factors * (1 - slant_x * slant_y)) for flip in (across, down))
        inverse[:, 0, 0], inverse[:, 0, 1] = across * (cosines + slant_x * sines), across * (sines - slant_x * cosines)
        inverse[:, 1, 0], inverse[:, 1, 1] = down * (-sines - slant_y * cosines), down * (cosines - slant_y * sines)
    centre = np.array([frame.width / 2, frame.height / 2])
    moved = centre + shifts
    motions = np.zeros((len(numbers), 3, 3))
    motions[:, :2, :2], motions[:, 2, 2] = inverse, 1.0
    motions[:, :2, 2] = centre - (inverse[:, :, 0] * moved[:, 0, None] + inverse[:, :, 1] * moved[:, 1, None])
    return motions


def _composed(bases: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """bases @ motions, (B, 3, 3), of upright boxes: they scale the axes and shift, and do nothing else."""
    matrices = motions.copy()
    for axis in range(2):
        matrices[:, axis] *= bases[:, axis, axis, None]
        matrices[:, axis, 2] += bases[:, axis, 2]
    return matrices


def _snapped(matrices: np.ndarray, frame: Frame) -> np.ndarray:
    """Upright matrices whose boxes of the picture have whole pixels: (B, 3, 3) -> (B, 3, 3)."""
    snapped = matrices.copy()
    for axis, side in ((0, frame.width), (1, frame.height)):
        step, start = matrices[:, axis, axis], matrices[:, axis, 2]
        low = np.rint(np.minimum(start, start + step * side))
        high = np.maximum(np.rint(np.maximum(start, start + step * side)), low + 1)
        forward = step > 0
        snapped[:, axis, axis] = np.where(forward, high - low, low - high) / side
        snapped[:, axis, 2] = np.where(forward, low, high)
    return snapped


def _erased(augmentation: Augmentation, numbers: np.ndarray, frame: Frame) -> np.ndarray:
    """Boxes (B, 4) int64 of the output that become the mean; empty for pictures that keep all."""
    span = augmentation.erasing_largest - augmentation.erasing_smallest
    areas = (augmentation.erasing_smallest + numbers[:, ERASE_AREA] * span) * frame.width * frame.height
    aspects = np.exp((2 * numbers[:, ERASE_ASPECT] - 1) * math.log(ERASE_ASPECT_RANGE))
    width = np.clip(np.rint(np.sqrt(areas * aspects)), 1, frame.width)
    height = np.clip(np.rint(np.sqrt(areas / aspects)), 1, frame.height)
    left = np.floor(numbers[:, ERASE_X] * (frame.width - width + 1))
    top = np.floor(numbers[:, ERASE_Y] * (frame.height - height + 1))
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    return np.where(numbers[:, [ERASE]] < augmentation.erasing, boxes, 0).astype(np.int64)


def _mixing(
    augmentation: Augmentation, numbers: np.ndarray, frame: Frame
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Pasted boxes (B, 4) int64, empty for mixup, and what is left of each picture itself, (B,)."""
    if not augmentation.mixes:
        return None, None
    from scipy.special import betaincinv

    pastes = np.full(len(numbers), augmentation.cutmix > 0)
    if augmentation.mixup > 0 and augmentation.cutmix > 0:
        pastes = numbers[:, MIX_KIND] < 0.5
    alphas = np.where(pastes, augmentation.cutmix, augmentation.mixup)
    shares = betaincinv(alphas, alphas, numbers[:, MIX_SHARE])  # the inverse of Beta's distribution function
    side = np.sqrt(1 - shares)
    centres = numbers[:, [MIX_X, MIX_Y]] * np.array([frame.width, frame.height])
    halves = side[:, None] * np.array([frame.width, frame.height]) / 2
    boxes = np.concatenate([np.rint(centres - halves), np.rint(centres + halves)], axis=1)
    limits = np.array([frame.width, frame.height, frame.width, frame.height])
    boxes = np.where(pastes[:, None], np.clip(boxes, 0, limits), 0).astype(np.int64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    # What the picture's edges cut off the box is not pasted: the share follows the pixels.
    return boxes, np.where(pastes, 1 - areas / (frame.width * frame.height), shares)


def apply(pictures: np.ndarray | Sequence[np.ndarray], drawn: Drawn, frame: Frame) -> torch.Tensor:
    """Pictures as they are in the store, (B, H, W, C) or B arrays (H, W, C), after all that was drawn for
    them but mixing -> (B, C, h, w), channels last in memory; `uint8`, or `float32` in [0, 255] where
    any of the pictures is."""
    from striate.data import colour, warp

    placed = warp.place(pictures, drawn.placement, drawn.way, drawn.flips, drawn.shifts, frame)
    factors = (drawn.brightness, drawn.contrast, drawn.saturation, drawn.hue)
    if any(factor is not None for factor in factors):
        placed = colour.change(placed, *factors)
    if drawn.erased is not None:
        placed = colour.erase(placed, drawn.erased, frame)
    return placed


def preview(
    pictures: Sequence[np.ndarray],
    augmentation: Augmentation,
    frame: Frame,
    *,
    seed: int,
    rows: np.ndarray | None = None,
    times: int = 8,
) -> np.ndarray:
    """What training sees of these pictures, (H, W, C) each, in the epochs 0, 1, ...: (N, times, h, w, C) `uint8`.

    `rows` (N,): their rows in training, 0, 1, ... by default. Mixing takes the next of these pictures
    for the partner, which in training is the next one of the epoch.
    """
    from striate.data.mixing import mix

    rows = np.arange(len(pictures)) if rows is None else np.asarray(rows, dtype=np.int64)
    shapes = np.array([picture.shape for picture in pictures], dtype=np.int64).reshape(-1, 3)
    uniform = len({(picture.shape, picture.dtype) for picture in pictures}) == 1
    shown = []
    for epoch in range(times):
        drawn = draw(augmentation, seed, epoch, rows, shapes, frame, uniform=uniform)
        made = apply(pictures, drawn, frame)
        if drawn.mixed is not None and drawn.shares is not None:
            made = mix(made, np.roll(np.arange(len(rows)), -1), drawn.mixed, drawn.shares)
        shown.append(made.float().round().byte().permute(0, 2, 3, 1).numpy())
    return np.stack(shown, axis=1)
