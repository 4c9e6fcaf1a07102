"""Colours of maps: even steps of light, no sign that is lighter than the other, and 0 stays nothing."""

from __future__ import annotations

import numpy as np
import pytest

from striate.reports import colours


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L* (D65) of sRGB colours (..., 3) `uint8`, by its definition: another space than the one that made them."""
    linear = rgb.astype(np.float64) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return 116 * np.where(luminance > (6 / 29) ** 3, np.cbrt(luminance), luminance / (3 * (6 / 29) ** 2) + 4 / 29) - 16


def test_lightness_of_black_grey_and_white() -> None:
    found = lightness(np.array([[0, 0, 0], [119, 119, 119], [255, 255, 255]], dtype=np.uint8))
    assert found == pytest.approx([0, 50.03, 100], abs=0.05)


def test_equal_steps_of_heat_are_equal_steps_of_light() -> None:
    light = lightness(colours.heat(np.linspace(0, 1, 11)))
    steps = np.diff(light)
    assert steps.min() > 0.7 * steps.mean()
    assert steps.max() < 1.3 * steps.mean()
    assert light[0] < 2
    assert light[-1] > 95


def test_both_signs_are_equally_light_and_nothing_is_dark() -> None:
    values = np.linspace(0, 1, 9)
    plus, minus = lightness(colours.signed(values)), lightness(colours.signed(-values))
    assert np.abs(plus - minus).max() < 4
    assert np.diff(plus).min() > 5
    assert plus[0] < 12
    orange, blue = colours.signed(np.array([1.0, -1.0])).astype(int)
    assert orange[0] - orange[2] > 100  # red over blue, and the other way round
    assert blue[2] - blue[0] > 100


def test_white_and_grey_come_back_from_oklab() -> None:
    found = colours.from_oklab(np.array([[0.0, 0, 0], [1.0, 0, 0], [0.5999, 0, 0]]))
    assert found.tolist() == [[0, 0, 0], [255, 255, 255], [128, 128, 128]]


def test_a_map_is_scaled_and_never_shifted() -> None:
    values = np.array([[0.0, 2.0], [-4.0, 1.0]])
    assert colours.scaled(values, colours.strength(values)).tolist() == [[0, 0.5], [-1, 0.25]]
    assert colours.scaled(np.zeros((2, 2)), 0.0).tolist() == [[0, 0], [0, 0]]
    # A single pixel of a thousand that sticks out does not make all others dark.
    many = np.ones(1000)
    many[7] = 1e6
    assert colours.strength(many) == 1
    # Where nearly all are 0, the few that are not are what counts.
    few = np.zeros(1000)
    few[7] = 3
    assert colours.strength(few) == 3


def test_a_map_over_a_picture_leaves_what_it_does_not_mark_grey_and_hides_nothing_wholly() -> None:
    picture = np.zeros((2, 2, 3), dtype=np.uint8)
    picture[:, 0] = (200, 100, 0)
    drawn = colours.over(np.array([[0.0, 0.0], [1.0, 1.0]]), picture, 1.0).astype(int)
    assert len(set(drawn[0, 0])) == 1  # grey
    assert drawn[0, 1].tolist() == [0, 0, 0]
    assert drawn[1, 0].tolist() != drawn[1, 1].tolist()  # the picture shows through the strongest place
    grey = colours.over(np.ones((2, 2)), picture[..., :1], 1.0)
    assert grey.shape == (2, 2, 3)


def test_a_map_with_a_sign_gets_the_scale_with_a_sign() -> None:
    assert colours.alone(np.array([[0.0, 1.0]]), 1.0).tolist() == colours.heat(np.array([[0.0, 1.0]])).tolist()
    assert colours.alone(np.array([[-1.0, 1.0]]), 1.0).tolist() == colours.signed(np.array([[-1.0, 1.0]])).tolist()
