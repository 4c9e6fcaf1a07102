"""Elastic distortion against a slow smoothing and a loop over pixels; points, boxes and masks must follow the field."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from test_draws import raw

from striate.data import elastic
from striate.data.augment import apply
from striate.data.augmentation import Augmentation
from striate.data.drawing import Drawn, draw
from striate.data.placement import Placement, reflected
from striate.errors import InputError
from striate.machine.beside import Beside
from striate.models.input_spec import InputSpec

BENT = Augmentation(elastic=30.0, elastic_sigma=4.0)


def spec(height: int = 24, width: int = 30, fit: str = "squash", channels: int = 1) -> InputSpec:
    return InputSpec(
        channels=channels, height=height, width=width, fit=fit, mean=(0.4,) * channels, deviation=(0.2,) * channels
    )


def drawn_for(options: Augmentation, count: int, size: tuple[int, int], frame: InputSpec, uniform: bool) -> Drawn:
    return draw(options, 5, 2, np.arange(count), np.array([(*size, 1)] * count), frame, uniform=uniform)


def test_the_field_is_a_smoothed_uniform_one() -> None:
    frame = spec(20, 27)
    field = elastic.displacements(BENT, 5, 2, np.array([7, 3]), frame)
    for made, row in zip(field, (7, 3), strict=True):
        hashes = raw(5, 2, row, 20 * 27 * 2 // 4, purpose=elastic.PURPOSE)
        levels = [hashed >> (16 * part) & 0xFFFF for hashed in hashes for part in range(4)]
        chance = ((np.array(levels) + 0.5) / 32768 - 1).reshape(2, 20, 27)
        for one, smooth in zip(made, chance, strict=True):
            expected = 30.0 * gaussian_filter(smooth, 4.0, mode="wrap", truncate=8)
            assert np.allclose(one, expected, atol=1e-5)


def test_the_field_is_equally_strong_everywhere_and_in_both_directions() -> None:
    field = elastic.displacements(BENT, 0, 0, np.arange(600), spec(16, 16)).astype(np.float64)
    # A sum of uniform numbers: each of variance 1/3, times the sum of the squares of what they count.
    line = gaussian_filter(np.eye(1, 16, 8)[0], 4.0, mode="wrap", truncate=8)
    deviation = 30.0 * np.sqrt(1 / 3) * (line**2).sum()
    assert np.abs(field.mean(axis=0)).max() < 5 * deviation / np.sqrt(600)
    assert np.abs(field.std(axis=0) / deviation - 1).max() < 0.2
    assert abs(np.mean(field[:, 0] * field[:, 1])) < 0.1 * deviation**2


def bent_by_a_loop(pixels: np.ndarray, placement: Placement, index: int, fill: float) -> np.ndarray:
    """(H, W) warped in float64, pixel by pixel: the displaced point through the matrix, bilinear."""
    matrix, (left, top, right, bottom) = placement.matrices[index], placement.boxes[index]
    made = np.empty((placement.height, placement.width))
    assert placement.field is not None
    for y in range(placement.height):
        for x in range(placement.width):
            move = placement.field[index, :, y, x].astype(np.float64)
            across, down, _ = matrix @ [x + 0.5 + move[0], y + 0.5 + move[1], 1.0]
            if not placement.reflect and not (left <= across < right and top <= down < bottom):
                made[y, x] = fill
                continue
            column = np.clip(reflected(across, left, right) - 0.5, 0, pixels.shape[1] - 1)
            line = np.clip(reflected(down, top, bottom) - 0.5, 0, pixels.shape[0] - 1)
            i, j = int(line), int(column)
            below, beside = min(i + 1, pixels.shape[0] - 1), min(j + 1, pixels.shape[1] - 1)
            upper = pixels[i, j] * (1 - (column - j)) + pixels[i, beside] * (column - j)
            lower = pixels[below, j] * (1 - (column - j)) + pixels[below, beside] * (column - j)
            made[y, x] = upper * (1 - (line - i)) + lower * (line - i)
    return made


@pytest.mark.parametrize("options", [{}, {"rotation": 20.0, "flip_horizontal": True}])
@pytest.mark.parametrize("fit", ["squash", "pad"])
@pytest.mark.parametrize(("size", "uniform"), [((24, 30), True), ((72, 90), False)])
@pytest.mark.parametrize("beside", [None, Beside("cpu")], ids=["one by one", "at once"])
def test_pictures_follow_the_field_and_the_matrix(options, fit, size, uniform, beside) -> None:
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / size[0]
    pictures = np.stack([127 + 100 * np.sin(5 * x + number) * np.cos(4 * y) for number in range(2)])[..., None]
    pictures = pictures.astype(np.float32)
    frame = spec(fit=fit)
    drawn = drawn_for(Augmentation(elastic=30.0, **options), 2, size, frame, uniform)
    made = apply(pictures if uniform else list(pictures), drawn, frame, beside).numpy()[:, 0]
    plain = apply(
        pictures if uniform else list(pictures),
        drawn_for(Augmentation(**options), 2, size, frame, uniform),
        frame,
        beside,
    ).numpy()[:, 0]
    for index in range(2):
        expected = bent_by_a_loop(pictures[index, :, :, 0].astype(np.float64), drawn.placement, index, 102)
        error = np.abs(made[index] - expected)
        # Of large pictures a reduced copy is sampled; the rim of a padding is soft.
        assert np.median(error) < (1e-3 if uniform else 1.0)
        assert error.mean() < (1.0 if fit == "pad" else 0.01 if uniform else 1.0)
        assert np.abs(plain[index] - expected).mean() > 3 * error.mean()


@pytest.mark.parametrize("options", [{}, {"rotation": 25.0, "random_resized_crop": 0.7, "flip_horizontal": True}])
@pytest.mark.parametrize(("size", "uniform"), [((32, 32), True), ((128, 128), False)])
def test_a_dot_is_where_its_point_its_box_and_its_mask_say(options, size, uniform) -> None:
    side = size[0]
    y, x = np.mgrid[0:side, 0:side] + 0.5
    spots = np.array([(0.5, 0.45), (0.4, 0.6), (0.62, 0.55)] * 4) * side
    radius = side / 14
    masks = np.stack([((x - spot[0]) ** 2 + (y - spot[1]) ** 2 <= radius**2) for spot in spots])
    pictures = np.where(masks, 255, 0).astype(np.uint8)[..., None]
    frame = spec(32, 32)
    drawn = drawn_for(Augmentation(elastic=34.0, **options), 12, size, frame, uniform)
    made = apply(pictures if uniform else list(pictures), drawn, frame).numpy()[:, 0] > 127
    points = drawn.placement.move_points(spots[:, None])[:, 0]
    boxes = drawn.placement.move_boxes(np.concatenate([spots - radius, spots + radius], axis=1)[:, None])[:, 0]
    plain = drawn_for(Augmentation(**options), 12, size, frame, uniform).placement.move_points(spots[:, None])[:, 0]
    moved = drawn.placement.move_masks(masks)
    lines, columns = np.mgrid[0:32, 0:32] + 0.5
    seen = 0
    for light, point, box, mask in zip(made, points, boxes, moved, strict=True):
        if not (5 < point[0] < 27 and 5 < point[1] < 27):
            continue
        # The dot is bent, so that its middle is not quite the middle of what is bright.
        assert columns[light].mean() == pytest.approx(point[0], abs=1.0)
        assert lines[light].mean() == pytest.approx(point[1], abs=1.0)
        assert box[0] <= columns[light].min() <= box[0] + 3
        assert box[1] <= lines[light].min() <= box[1] + 3
        assert box[2] - 3 <= columns[light].max() <= box[2]
        assert box[3] - 3 <= lines[light].max() <= box[3]
        assert (mask != light).mean() < 0.02
        seen += 1
    assert seen >= 8
    assert np.abs(points - plain).max() > 1.5  # and the field is why


def test_points_come_back_through_the_field() -> None:
    frame = spec(40, 40)
    placement = drawn_for(Augmentation(elastic=20.0, rotation=30.0), 6, (40, 40), frame, True).placement
    chance = np.random.default_rng(0).uniform(8, 32, (6, 20, 2))
    assert placement.field is not None
    y, x = np.floor(chance[..., 1]).astype(int), np.floor(chance[..., 0]).astype(int)
    centres = np.stack([x + 0.5, y + 0.5], axis=-1)  # of pixels, where the field is known
    shown = centres + placement.field.transpose(0, 2, 3, 1)[np.arange(6)[:, None], y, x]
    theirs = shown @ placement.matrices[:, :2, :2].transpose(0, 2, 1) + placement.matrices[:, None, :2, 2]
    assert np.allclose(placement.move_points(theirs), centres, atol=1e-4)


def test_a_field_that_folds_is_refused() -> None:
    with pytest.raises(InputError, match="elastic must be at most 16 where"):
        Augmentation(elastic=17.0, elastic_sigma=2.0)
