"""Geometry against a supersampled warp in float64; points, masks and pictures must agree on where things are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from striate.data import drawing
from striate.data.augment import apply, preview
from striate.data.augmentation import Augmentation
from striate.data.drawing import draw
from striate.data.draws import uniforms
from striate.data.placement import Placement, reflected
from striate.errors import InputError
from striate.machine.beside import Beside
from striate.models.input_spec import InputSpec

GEOMETRY: list[dict[str, Any]] = [
    {"pad_crop": 4},
    {"random_resized_crop": 0.4},
    {"flip_horizontal": True},
    {"flip_vertical": True},
    {"rotation": 40.0},
    {"scale": 1.4},
    {"shear": 20.0},
    {"translation": 0.2},
    {"rotation": 15.0, "scale": 1.2, "shear": 8.0, "translation": 0.1, "flip_horizontal": True},
    {"random_resized_crop": 0.5, "rotation": 20.0, "flip_vertical": True, "pad_crop": 3},
    {"random_resized_crop": 0.5, "scale": 1.2, "flip_horizontal": True},
]
FITS = ["squash", "crop", "pad"]
BESIDE = [None, Beside("cpu")]  # as on the processor, and as on an accelerator


def spec(channels: int = 3, height: int = 32, width: int = 32, fit: str = "squash", **more: Any) -> InputSpec:
    return InputSpec(
        channels=channels,
        height=height,
        width=width,
        fit=fit,
        mean=(0.4,) * channels,
        deviation=(0.2,) * channels,
        **more,
    )


def smooth(seed: int, height: int, width: int, channels: int = 3, waves: float = 3.0) -> np.ndarray:
    """A picture of a few slow waves, uint8 (H, W, C)."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    planes = []
    for _ in range(channels):
        a, b, c, d = chance.uniform(-waves, waves, 4)
        planes.append(127 + 60 * np.sin(2 * np.pi * (a * x + b * y)) + 60 * np.cos(2 * np.pi * (c * x + d * y) + a))
    return np.stack(planes, axis=2).round().astype(np.uint8)


def oracle(pixels: np.ndarray, placement: Placement, index: int, fill: float, points: int = 6) -> np.ndarray:
    """(H, W, C) warped in float64 with `points` x `points` bilinear samples an output pixel, (h, w, C)."""
    matrix, box = placement.matrices[index], placement.boxes[index]
    x = (np.arange(placement.width * points) + 0.5) / points
    y = (np.arange(placement.height * points) + 0.5) / points
    across = matrix[0, 0] * x[None] + matrix[0, 1] * y[:, None] + matrix[0, 2]
    down = matrix[1, 0] * x[None] + matrix[1, 1] * y[:, None] + matrix[1, 2]
    outside = (across < box[0]) | (across > box[2]) | (down < box[1]) | (down > box[3])
    if placement.reflect:
        across, down = reflected(across, box[0], box[2]), reflected(down, box[1], box[3])
    height, width = pixels.shape[:2]
    column, line = across - 0.5, down - 0.5
    left, top = np.floor(column).astype(int), np.floor(line).astype(int)
    right_share, below_share = (column - left)[..., None], (line - top)[..., None]
    wide = pixels.astype(np.float64)

    def at(lines: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return wide[np.clip(lines, 0, height - 1), np.clip(columns, 0, width - 1)]

    upper = at(top, left) * (1 - right_share) + at(top, left + 1) * right_share
    lower = at(top + 1, left) * (1 - right_share) + at(top + 1, left + 1) * right_share
    warped = upper * (1 - below_share) + lower * below_share
    if not placement.reflect:
        warped = np.where(outside[..., None], fill, warped)
    shape = (placement.height, points, placement.width, points, pixels.shape[2])
    return warped.reshape(shape).mean(axis=(1, 3))


@pytest.mark.parametrize("options", GEOMETRY, ids=lambda options: "+".join(options))
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("sizes", "uniform"),
    [([(32, 32)] * 4, True), ([(40, 52)] * 4, True), ([(90, 130), (150, 100), (70, 70)], False)],
)
@pytest.mark.parametrize("beside", BESIDE, ids=["one by one", "at once"])
def test_pictures_follow_a_supersampled_warp(options, fit, sizes, uniform, beside):
    pictures = [smooth(i, *size) for i, size in enumerate(sizes)]
    frame = spec(fit=fit)
    shapes = np.array([picture.shape for picture in pictures])
    drawn = draw(Augmentation(**options), 3, 1, np.arange(len(pictures)), shapes, frame, uniform=uniform)
    made = apply(np.stack(pictures) if uniform else pictures, drawn, frame, beside)
    assert made.dtype == torch.uint8
    assert made.shape == (len(pictures), 3, 32, 32)
    assert made.is_contiguous(memory_format=torch.channels_last)
    for index, picture in enumerate(pictures):
        expected = oracle(picture, drawn.placement, index, fill=102)
        error = np.abs(made[index].permute(1, 2, 0).numpy() - expected)
        # Filters differ (a triangle reaches further than a box), most of all at the edge of a padding.
        assert error.mean() < (6.0 if fit == "pad" else 3.0)
        assert np.median(error) < 2.5


@pytest.mark.parametrize("options", GEOMETRY, ids=lambda options: "+".join(options))
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("size", "uniform"), [((32, 32), True), ((48, 40), True), ((120, 160), False)])
def test_a_planted_spot_is_where_the_point_and_the_mask_say(options, fit, size, uniform):
    height, width = size
    radius = max(1.5, width / 20)
    y, x = np.mgrid[0:height, 0:width] + 0.5
    spots = np.array([(0.55 * width, 0.4 * height), (0.4 * width, 0.6 * height), (0.5 * width, 0.5 * height)] * 3)
    masks = np.stack([((x - spot[0]) ** 2 + (y - spot[1]) ** 2 <= radius**2) for spot in spots])
    pictures = np.repeat(np.where(masks, 255, 0).astype(np.uint8)[..., None], 3, axis=3)
    frame = spec(fit=fit, height=32, width=32)
    drawn = draw(
        Augmentation(**options), 7, 0, np.arange(9), np.array([(height, width, 3)] * 9), frame, uniform=uniform
    )
    made = apply(pictures if uniform else list(pictures), drawn, frame).float()[:, 0].numpy()
    points = drawn.placement.move_points(spots[:, None])[:, 0]
    moved = drawn.placement.move_masks(masks)
    assert moved.shape == (9, 32, 32)
    lines, columns = np.mgrid[0:32, 0:32] + 0.5
    seen = 0
    for picture, point, mask, box in zip(made, points, moved, drawn.placement.boxes, strict=True):
        if not (4 < point[0] < 28 and 4 < point[1] < 28) or (box[2] - box[0]) > 3 * width:
            continue
        near = ((columns - point[0]) ** 2 + (lines - point[1]) ** 2) < 7**2
        light = np.where(near & (picture > 128), picture - 102.0, 0)  # above the fill
        assert light.sum() > 0
        assert (light * columns).sum() / light.sum() == pytest.approx(point[0], abs=0.75)
        assert (light * lines).sum() / light.sum() == pytest.approx(point[1], abs=0.75)
        # The mask is the picture's bright part, but for its rim.
        assert (mask != (picture > 128)).mean() < 0.03
        seen += 1
    assert seen >= 3


def test_masks_come_in_another_size_and_are_filled_outside():
    frame = spec(fit="pad")
    drawn = draw(Augmentation(), 0, 0, np.arange(1), np.array([(20, 40, 3)]), frame)
    masks = np.ones((1, 20, 40), dtype=np.int64)
    whole = drawn.placement.move_masks(masks, outside=255)
    assert (whole[0, 8:24] == 1).all()
    assert (whole[0, :8] == 255).all()
    assert (whole[0, 24:] == 255).all()
    quarter = drawn.placement.move_masks(masks, (8, 8), outside=255)
    assert (quarter[0] == whole[0, ::4, ::4]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_drawn_is_an_exact_copy_of_pictures_of_the_size(dtype, channels):
    block = np.random.default_rng(0).uniform(0, 255, (5, 32, 32, channels)).astype(dtype)
    frame = spec(channels)
    drawn = draw(Augmentation(), 0, 0, np.arange(5), np.array([block.shape[1:]] * 5), frame, uniform=True)
    assert (drawn.placement.matrices == np.eye(3)).all()
    made = apply(block, drawn, frame)
    assert made.numpy().transpose(0, 2, 3, 1).tobytes() == block.tobytes()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("share", [1.0, 0.8])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_nothing_drawn_is_what_prepare_gives(fit, share, dtype):
    frame = spec(fit=fit, crop_share=share)
    pictures = [smooth(i, *size).astype(dtype) for i, size in enumerate([(50, 90), (33, 32), (32, 32), (7, 5), (1, 1)])]
    pictures.append(pictures[0][..., :1])  # a grey one among them
    drawn = draw(Augmentation(), 0, 0, np.arange(6), np.array([picture.shape for picture in pictures]), frame)
    made = apply(pictures, drawn, frame)
    for picture, one in zip(pictures, made, strict=True):
        assert torch.equal(frame.prepare(picture), one)


def test_shifts_and_flips_at_the_own_size_are_exact():
    block = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 3), dtype=np.uint8)
    frame = spec(height=12, width=10)
    options = Augmentation(pad_crop=4, flip_horizontal=True, flip_vertical=True)
    drawn = draw(options, 0, 0, np.arange(40), np.array([(12, 10, 3)] * 40), frame, uniform=True)
    made = apply(block, drawn, frame).permute(0, 2, 3, 1).numpy()
    corners = set()
    for picture, one, matrix in zip(block, made, drawn.placement.matrices, strict=True):
        columns = np.floor(reflected(matrix[0, 0] * (np.arange(10) + 0.5) + matrix[0, 2], 0, 10)).astype(int)
        lines = np.floor(reflected(matrix[1, 1] * (np.arange(12) + 0.5) + matrix[1, 2], 0, 12)).astype(int)
        assert (one == picture[lines][:, columns]).all()
        corners.add((matrix[0, 0], matrix[1, 1]))
    assert len(corners) == 4  # every way of flipping was seen
    assert drawn.shifts.min() == -4
    assert drawn.shifts.max() == 4


@pytest.mark.parametrize("options", [{"random_resized_crop": 0.9}, {"random_resized_crop": 0.9, "rotation": 5.0}])
@pytest.mark.parametrize("beside", BESIDE, ids=["one by one", "at once"])
def test_what_is_finer_than_the_output_does_not_alias(options, beside):
    # Stripes of 1.25 a pixel of the output: above the Nyquist limit of 0.5, they may not come back as slow waves.
    y, x = np.mgrid[0:400, 0:400]
    grating = (127.5 + 127.5 * np.cos(2 * np.pi * 0.3125 * (x + 0.3 * y)))[..., None].astype(np.uint8)
    frame = spec(1, 96, 96)
    drawn = draw(Augmentation(**options), 0, 0, np.arange(3), np.array([(400, 400, 1)] * 3), frame)
    made = apply([grating] * 3, drawn, frame, beside).float()
    assert float(made.std()) < 0.25 * grating.std()
    plain = torch.nn.functional.interpolate(torch.from_numpy(grating).float()[None, ..., 0][None], size=96)
    assert float(plain.std()) > 0.9 * grating.std()  # the test sees aliasing where there is some


def test_small_pictures_shrunk_by_a_warp_do_not_alias():
    grating = np.tile(np.array([0, 255], dtype=np.uint8), 32)[None, :, None].repeat(64, 0)
    frame = spec(1, 32, 32)
    drawn = draw(
        Augmentation(rotation=10.0, scale=1.05), 0, 0, np.arange(8), np.array([(64, 64, 1)] * 8), frame, uniform=True
    )
    made = apply(grating[None].repeat(8, 0), drawn, frame).float()
    assert float(made[:, :, 8:24, 8:24].std()) < 0.2 * grating.std()


def test_boxes_of_random_crops_are_whole_pixels_within_the_picture_and_their_share():
    frame = spec(height=24, width=24)
    rows = np.arange(500)
    drawn = draw(Augmentation(random_resized_crop=0.3), 0, 0, rows, np.array([(200, 300, 3)] * 500), frame)
    matrices = drawn.placement.matrices
    left, top = matrices[:, 0, 2], matrices[:, 1, 2]
    width, height = matrices[:, 0, 0] * 24, matrices[:, 1, 1] * 24
    for values in (left, top, width, height):
        assert np.allclose(values, np.rint(values), atol=1e-9)
    assert left.min() >= 0
    assert top.min() >= 0
    assert (left + width).max() <= 300 + 1e-9
    assert (top + height).max() <= 200 + 1e-9
    shares = width * height / (200 * 300)
    assert 0.27 < shares.min() < 0.33
    assert 0.9 < shares.max() <= 1
    # Squashed, the whole picture is a square: boxes keep its shape to within 4 / 3.
    aspects = (width / 300) / (height / 200)
    assert aspects.max() * 1.05 > 4 / 3
    assert aspects.max() < 4 / 3 * 1.05


def test_draws_cover_their_ranges():
    frame = spec()
    rows, shapes = np.arange(4000), np.array([(32, 32, 3)] * 4000)
    drawn = draw(Augmentation(rotation=30.0), 5, 0, rows, shapes, frame, uniform=True)
    angles = np.degrees(np.arctan2(drawn.placement.matrices[:, 0, 1], drawn.placement.matrices[:, 0, 0]))
    assert -30 <= angles.min() < -29
    assert 29 < angles.max() <= 30
    assert abs(angles.mean()) < 1.5
    drawn = draw(Augmentation(scale=2.0), 5, 0, rows, shapes, frame, uniform=True)
    factors = 1 / drawn.placement.matrices[:, 0, 0]
    assert 0.5 <= factors.min() < 0.51
    assert 1.96 < factors.max() <= 2
    assert abs(np.log(factors).mean()) < 0.03
    drawn = draw(Augmentation(flip_horizontal=True), 5, 0, rows, shapes, frame, uniform=True)
    assert 0.47 < drawn.flips[:, 0].mean() < 0.53
    assert not drawn.flips[:, 1].any()
    both = Augmentation(flip_horizontal=True, flip_vertical=True)
    seen = [draw(both, 5, epoch, rows, shapes, frame, uniform=True).flips @ [1, 2] for epoch in range(4)]
    assert (np.sort(np.stack(seen), axis=0) == np.arange(4)[:, None]).all()  # each way once in four epochs
    drawn = draw(Augmentation(mixup=0.4, cutmix=1.0), 5, 0, rows, shapes, frame, uniform=True)
    assert drawn.shares.min() >= 0
    assert drawn.shares.max() <= 1
    pasted = drawn.mixed[:, 2] > drawn.mixed[:, 0]
    assert 0.4 < pasted.mean() < 0.55
    # Beta(0.4, 0.4) has the variance 1 / (4 (2 * 0.4 + 1)).
    assert drawn.shares[~pasted].var() == pytest.approx(1 / 7.2, rel=0.12)


def test_one_operation_changes_no_draw_of_another():
    frame, rows, shapes = spec(), np.arange(50), np.array([(32, 32, 3)] * 50)
    alone = draw(Augmentation(flip_horizontal=True, brightness=0.3), 1, 2, rows, shapes, frame, uniform=True)
    both = draw(
        Augmentation(flip_horizontal=True, brightness=0.3, erasing=0.5, rotation=9.0, mixup=1.0),
        1,
        2,
        rows,
        shapes,
        frame,
    )
    assert (alone.flips == both.flips).all()
    assert (alone.brightness == both.brightness).all()


def test_erasing_fills_its_share_with_the_mean():
    frame = spec(height=64, width=64)
    block = np.full((400, 64, 64, 3), 200, dtype=np.uint8)
    options = Augmentation(erasing=0.5, erasing_smallest=0.1, erasing_largest=0.2)
    drawn = draw(options, 0, 0, np.arange(400), np.array([(64, 64, 3)] * 400), frame, uniform=True)
    made = apply(block, drawn, frame).numpy()
    assert set(np.unique(made)) == {102, 200}
    shares = (made[:, 0] == 102).mean(axis=(1, 2))
    assert 0.42 < (shares > 0).mean() < 0.58
    assert shares[shares > 0].min() > 0.08
    assert shares.max() < 0.22
    assert (block == 200).all()  # the store's pixels are not written


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rotation": -1.0}, r"augment.rotation must be in \[0, 180\], got -1.0"),
        ({"rotation": float("nan")}, "augment.rotation"),
        ({"scale": 0.5}, "augment.scale must be 0"),
        ({"random_resized_crop": 0.0}, "augment.random_resized_crop"),
        ({"pad_crop": 1.5}, "whole number"),
        ({"flip_horizontal": 1}, "true or false"),
        ({"hue": 0.7}, "augment.hue"),
        ({"erasing_smallest": 0.5}, "must not exceed"),
        ({"mixup": "much"}, "augment.mixup"),
    ],
)
def test_strengths_out_of_range_are_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        Augmentation(**options)


def test_what_is_on_is_said_in_words():
    assert Augmentation().in_words() == "none"
    assert (
        Augmentation(pad_crop=4, flip_horizontal=True, scale=1.1).in_words() == "pad_crop 4, flip_horizontal, scale 1.1"
    )


def test_preview_shows_what_training_will_see():
    pictures = [smooth(i, 60, 80) for i in range(3)]
    frame = spec()
    options = Augmentation(random_resized_crop=0.5, brightness=0.3)
    rows = np.array([4, 9, 2])
    shown = preview(pictures, options, frame, seed=11, rows=rows, times=4)
    assert shown.shape == (3, 4, 32, 32, 3)
    assert shown.dtype == np.uint8
    drawn = draw(options, 11, 2, rows, np.array([(60, 80, 3)] * 3), frame, uniform=True)
    assert (shown[:, 2] == apply(np.stack(pictures), drawn, frame).permute(0, 2, 3, 1).numpy()).all()


@pytest.mark.parametrize("beside", BESIDE, ids=["one by one", "at once"])
def test_reflections_reach_deeper_than_the_part_that_is_shown(beside):
    # Small boxes pushed over the edge: most of what is seen is the picture's reflection.
    pictures = [smooth(i, 160, 200) for i in range(24)]
    frame = spec()
    options = Augmentation(random_resized_crop=0.1, rotation=8.0, translation=0.9)
    drawn = draw(options, 2, 0, np.arange(24), np.array([(160, 200, 3)] * 24), frame)
    made = apply(pictures, drawn, frame, beside)
    for index, picture in enumerate(pictures):
        error = np.abs(made[index].permute(1, 2, 0).numpy() - oracle(picture, drawn.placement, index, fill=102))
        assert error.mean() < 2
        assert error.max() < 40


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [(32, 32), (36, 27)])
def test_small_pictures_are_bilinear_samples_of_theirs(channels, dtype, size):
    """A few hundred of them, so that they are sampled in several parts."""
    pictures = np.stack([smooth(i % 7, *size, channels) for i in range(240)]).astype(dtype)
    options = Augmentation(rotation=12.0, scale=1.1, shear=3.0, translation=0.1, flip_horizontal=True)
    frame, shapes = spec(channels), np.array([pictures.shape[1:]] * len(pictures))
    drawn = draw(options, 4, 1, np.arange(len(pictures)), shapes, frame, uniform=True)
    made = apply(pictures, drawn, frame)
    assert made.is_contiguous(memory_format=torch.channels_last)
    fine = np.linalg.norm(drawn.placement.matrices[:, :2, :2], axis=1).max(axis=1) <= 1.25
    assert fine.sum() > 30
    for index in np.flatnonzero(fine):
        expected = oracle(pictures[index], drawn.placement, index, fill=102, points=1)
        error = np.abs(made[index].permute(1, 2, 0).numpy() - expected)
        assert error.max() < (0.5 if dtype == np.uint8 else 0.0) + 2e-3


@pytest.mark.parametrize("options", GEOMETRY, ids=lambda options: "+".join(options))
def test_matrices_are_the_products_of_their_parts(options):
    frame, rows, (height, width) = spec(height=24, width=40), np.arange(50, 90), (48, 60)
    strengths = Augmentation(**options)
    drawn = draw(strengths, 9, 3, rows, np.array([(height, width, 3)] * len(rows)), frame, uniform=True)
    every = uniforms(9, 3, rows, drawing.COLUMNS, purpose=drawing.PURPOSE)
    for index, numbers in enumerate(every):
        signed = 2 * numbers - 1
        angle = np.radians(strengths.rotation) * signed[drawing.ROTATE]
        factor = max(strengths.scale, 1.0) ** signed[drawing.SCALE]
        slants = np.tan(np.radians(strengths.shear) * signed[[drawing.SHEAR_X, drawing.SHEAR_Y]])
        content = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        content = content @ np.array([[factor, factor * slants[0]], [factor * slants[1], factor]])
        content = content @ np.diag(np.where(drawn.flips[index], -1.0, 1.0))
        moved = strengths.translation * signed[[drawing.MOVE_X, drawing.MOVE_Y]] * [40, 24]
        reach = 2 * strengths.pad_crop + 1
        moved += np.floor(numbers[[drawing.PAD_X, drawing.PAD_Y]] * reach) - strengths.pad_crop
        if drawn.way == "whole":
            moved = np.rint(moved)
        motion = np.eye(3)
        motion[:2, :2], motion[:2, 2] = content, np.array([20, 12]) + moved - content @ [20, 12]
        box = np.diag([width / 40, height / 24, 1.0])
        if strengths.crops:
            area = width * height * (1 - (1 - numbers[drawing.CROP_AREA]) * (1 - strengths.random_resized_crop))
            aspect = strengths.crop_aspect ** signed[drawing.CROP_ASPECT] * width / height
            across, down = min((area * aspect) ** 0.5, width), min((area / aspect) ** 0.5, height)
            box = np.diag([across / 40, down / 24, 1.0])
            box[:2, 2] = numbers[[drawing.CROP_X, drawing.CROP_Y]] * [width - across, height - down]
        assert np.allclose(drawn.placement.matrices[index], box @ np.linalg.inv(motion), rtol=0, atol=1e-10)
