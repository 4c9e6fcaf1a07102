"""What holds for every augmentation: a new field of `Augmentation` is tested on arrival."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from striate.data.augment import apply
from striate.data.augmentation import FITTED, Augmentation
from striate.data.drawing import draw
from striate.data.mixing import mix
from striate.data.variations import VARIATIONS
from striate.models.input_spec import InputSpec

# A strength that shows, for every field that turns something on.
STRENGTHS = {
    "pad_crop": 4,
    "random_resized_crop": 0.3,
    "flip_horizontal": True,
    "flip_vertical": True,
    "rotation": 30.0,
    "scale": 1.5,
    "shear": 20.0,
    "translation": 0.2,
    "brightness": 0.5,
    "contrast": 0.5,
    "saturation": 0.8,
    "hue": 0.3,
    "erasing": 0.9,
    "mixup": 1.0,
    "cutmix": 1.0,
    "elastic": 20.0,
    "pca_colour": 2.0,
    "rand_augment": 3,
    "trivial_augment": True,
    "blur": 2.0,
    "noise": 0.2,
    "jpeg": 90,
}
# Fields that shape another one, and that field.
DETAILS = {
    "crop_aspect": ("random_resized_crop", 3.0),
    "erasing_smallest": ("erasing", 0.3),
    "erasing_largest": ("erasing", 0.05),
    "elastic_sigma": ("elastic", 8.0),
    "rand_magnitude": ("rand_augment", 25.0),
}
# What is fitted on the training pictures: the axes of colour, of grey and of colour pictures.
AXES = {1: (0.06,), 3: (0.12, 0.11, 0.1, 0.01, 0.0, -0.01, 0.002, -0.004, 0.002)}
SIZES = {"small": ((16, 16), 16), "resized": ((24, 30), 16), "large": ((80, 100), 40)}


def made(
    options: Augmentation, *, size: str, channels: int = 3, dtype=np.uint8, seed=1, epoch=0, rows=None, uniform=True
):
    (height, width), side = SIZES[size]
    frame = InputSpec(channels=channels, height=side, width=side, mean=(0.4,) * channels, deviation=(0.2,) * channels)
    rows = np.arange(12) if rows is None else rows
    every = np.random.default_rng(0).uniform(0, 255, (12, height, width, channels)).astype(dtype)
    if options.pca_colour:
        options = replace(options, pca_axes=AXES[channels])
    drawn = draw(options, seed, epoch, rows, np.array([every.shape[1:]] * len(rows)), frame, uniform=uniform)
    placed = apply(every[rows] if uniform else list(every[rows]), drawn, frame)
    if drawn.mixed is not None and len(rows) == 12:
        placed = mix(placed, np.roll(np.arange(12), -1), drawn.mixed, drawn.shares)
    assert placed.shape == (len(rows), channels, side, side)
    assert placed.dtype == (torch.uint8 if dtype == np.uint8 else torch.float32)
    assert float(placed.min()) >= 0
    assert float(placed.max()) <= 255
    assert placed.is_contiguous(memory_format=torch.channels_last)
    return placed


def test_every_field_is_here():
    assert {item.name for item in fields(Augmentation)} == STRENGTHS.keys() | DETAILS.keys() | set(FITTED)
    assert set(VARIATIONS) == STRENGTHS.keys()


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize("size", SIZES)
def test_a_function_of_seed_epoch_and_row(name, size):
    options = Augmentation(**{name: STRENGTHS[name]})
    first = made(options, size=size)
    assert torch.equal(first, made(options, size=size))
    assert not torch.equal(first, made(options, size=size, epoch=1))
    assert not torch.equal(first, made(options, size=size, seed=2))
    assert not torch.equal(first, made(Augmentation(), size=size))


@pytest.mark.parametrize("name", [name for name in STRENGTHS if name not in ("mixup", "cutmix")])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_equal_however_the_batch_is_divided(name, size, dtype):
    options = Augmentation(**{name: STRENGTHS[name]})
    whole = made(options, size=size, dtype=dtype)
    parts = [
        made(options, size=size, dtype=dtype, rows=rows) for rows in (np.arange(5), np.arange(5, 6), np.arange(6, 12))
    ]
    assert torch.equal(torch.cat(parts), whole)
    backwards = made(options, size=size, dtype=dtype, rows=np.arange(12)[::-1].copy(), epoch=0)
    if not options.mixes:
        assert torch.equal(backwards.flip(0), whole)


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("uniform", [True, False])
def test_grey_and_ragged_pictures_work(name, channels, uniform):
    placed = made(Augmentation(**{name: STRENGTHS[name]}), size="large", channels=channels, uniform=uniform)
    if channels == 1 and name in ("saturation", "hue"):
        assert torch.equal(placed, made(Augmentation(), size="large", channels=1))


@pytest.mark.parametrize("name", DETAILS)
def test_details_do_nothing_alone_and_something_with_their_operation(name):
    other, value = DETAILS[name]
    assert torch.equal(made(Augmentation(**{name: value}), size="small"), made(Augmentation(), size="small"))
    plain = made(Augmentation(**{other: STRENGTHS[other]}), size="large")
    assert not torch.equal(made(Augmentation(**{other: STRENGTHS[other], name: value}), size="large"), plain)
