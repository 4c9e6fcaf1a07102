"""Pictures as waves: what a wave looks like, the same picture on more pixels, where the first waves come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.views.canvas import FIRST_STRENGTH, GAIN, enlarged, first_waves, painted


@pytest.mark.parametrize(("height", "width"), [(16, 16), (12, 20), (9, 15)])
def test_a_wave_is_a_cosine_as_strong_as_it_is_long(height: int, width: int) -> None:
    waves = torch.zeros(1, 1, height, width // 2 + 1, 2)
    waves[0, 0, 2, 3, 0] = 1.0
    made = painted(waves, (height, width), torch.tensor([0.3]))[0, 0].double().numpy()
    y, x = np.mgrid[:height, :width].astype(np.float64)
    cycles = np.hypot(2 / height, 3 / width) * max(height, width)
    # A real picture has each wave twice: once for each of its directions.
    plane = GAIN * 2 * np.cos(2 * np.pi * (2 * y / height + 3 * x / width)) / cycles
    expected = 1 / (1 + np.exp(-(plane + np.log(0.3 / 0.7))))
    assert np.abs(made - expected).max() < 1e-5


def test_without_waves_there_is_the_middle_colour() -> None:
    made = painted(torch.zeros(1, 3, 8, 5, 2), (8, 8), torch.tensor([0.5, 0.2, 0.0]))
    assert torch.allclose(made, torch.tensor([0.5, 0.2, 0.05]).view(1, 3, 1, 1).expand(1, 3, 8, 8), atol=1e-6)


@pytest.mark.parametrize(("size", "factor"), [((9, 7), 3), ((8, 8), 2), ((8, 11), 2), ((5, 12), 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_on_more_pixels_it_is_the_same_picture(size: tuple[int, int], factor: int, channels: int) -> None:
    waves = 100 * first_waves(0, np.arange(2), channels, size)
    # The shortest wave of an even side stands for two of a larger picture and is left out.
    if size[0] % 2 == 0:
        waves[:, :, size[0] // 2] = 0
    if size[1] % 2 == 0:
        waves[:, :, :, size[1] // 2] = 0
    middle, larger = torch.full((channels,), 0.4), (factor * size[0], factor * size[1])
    small = painted(waves, size, middle)
    large = painted(enlarged(waves, size, larger), larger, middle)
    assert small.std() > 0.05
    assert torch.allclose(large[:, :, ::factor, ::factor], small, atol=1e-5)


def test_the_first_waves_are_normal_and_depend_on_seed_and_row_alone() -> None:
    several = first_waves(5, np.array([3, 7]), 3, (32, 33))
    assert torch.equal(first_waves(5, np.array([7]), 3, (32, 33))[0], several[1])
    assert not torch.equal(several[0], several[1])
    assert not torch.equal(first_waves(6, np.array([7]), 3, (32, 33))[0], several[1])
    values = several.flatten().double() / FIRST_STRENGTH
    assert abs(float(values.mean())) < 0.05
    assert float(values.std()) == pytest.approx(1.0, abs=0.03)
    assert float((values.abs() < 1).double().mean()) == pytest.approx(0.6827, abs=0.02)
    assert abs(float(torch.corrcoef(several.view(-1, 2).T.double())[0, 1])) < 0.05
