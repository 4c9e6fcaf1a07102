"""The input specification: fitted exactly, applied alike to integers and floats, read back or refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import InputError
from striate.models.input_spec import InputSpec, fit_input_spec, pixel_statistics


class Kept:
    """Decoded pictures in a list."""

    def __init__(self, pictures) -> None:
        self.list = list(pictures)
        self.shapes = np.array([picture.shape for picture in pictures]).reshape(-1, 3)
        self.uniform = len({(picture.shape, picture.dtype) for picture in pictures}) == 1

    def __len__(self) -> int:
        return len(self.list)

    def pixels(self, index):
        return self.list[index]

    def block(self, indices):
        return np.stack([self.list[int(index)] for index in indices])


def noise(sizes, channels=3, dtype=np.uint8):
    chance = np.random.default_rng(0)
    return Kept([chance.uniform(0, 255, (*size, channels)).astype(dtype) for size in sizes])


VALID = {
    "channels": 3,
    "height": 20,
    "width": 30,
    "fit": "crop",
    "crop_share": 0.875,
    "interpolation": "bicubic",
    "mean": [0.1, 0.2, 0.3],
    "deviation": [0.5, 0.5, 0.25],
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("sizes", [[(8, 9)] * 7, [(8, 9), (30, 4), (1, 1)]])
@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_deviation_are_those_of_all_pixels(dtype, sizes, channels):
    kept = noise(sizes, dtype=dtype)
    mean, deviation = pixel_statistics(kept, channels)
    every = np.concatenate([picture.reshape(-1, 3) for picture in kept.list]).astype(np.float64)
    if channels == 1:
        every = every @ np.array([[19595.0], [38470.0], [7471.0]]) / 65536
        every = np.floor(every + 0.5) if dtype == np.uint8 else every.astype(np.float32).astype(np.float64)
    assert mean == pytest.approx(every.mean(axis=0) / 255, rel=1e-12)
    assert deviation == pytest.approx(every.std(axis=0) / 255, rel=1e-10)


def test_normalized_training_pictures_have_mean_0_and_deviation_1():
    kept = noise([(16, 12)] * 20)
    spec, _ = fit_input_spec(kept)
    batch = spec.normalize(torch.stack([spec.prepare(picture) for picture in kept.list]))
    assert batch.dtype == torch.float32
    assert batch.mean((0, 2, 3)).abs().max() < 1e-5
    assert (batch.std((0, 2, 3), unbiased=False) - 1).abs().max() < 1e-5


def test_pictures_of_one_colour_do_not_divide_by_zero():
    spec, _ = fit_input_spec(Kept([np.full((8, 8, 1), 7, np.uint8)] * 3))
    assert spec.deviation == (1 / 255,)


@pytest.mark.parametrize(
    ("sizes", "size", "fit"),
    [
        ([(28, 28)] * 3, (28, 28), "squash"),
        ([(32, 48)] * 3, (32, 48), "squash"),
        ([(1, 1)] * 3, (8, 8), "squash"),
        ([(20, 20), (30, 30), (40, 40)], (30, 30), "squash"),
        ([(480, 640)] * 3, (192, 256), "squash"),
        ([(2000, 2000)] * 3, (224, 224), "squash"),
        ([(300, 400), (400, 300), (350, 380)], (224, 224), "squash"),
        ([(100, 600), (600, 100), (200, 600)], (224, 224), "pad"),
        ([(8, 4000)] * 3, (96, 352), "pad"),
    ],
)
def test_the_size_and_the_fit_come_from_the_sizes(sizes, size, fit):
    kept = noise([(4, 4)] * len(sizes))
    spec, sentence = fit_input_spec(kept, sizes=np.array(sizes))
    assert (spec.height, spec.width) == size
    assert spec.fit == fit
    assert f"{size[1]}x{size[0]}" in sentence
    assert "\n" not in sentence


def test_what_is_given_is_kept():
    kept = noise([(50, 90), (30, 30)])
    spec, sentence = fit_input_spec(
        kept, size=64, fit="crop", channels=1, mean=(0.3,), deviation=(0.7,), crop_share=0.9, interpolation="bicubic"
    )
    assert (spec.channels, spec.height, spec.width, spec.fit) == (1, 64, 64, "crop")
    assert (spec.mean, spec.deviation, spec.crop_share, spec.interpolation) == ((0.3,), (0.7,), 0.9, "bicubic")
    assert "as asked" in sentence


def test_grey_pictures_give_one_channel_and_one_in_colour_gives_three():
    grey = noise([(9, 9)] * 3, channels=1)
    assert fit_input_spec(grey)[0].channels == 1
    mixed = Kept([*grey.list, *noise([(9, 9)]).list])
    spec, _ = fit_input_spec(mixed)
    assert spec.channels == 3
    assert spec.prepare(grey.list[0]).shape == (3, 9, 9)


def test_no_pictures_are_refused():
    with pytest.raises(InputError, match="no training pictures"):
        fit_input_spec(Kept([]))


def test_json_comes_back_as_it_went():
    spec = InputSpec.from_json(VALID)
    assert InputSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.to_json() == VALID


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 2},
        {"channels": True},
        {"height": 0},
        {"height": 10**9},
        {"width": 3.5},
        {"fit": "bend"},
        {"fit": ["crop"]},
        {"crop_share": 0},
        {"crop_share": "all"},
        {"crop_share": float("nan")},
        {"interpolation": "nearest"},
        {"mean": [0.1]},
        {"mean": "abc"},
        {"mean": [0.1, 0.2, float("inf")]},
        {"mean": [10**400] * 3},
        {"mean": None},
        {"deviation": [0.1, 0, 0.1]},
        {"deviation": [1e-300] * 3},
        {"more": 1},
    ],
)
def test_what_is_no_specification_is_refused(change):
    with pytest.raises(InputError):
        InputSpec.from_json(VALID | change)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(list(VALID)),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), st.lists, max_leaves=5
        ),
        max_size=4,
    )
)
def test_mutated_json_gives_a_specification_or_input_error(change):
    try:
        spec = InputSpec.from_json(VALID | change)
    except InputError:
        return
    if spec.height * spec.width > 10_000:
        return
    assert spec.prepare(np.zeros((4, 4, 1), np.uint8)).shape == (spec.channels, spec.height, spec.width)
