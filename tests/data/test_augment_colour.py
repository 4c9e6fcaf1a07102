"""Colours against Pillow's ImageEnhance and a float64 formula; mixing against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from striate.data.colour import change, mean_luma
from striate.data.mixing import mix


def batch(count: int = 6, channels: int = 3, low: int = 0, high: int = 256) -> torch.Tensor:
    values = np.random.default_rng(1).integers(low, high, (count, 20, 24, channels), dtype=np.uint8)
    return torch.from_numpy(values).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("place", "enhance"), [(0, ImageEnhance.Brightness), (1, ImageEnhance.Contrast), (2, ImageEnhance.Color)]
)
def test_factors_are_those_of_pillow(place, enhance):
    pictures = batch()
    factors = np.array([0.0, 0.4, 0.9, 1.0, 1.3, 2.0])
    arguments = [None] * 4
    arguments[place] = factors
    changed = change(pictures, *arguments)
    assert changed.dtype == torch.uint8
    assert changed.is_contiguous(memory_format=torch.channels_last)
    for picture, one, factor in zip(pictures, changed, factors, strict=True):
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
        expected = np.asarray(enhance(image).enhance(float(factor))).astype(int)
        # Pillow rounds the mean luma and the pixel's to whole levels first, and cuts where this rounds.
        assert np.abs(one.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 2


def test_grey_pictures_follow_pillow_and_have_no_colour():
    pictures = batch(channels=1)
    changed = change(pictures, None, np.full(6, 1.5), None, None)
    expected = np.asarray(ImageEnhance.Contrast(Image.fromarray(pictures[0, 0].numpy())).enhance(1.5)).astype(int)
    assert np.abs(changed[0, 0].numpy().astype(int) - expected).max() <= 2
    assert torch.equal(change(pictures, None, None, np.full(6, 0.2), np.full(6, 0.3)), pictures)


def test_saturation_and_hue_leave_grey_content_and_luma():
    grey = batch(channels=1).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
    assert torch.equal(change(grey, None, None, np.full(6, 1.7), np.full(6, 0.25)), grey)
    pictures = batch(low=90, high=160)  # far from the limits, whatever the turn
    turned = change(pictures.float(), None, None, None, np.linspace(-0.5, 0.5, 6))
    weights = torch.tensor([19595, 38470, 7471]).view(1, 3, 1, 1) / 65536
    assert torch.allclose((turned * weights).sum(1), (pictures * weights).sum(1), atol=1e-3)


def test_hue_turns_the_plane_of_i_and_q():
    pictures = batch(low=100, high=150).float()
    turns = np.array([0.25, -0.1, 0.5, 0.0, 0.05, 0.4])
    turned = change(pictures, None, None, None, turns).double().numpy()

    def yiq(values: np.ndarray) -> np.ndarray:
        red, green, blue = values
        y = 0.299 * red + 0.587 * green + 0.114 * blue
        return 0.74 * (red - y) - 0.27 * (blue - y) + 1j * (0.48 * (red - y) + 0.41 * (blue - y))

    for before, after, turn in zip(pictures.double().numpy(), turned, turns, strict=True):
        assert np.allclose(yiq(after), yiq(before) * np.exp(2j * np.pi * turn), atol=2e-2)


def test_operations_compose_and_are_limited_once():
    pictures = batch().float()
    # Twice as bright and then half the contrast: nothing is cut off in between.
    changed = change(pictures, np.full(6, 2.0), np.full(6, 0.5), None, None)
    means = mean_luma(pictures).float().view(-1, 1, 1, 1)
    assert torch.allclose(changed, (pictures + means).clamp(0, 255), atol=0.05)
    assert changed.min() >= 0
    assert changed.max() <= 255


def test_mean_luma_is_exact():
    pictures = batch()
    weights = np.array([19595, 38470, 7471]) / 65536
    expected = (pictures.double().numpy() * weights[None, :, None, None]).sum(1).mean((1, 2))
    assert np.allclose(mean_luma(pictures.float(), torch.uint8).numpy(), expected, rtol=0, atol=1e-9)


def test_mixup_and_cutmix_are_what_they_say():
    pictures = batch(4)
    boxes = np.array([(0, 0, 0, 0), (3, 2, 11, 9), (0, 0, 0, 0)])
    shares = np.array([0.25, 1 - 8 * 7 / (20 * 24), 1.0])
    mixed = mix(pictures, np.array([1, 2, 3]), boxes, shares)
    assert mixed.shape == (3, 3, 20, 24)
    expected = 0.25 * pictures[0].double() + 0.75 * pictures[1].double()
    assert (mixed[0].double() - expected).abs().max() <= 0.5
    pasted = pictures[1].clone()
    pasted[:, 2:9, 3:11] = pictures[2][:, 2:9, 3:11]
    assert torch.equal(mixed[1], pasted)
    assert torch.equal(mixed[2], pictures[2])
