"""RandAugment (Cubuk et al. 2020) and TrivialAugment (Müller and Hutter 2021): a few operations a picture, by chance.

Both draw from the same fourteen operations; they differ in how many, and in how strong. Those that move a picture
compose into its one matrix, those that change its tones are done afterwards (`tones.py`), in the order drawn.
Strengths are on a scale of 0 to 30; the tables say what 30 means. Legend: B pictures, N operations of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.data.augmentation import Augmentation
from striate.data.draws import uniforms
from striate.data.resample import Frame

PURPOSE = 4  # of the draws (see `draws.uniforms`)
STEPS = 30  # of the scale of strengths
EACH = 3  # numbers of an operation: which, how strong, which way

# What an operation does at strength 30: slopes; shares of the side (150 pixels of 331, AutoAugment's) or pixels;
# degrees; how far a factor is from 1; bits that are lost; the levels below which tones stay, counted from 255
# downwards. Those of 0 have no strength. Cubuk et al. 2020, section 3; the ranges are those of AutoAugment (Cubuk et
# al. 2019, table 6).
RAND_AUGMENT = {
    "identity": 0.0,
    "shear_x": 0.3,
    "shear_y": 0.3,
    "translate_x": 150 / 331,
    "translate_y": 150 / 331,
    "rotate": 30.0,
    "brightness": 0.9,
    "colour": 0.9,
    "contrast": 0.9,
    "sharpness": 0.9,
    "posterize": 4.0,
    "solarize": 255.0,
    "autocontrast": 0.0,
    "equalize": 0.0,
}
# Müller and Hutter 2021, table 8: the wide space, in which a picture is moved by pixels.
TRIVIAL_AUGMENT = {
    **RAND_AUGMENT,
    "shear_x": 0.99,
    "shear_y": 0.99,
    "translate_x": 32.0,
    "translate_y": 32.0,
    "rotate": 135.0,
    "brightness": 0.99,
    "colour": 0.99,
    "contrast": 0.99,
    "sharpness": 0.99,
    "posterize": 6.0,
}
OPERATIONS = tuple(RAND_AUGMENT)
SIGNED = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "colour", "contrast", "sharpness")
GEOMETRY = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
TONES = tuple(name for name in OPERATIONS if name not in ("identity", *GEOMETRY))


@dataclass(frozen=True, kw_only=True, eq=False)
class Tones:
    """Operations on the tones of B pictures, N after another: `operations` (B, N) numbers in `OPERATIONS`, of which
    those that are no tones do nothing here; `amounts` (B, N) factors (brightness, colour, contrast, sharpness), bits
    that stay (posterize), the first level that is turned (solarize)."""

    operations: np.ndarray
    amounts: np.ndarray


def drawn(
    augmentation: Augmentation, seed: int, epoch: int, rows: np.ndarray, frame: Frame
) -> tuple[np.ndarray, Tones] | None:
    """What is drawn for `rows` (B,): the inverse (B, 3, 3) of how their pictures are moved, in the output (a point of
    it -> where its content was before), and what is done to their tones. None where neither policy is on."""
    if not augmentation.has_policy:
        return None
    trivial = augmentation.trivial_augment
    each = 1 if trivial else augmentation.rand_augment
    numbers = uniforms(seed, epoch, rows, EACH * each, purpose=PURPOSE).reshape(len(rows), each, EACH)
    operations = np.floor(numbers[:, :, 0] * len(OPERATIONS)).astype(np.int64)
    strengths = np.full(operations.shape, augmentation.rand_magnitude / STEPS)
    if trivial:
        strengths = np.floor(numbers[:, :, 1] * (STEPS + 1)) / STEPS
    most = np.array(list((TRIVIAL_AUGMENT if trivial else RAND_AUGMENT).values()))
    signed = np.isin(operations, [OPERATIONS.index(name) for name in SIGNED])
    amounts = most[operations] * strengths * np.where(signed & (numbers[:, :, 2] < 0.5), -1.0, 1.0)
    motions = np.broadcast_to(np.eye(3), (len(rows), 3, 3))
    for number in range(each):
        # The next operation works on what the one before made: its inverse is asked first.
        motions = motions @ _inverses(operations[:, number], amounts[:, number], frame, in_pixels=trivial)
    return motions, Tones(operations=operations, amounts=_of_tones(operations, amounts))


def _of_tones(operations: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Strengths as factors, bits and levels."""
    made = 1 + amounts
    names = np.array(OPERATIONS)[operations]
    made = np.where(names == "posterize", 8 - np.rint(amounts), made)
    return np.where(names == "solarize", 255 - amounts, made)


def _inverses(operations: np.ndarray, amounts: np.ndarray, frame: Frame, *, in_pixels: bool) -> np.ndarray:
    """Of one operation a picture, (B,): (B, 3, 3), about the centre of the output; of those on tones the identity."""
    names = np.array(OPERATIONS)[operations]
    made = np.broadcast_to(np.eye(3), (len(names), 3, 3)).copy()
    angles = np.radians(np.where(names == "rotate", amounts, 0.0))
    made[:, 0, 0] = made[:, 1, 1] = np.cos(angles)
    made[:, 0, 1] = np.where(names == "shear_x", amounts, np.sin(angles))
    made[:, 1, 0] = np.where(names == "shear_y", amounts, -np.sin(angles))
    centre = np.array([frame.width / 2, frame.height / 2])
    made[:, :2, 2] = centre - made[:, :2, :2] @ centre
    for axis, (name, side) in enumerate((("translate_x", frame.width), ("translate_y", frame.height))):
        made[:, axis, 2] += np.where(names == name, amounts * (1 if in_pixels else side), 0.0)
    return made
