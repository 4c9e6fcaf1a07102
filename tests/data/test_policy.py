"""RandAugment and TrivialAugment: which operations, how strong, which way; moved as they were composed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from striate.data import policy
from striate.data.augment import apply
from striate.data.augmentation import Augmentation
from striate.data.drawing import draw
from striate.data.draws import uniforms
from striate.data.policy import OPERATIONS, RAND_AUGMENT, TONES, TRIVIAL_AUGMENT
from striate.errors import InputError
from striate.models.input_spec import InputSpec

FRAME = InputSpec(channels=3, height=24, width=40, mean=(0.4,) * 3, deviation=(0.2,) * 3)
ROWS = np.arange(4000)


def by_hand(name: str, amount: float, pixels: bool) -> np.ndarray:
    """(3, 3): where the content of the output goes, the way a person thinks of it, about the centre."""
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = (20, 12), (-20, -12)
    inner = np.eye(3)
    if name == "rotate":
        angle = np.radians(amount)
        inner[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    elif name == "shear_x":
        inner[0, 1] = -amount
    elif name == "shear_y":
        inner[1, 0] = -amount
    elif name == "translate_x":
        inner[0, 2] = -amount * (1 if pixels else 40)
    elif name == "translate_y":
        inner[1, 2] = -amount * (1 if pixels else 24)
    return there @ inner @ back


@pytest.mark.parametrize("trivial", [False, True])
def test_operations_are_as_likely_and_compose_into_the_matrix(trivial) -> None:
    options = Augmentation(trivial_augment=True) if trivial else Augmentation(rand_augment=3, rand_magnitude=12.0)
    drawn = policy.drawn(options, 7, 1, ROWS, FRAME)
    assert drawn is not None
    motions, tones = drawn
    each = 1 if trivial else 3
    assert tones.operations.shape == (4000, each)
    assert stats.chisquare(np.bincount(tones.operations.reshape(-1), minlength=14)).pvalue > 0.001
    table = TRIVIAL_AUGMENT if trivial else RAND_AUGMENT
    numbers = uniforms(7, 1, ROWS, 3 * each, purpose=policy.PURPOSE).reshape(4000, each, 3)
    levels = np.floor(numbers[..., 1] * 31)
    if trivial:
        assert stats.chisquare(np.bincount(levels[:, 0].astype(int), minlength=31)).pvalue > 0.001
    for row in range(300):
        content = np.eye(3)
        for place in range(each):
            name = OPERATIONS[tones.operations[row, place]]
            strength = table[name] * (levels[row, place] / 30 if trivial else 12 / 30)
            signed = strength * (-1 if numbers[row, place, 2] < 0.5 else 1)
            content = by_hand(name, signed, trivial) @ content
            amount = tones.amounts[row, place]
            if name in ("brightness", "colour", "contrast", "sharpness"):
                assert amount == pytest.approx(1 + signed)
            elif name == "posterize":
                assert amount == 8 - round(strength)
            elif name == "solarize":
                assert amount == pytest.approx(255 - strength)
        assert np.allclose(motions[row] @ content, np.eye(3), atol=1e-9)


def test_no_strength_leaves_the_picture_but_for_what_has_none() -> None:
    options = Augmentation(rand_augment=1, rand_magnitude=0.0)
    pictures = np.random.default_rng(0).integers(0, 256, (60, 24, 40, 3), dtype=np.uint8)
    drawn = draw(options, 0, 0, np.arange(60), np.array([(24, 40, 3)] * 60), FRAME, uniform=True)
    made = apply(pictures, drawn, FRAME).permute(0, 2, 3, 1).numpy()
    assert drawn.tones is not None
    names = np.array(OPERATIONS)[drawn.tones.operations[:, 0]]
    same = (made == pictures).all(axis=(1, 2, 3))
    strong = np.isin(names, ["autocontrast", "equalize", "solarize"])  # solarize at 255 turns the white ones
    assert same[~strong].all()
    assert not same[names == "equalize"].any()


def test_a_motion_of_the_policy_comes_after_the_others() -> None:
    both = Augmentation(rotation=20.0, flip_horizontal=True, rand_augment=2, rand_magnitude=20.0)
    rows, shapes = np.arange(40), np.array([(48, 60, 3)] * 40)
    whole = draw(both, 1, 0, rows, shapes, FRAME, uniform=True).placement.matrices
    own = draw(Augmentation(rotation=20.0, flip_horizontal=True), 1, 0, rows, shapes, FRAME, uniform=True)
    drawn = policy.drawn(both, 1, 0, rows, FRAME)
    assert drawn is not None
    assert np.allclose(whole, own.placement.matrices @ drawn[0], atol=1e-9)


def test_tones_and_motions_are_told_apart() -> None:
    assert len(OPERATIONS) == 14
    assert {*TONES, *policy.GEOMETRY, "identity"} == set(OPERATIONS)
    assert TRIVIAL_AUGMENT.keys() == RAND_AUGMENT.keys()


def test_both_at_once_are_refused() -> None:
    with pytest.raises(InputError, match="cannot both be given"):
        Augmentation(rand_augment=2, trivial_augment=True)
