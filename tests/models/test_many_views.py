"""Several views of a picture: which they are, and that their answers are averaged; without them nothing changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import InputError
from striate.models.input_spec import InputSpec
from striate.models.many_views import TTA, answer, spec_for
from striate.models.mean_picture import MeanPicture
from striate.models.model import Model
from striate.tasks.classification import Classification
from striate.tasks.regression import Regression

SPEC = InputSpec(channels=3, height=14, width=21, mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.3, 0.25))


def model(spec: InputSpec = SPEC) -> Model:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12 * 19, 3))
    return Model(network, spec, Classification(("a", "b", "c")))


def photographs(count: int = 5) -> list[np.ndarray]:
    chance = np.random.default_rng(0)
    return [chance.integers(0, 256, (30 + number, 41, 3), dtype=np.uint8) for number in range(count)]


def prepared(spec: InputSpec) -> torch.Tensor:
    return torch.stack([spec.prepare(pixels) for pixels in photographs()])


def test_without_views_it_is_the_model_itself() -> None:
    one = model()
    assert spec_for(SPEC, "none") is SPEC
    assert torch.equal(answer(one, prepared(SPEC)), one.answer(prepared(SPEC)))
    assert torch.equal(answer(one, prepared(SPEC), "none"), one.answer(prepared(SPEC)))


def test_flip_is_the_mean_of_two() -> None:
    one, pictures = model(), prepared(SPEC)
    mirrored = torch.from_numpy(pictures.numpy()[:, :, :, ::-1].copy())
    expected = (one.answer(pictures).double() + one.answer(mirrored).double()) / 2
    made = answer(one, pictures, "flip")
    assert torch.equal(made, expected.float())
    assert not torch.equal(made, one.answer(pictures))
    assert torch.allclose(made.sum(dim=1), torch.ones(5))


@pytest.mark.parametrize("mean", [None, "picture"])
def test_ten_crops_are_corners_centre_and_mirror_images_of_a_larger_picture(mean) -> None:
    values = np.random.default_rng(1).uniform(0.2, 0.8, (3, 14, 21)).astype(np.float32)
    one = model(SPEC if mean is None else replace(SPEC, mean_picture=MeanPicture(values)))
    large = spec_for(one.input_spec, "ten-crop")
    assert (large.height, large.width) == (16, 24)  # 256 / 224
    pictures = prepared(large)
    total = torch.zeros(5, 3, dtype=torch.float64)
    for top, left in ((0, 0), (0, 3), (2, 0), (2, 3), (1, 2)):  # the centre is half of 2 x 3 away, rounded
        cut = pictures[:, :, top : top + 14, left : left + 21]
        total += one.answer(cut.contiguous()).double() + one.answer(cut.flip(3)).double()
    seen: list[tuple[int, int]] = []
    made = answer(one, pictures, "ten-crop", lambda done, whole: seen.append((done, whole)))
    assert torch.allclose(made.double(), total / 10, atol=1e-7)
    assert seen[-1] == (5, 5)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_margin_that_the_centre_leaves_away_is_looked_at() -> None:
    spec = replace(SPEC, height=16, width=16, fit="crop", crop_share=0.8)
    large = spec_for(spec, "ten-crop")
    assert (large.height, large.width, large.crop_share) == (20, 20, 1.0)
    # The centre of what is left of the picture is what is answered without views.
    for pixels in photographs():
        assert torch.equal(large.prepare(pixels)[:, 2:18, 2:18], spec.prepare(pixels))


class Hand(nn.Module):
    """The direction from the middle to where a picture is bright, in degrees counter-clockwise from upright."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        side = torch.arange(pictures.shape[2]) + 0.5 - pictures.shape[2] / 2
        across = (pictures[:, 0] * side).sum((1, 2))
        down = (pictures[:, 0] * side[:, None]).sum((1, 2))
        return torch.rad2deg(torch.atan2(-across, -down))[:, None]


def hand(degrees: float, side: int) -> torch.Tensor:
    """A blob off the middle in this direction, (1, side, side) uint8."""
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    angle = np.radians(degrees)
    blob = 255 * np.exp(-((x + 9 * np.sin(angle)) ** 2 + (y + 9 * np.cos(angle)) ** 2) / 18)
    return torch.from_numpy(blob.round().astype(np.uint8))[None]


def test_angles_are_mirrored_back_before_they_are_averaged() -> None:
    spec = InputSpec(channels=1, height=41, width=41, mean=(0.0,), deviation=(1.0,))
    one = Model(Hand(), spec, Regression(("angle",), (0.0,), (1.0,), angles=("angle",)))
    said = [-45.0, 0.0, 30.0, 120.0, 179.0, -170.0]  # mirrored, the last two have left the circle
    pictures = torch.stack([hand(degrees, 41) for degrees in said])
    assert torch.allclose(answer(one, pictures, "flip")[:, 0], torch.tensor(said), atol=0.7)


def test_numbers_and_labels_are_averaged_as_they_are_answered() -> None:
    class Numbers:
        """Answers that are no probabilities."""

        name = "numbers"

        def decode(self, outputs: torch.Tensor) -> torch.Tensor:
            return 100 * outputs

    one = replace(model(), task=Numbers())
    pictures = prepared(SPEC)
    expected = (one.answer(pictures) + one.answer(pictures.flip(3))) / 2
    assert torch.allclose(answer(one, pictures, "flip"), expected, rtol=1e-5)


def test_wrong_names_and_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="tta must be one of none, flip, ten-crop, got 'ten-corp'; did you mean"):
        answer(model(), prepared(SPEC), "ten-corp")
    with pytest.raises(InputError, match="ten-crop takes prepared pictures of Nx3x16x24, got 5x3x14x21"):
        answer(model(), prepared(SPEC), "ten-crop")


def test_the_table_says_how_many_views() -> None:
    assert {name: way.views for name, way in TTA.items()} == {"none": 1, "flip": 2, "ten-crop": 10}
