"""What happens to training pictures: strengths -> draws from (seed, epoch, row) -> one matrix and colours a picture.

Randomness is a function of (seed, epoch, row), so the draws are equal however the work is divided; each
operation has numbers of its own, so that turning one on changes no other. No pixel is touched here (`augment.py`).
Legend: B pictures, h w of the output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from striate.data import policy as policies
from striate.data.augmentation import Augmentation
from striate.data.draws import uniforms
from striate.data.elastic import displacements
from striate.data.placement import Placement
from striate.data.policy import Tones
from striate.data.resample import Frame, fitted

PURPOSE = 2  # of the draws (see `draws.uniforms`); the order of rows has another
FLIP_PURPOSE = 3
SMALL = 64  # uniform pictures up to this side are warped as one batch

# Columns of the numbers of a row. Append only: a changed place changes every run.
_, _, ROTATE, SCALE, SHEAR_X, SHEAR_Y, MOVE_X, MOVE_Y, PAD_X, PAD_Y = range(10)
CROP_AREA, CROP_ASPECT, CROP_X, CROP_Y, BRIGHT, CONTRAST, SATURATE, HUE = range(10, 18)
ERASE, ERASE_AREA, ERASE_ASPECT, ERASE_X, ERASE_Y, MIX_KIND, MIX_SHARE, MIX_X, MIX_Y = range(18, 27)
PRINCIPAL_1, PRINCIPAL_2, PRINCIPAL_3, BLUR, NOISE, JPEG = range(27, 33)
COLUMNS = 33

ERASE_ASPECT_RANGE = 10 / 3  # height / width in [0.3, 3.33], Zhong et al. 2020, section 4.2


@dataclass(frozen=True, eq=False)
class Noise:
    """Normal noise of these `deviations` (B,), in levels of 255, for pictures `rows` (B,): too many numbers to hold, so
    they are drawn where they are added."""

    deviations: np.ndarray
    seed: int
    epoch: int
    rows: np.ndarray


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
    tones: Tones | None = None  # operations of RandAugment or TrivialAugment
    tints: np.ndarray | None = None  # (B, C) levels that are added to each pixel
    blurs: np.ndarray | None = None  # (B,) deviations in pixels of the output
    noise: Noise | None = None
    qualities: np.ndarray | None = None  # (B,) int64 of JPEG


def draw(
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    rows: np.ndarray,
    shapes: np.ndarray,
    frame: Frame,
    *,
    uniform: bool = False,
    turns: np.ndarray | None = None,
) -> Drawn:
    """What happens to pictures `rows` (B,) of sizes `shapes` (B, 2 or 3) in this epoch, on their way into `frame`.

    `uniform`: all pictures of the source have one size (then small ones are warped without rounding
    their boxes to whole pixels). `turns` (B, 2): the least and the most degrees, counter-clockwise, by which each may
    be turned, within `rotation`; not for pictures that are mirrored. Each line depends on (seed, epoch, row), the
    picture's size and its turns alone.
    """
    rows = np.asarray(rows, dtype=np.int64)
    numbers = _numbers(augmentation, seed, epoch, rows)
    sizes = np.asarray(shapes, dtype=np.int64).reshape(len(rows), -1)[:, :2]
    small = uniform and len(sizes) > 0 and int(sizes.max()) <= SMALL
    way = "whole"
    if (
        augmentation.turns
        or augmentation.bends
        or augmentation.has_policy
        or (small and (augmentation.crops or augmentation.scales))
    ):
        way = "warp"
    elif augmentation.crops or augmentation.scales:
        way = "box"
    flips = _flips(augmentation, seed, epoch, rows)
    shifts = _shifts(augmentation, numbers, frame)
    if way == "whole":
        shifts = np.rint(shifts)
    bases, boxes = _bases(augmentation, numbers, sizes, frame)
    motions = _motions(augmentation, numbers, flips, shifts, frame, turns)
    policy = policies.drawn(augmentation, seed, epoch, rows, frame)
    if policy is not None:
        motions = motions @ policy[0]
    matrices = _composed(bases, motions)
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
        field=displacements(augmentation, seed, epoch, rows, frame) if augmentation.bends else None,
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
        tones=None if policy is None else policy[1],
        tints=_tints(augmentation, numbers, frame) if augmentation.pca_colour > 0 else None,
        blurs=augmentation.blur * numbers[:, BLUR] if augmentation.blur > 0 else None,
        noise=Noise(255 * augmentation.noise * numbers[:, NOISE], seed, epoch, rows)
        if augmentation.noise > 0
        else None,
        qualities=100 - np.floor(numbers[:, JPEG] * (augmentation.jpeg + 1)).astype(np.int64)
        if augmentation.jpeg
        else None,
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
        (PRINCIPAL_1, PRINCIPAL_2, PRINCIPAL_3): augmentation.pca_colour > 0,
        (BLUR, NOISE, JPEG): augmentation.corrupts,
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
    augmentation: Augmentation,
    numbers: np.ndarray,
    flips: np.ndarray,
    shifts: np.ndarray,
    frame: Frame,
    turns: np.ndarray | None,
) -> np.ndarray:
    """Output -> output before the motion, (B, 3, 3): the content is flipped, sheared, scaled, turned about
    the centre, then shifted, and this is the inverse of that."""
    signed = 2 * numbers - 1
    across, down = np.where(flips, -1.0, 1.0).T
    inverse = np.zeros((len(numbers), 2, 2))
    inverse[:, 0, 0], inverse[:, 1, 1] = across, down
    if augmentation.turns or augmentation.scales:
        # Written out, entry by entry: of thousands of 2x2 matrices a product or an inverse is mostly calls.
        if turns is None:
            angles = np.radians(augmentation.rotation) * signed[:, ROTATE]
        else:
            least, most = np.clip(turns, -augmentation.rotation, augmentation.rotation).T
            angles = -np.radians(least + numbers[:, ROTATE] * (most - least))
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


def _tints(augmentation: Augmentation, numbers: np.ndarray, frame: Frame) -> np.ndarray:
    """Levels (B, C): the principal axes, each times a normal number (Krizhevsky et al. 2012, section 4.1)."""
    from scipy.special import ndtri

    channels = frame.channels
    if len(augmentation.pca_axes) != channels**2:
        raise ValueError(f"pca_colour needs the axes of {channels} channels, got {len(augmentation.pca_axes)} numbers")
    axes = np.array(augmentation.pca_axes).reshape(channels, channels)
    # A number of 0, one in 2^53, has no place on the normal curve.
    normal = ndtri(np.maximum(numbers[:, PRINCIPAL_1 : PRINCIPAL_1 + channels], 2.0**-54))
    # One product and one sum at a time: the same bits however many pictures there are.
    tints = np.zeros((len(numbers), channels))
    for axis in range(channels):
        tints += normal[:, axis, None] * axes[axis]
    return 255 * augmentation.pca_colour * tints


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
