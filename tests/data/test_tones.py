"""Tones against Pillow's ImageOps and ImageEnhance, picture by picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from striate.data.policy import OPERATIONS, TONES, Tones
from striate.data.tones import DOES, retone

EXACT: dict[str, tuple[list[float], Callable[[Image.Image, float], Image.Image]]] = {
    "posterize": ([1, 2, 4, 6, 8], lambda image, bits: ImageOps.posterize(image, int(bits))),
    "solarize": ([0, 17.0, 128.5, 240, 255], ImageOps.solarize),
    "autocontrast": ([0] * 5, lambda image, _: ImageOps.autocontrast(image)),
    "equalize": ([0] * 5, lambda image, _: ImageOps.equalize(image)),
}
FACTORS = [0.1, 0.55, 1.0, 1.4, 1.9]
NEAR = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "colour": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}


def batch(kind: str, channels: int = 3) -> torch.Tensor:
    chance = np.random.default_rng(2)
    low, high = {"all": (0, 256), "dull": (90, 140), "few": (0, 3)}[kind]
    values = chance.integers(low, high, (5, 23, 31, channels)).astype(np.uint8)
    if kind == "few":
        values[0], values[1, :, :, 0] = 77, 200  # a picture of one colour, and a channel
        values[2] *= 100
    return torch.from_numpy(values).permute(0, 3, 1, 2)


def images(pictures: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(one.permute(1, 2, 0).numpy().squeeze()) for one in pictures]


def test_every_operation_on_tones_is_compared() -> None:
    assert set(TONES) == EXACT.keys() | NEAR.keys() == DOES.keys()


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("kind", ["all", "dull", "few"])
@pytest.mark.parametrize("channels", [1, 3])
def test_tables_are_those_of_pillow(name, kind, channels) -> None:
    amounts, pillows = EXACT[name]
    pictures = batch(kind, channels)
    before = pictures.clone()
    made = DOES[name](pictures, np.array(amounts))
    assert torch.equal(pictures, before)
    for image, one, amount in zip(images(pictures), made, amounts, strict=True):
        expected = np.asarray(pillows(image, amount)).reshape(23, 31, channels)
        assert (one.permute(1, 2, 0).numpy() == expected).all()


@pytest.mark.parametrize("name", NEAR)
def test_factors_are_those_of_pillow(name) -> None:
    pictures = batch("all")
    made = DOES[name](pictures, np.array(FACTORS))
    for image, one, factor in zip(images(pictures), made, FACTORS, strict=True):
        expected = np.asarray(NEAR[name](image).enhance(factor)).astype(int)
        # Pillow rounds in between, and cuts where this rounds.
        assert np.abs(one.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 2


def test_operations_follow_one_another_in_their_order() -> None:
    pictures = batch("all")
    numbers = {name: OPERATIONS.index(name) for name in OPERATIONS}
    order = [("solarize", "posterize"), ("posterize", "solarize"), ("identity", "rotate"), ("equalize", "identity")]
    order.append(("autocontrast", "solarize"))
    operations = np.array([[numbers[name] for name in pair] for pair in order])
    amounts = np.array([[100.0, 2.0], [2.0, 100.0], [1.0, 7.0], [1.0, 1.0], [1.0, 128.0]])
    made = retone(pictures, Tones(operations=operations, amounts=amounts))
    for image, one, pair, own in zip(images(pictures), made, order, amounts, strict=True):
        for name, amount in zip(pair, own, strict=True):
            image = EXACT[name][1](image, amount) if name in EXACT else image
        assert (one.permute(1, 2, 0).numpy() == np.asarray(image)).all()
    assert torch.equal(made[2], pictures[2])
    # Deeper pictures become levels where an operation falls on them, and stay as they are elsewhere.
    deep = pictures.float() + 0.25
    toned = retone(deep, Tones(operations=operations, amounts=amounts))
    assert torch.equal(toned[[0, 1, 3, 4]].byte(), made[[0, 1, 3, 4]])
    assert torch.equal(toned[2], deep[2])


def test_pictures_without_an_inside_can_be_sharpened() -> None:
    for size in ((1, 1), (2, 5), (5, 2)):
        tiny = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
        assert torch.equal(DOES["sharpness"](tiny, np.array([0.1, 1.9])), tiny)
