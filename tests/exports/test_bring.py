"""Preprocessing as a graph: bit for bit what `InputSpec.prepare` makes of the same raw pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.exports.pictures import odd_pictures
from striate.exports.whole import Bring, Normalize
from striate.models.input_spec import InputSpec
from striate.models.mean_picture import MeanPicture


def spec(channels: int, height: int, width: int, **more: object) -> InputSpec:
    plain = {"mean": (0.3, 0.6, 0.1)[:channels], "deviation": (0.2,) * channels}
    return InputSpec(channels=channels, height=height, width=width, **{**plain, **more})


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("fit", "share"), [("squash", 1.0), ("crop", 1.0), ("crop", 0.875), ("pad", 1.0)])
def test_raw_pictures_are_brought_to_the_input_to_the_bit(fit, share, channels, interpolation):
    frame = spec(channels, 20, 45, fit=fit, crop_share=share, interpolation=interpolation)
    bring = Bring(frame)
    for picture in odd_pictures(17, 20, 45):
        made = bring(torch.from_numpy(picture)[None])[0]
        assert made.dtype == torch.float32
        assert torch.equal(made, frame.prepare(picture).float()), picture.shape


def test_pictures_of_one_size_go_together():
    frame = spec(3, 16, 16, fit="crop")
    pictures = np.random.default_rng(0).integers(0, 256, (5, 30, 41, 3)).astype(np.uint8)
    together = Bring(frame)(torch.from_numpy(pictures))
    alone = torch.stack([frame.prepare(picture) for picture in pictures]).float()
    assert torch.equal(together, alone)


def test_what_is_brought_is_normalised_as_in_striate():
    draws = np.random.default_rng(0)
    picture = MeanPicture(draws.uniform(0, 1, (3, 9, 7)).astype(np.float32))
    for frame in (spec(3, 9, 7), spec(1, 9, 7), spec(3, 9, 7, mean_picture=picture)):
        brought = torch.from_numpy(draws.integers(0, 256, (4, frame.channels, 9, 7))).float()
        assert torch.equal(Normalize(*frame.line("cpu"))(brought), frame.normalize(brought))


def test_colours_become_grey_as_everywhere():
    """Pure colours and near-ties of the rounding, one pixel each."""
    frame = spec(1, 1, 1)
    levels = np.stack(np.meshgrid(*[[0, 1, 2, 127, 128, 254, 255]] * 3), axis=-1).reshape(-1, 1, 1, 3).astype(np.uint8)
    made = Bring(frame)(torch.from_numpy(levels))
    assert torch.equal(made, torch.stack([frame.prepare(one) for one in levels]).float())
    by_hand = (levels.astype(int) @ [19595, 38470, 7471] + 32768) // 65536
    assert np.array_equal(made[:, 0].numpy(), by_hand)


def test_the_pictures_of_a_proof_are_of_all_sorts_of_sizes():
    pictures = odd_pictures(64, 224, 192)
    sizes = {picture.shape[:2] for picture in pictures}
    assert len(pictures) == 64
    assert {(1, 1), (1, 192), (224, 1), (1, 700), (700, 1), (224, 192), (448, 384)} <= sizes
    assert min(min(size) for size in sizes) == 1
    assert max(max(size) for size in sizes) >= 900
    assert len(sizes) > 50
    for one, again in zip(pictures, odd_pictures(64, 224, 192), strict=True):
        assert one.dtype == np.uint8
        assert one.shape[2] == 3
        assert np.array_equal(one, again)
