"""Angles turn with their pictures: two points of each picture, moved, say the same; and what is no angle stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.data.augmentation import Augmentation
from striate.data.batches import Batches
from striate.data.drawing import draw
from striate.models.input_spec import InputSpec
from striate.tasks.regression import Regression
from striate.tasks.task import TaskSettings

ANGLES = np.array([0.0, 30.0, -45.0, 170.0, 350.0, -90.0])
VARIED = [
    Augmentation(),
    Augmentation(rotation=40.0),
    Augmentation(flip_horizontal=True, rotation=20.0),
    Augmentation(flip_horizontal=True, flip_vertical=True, scale=1.3, shear=15.0, translation=0.1, rotation=60.0),
    Augmentation(random_resized_crop=0.4),
]


def spec(height: int, width: int) -> InputSpec:
    return InputSpec(channels=1, height=height, width=width, mean=(0.5,), deviation=(0.5,))


def placed(augmentation: Augmentation, frame: InputSpec, sides: tuple[int, int], count: int):
    shapes = np.array([[*sides, 1]] * count)
    return draw(augmentation, 3, 0, np.arange(count), shapes, frame, uniform=True).placement


@pytest.mark.parametrize("augmentation", VARIED, ids=lambda one: one.in_words())
@pytest.mark.parametrize("frame", [spec(20, 20), spec(16, 32)], ids=["square", "squashed"])
def test_an_angle_is_that_between_two_points_that_moved(augmentation: Augmentation, frame: InputSpec) -> None:
    height, width = 40, 40
    placement = placed(augmentation, frame, (height, width), 50)
    moved = placement.move_angles(np.tile(ANGLES, (50, 1)))
    assert np.abs(moved - ANGLES).max() <= 180 + 1e-9
    for number, angle in enumerate(ANGLES):
        turned = np.radians(angle)
        foot = np.array([20.0, 20.0])
        top = foot + 5 * np.array([-np.sin(turned), -np.cos(turned)])  # counter-clockwise; y points down
        points = placement.move_points(np.tile(np.stack([foot, top]), (50, 1, 1)))
        # Undo the squash: in the picture's own shape.
        points = points * [width / frame.width, height / frame.height]
        across, down = (points[:, 1] - points[:, 0]).T
        expected = np.degrees(np.arctan2(-across, -down))
        assert np.cos(np.radians(moved[:, number] - expected)) == pytest.approx(np.ones(50), abs=1e-9)
    if augmentation == Augmentation():
        assert moved == pytest.approx(np.tile(ANGLES, (50, 1)))
    else:
        assert np.ptp(moved[:, 0]) > 5 or augmentation.random_resized_crop


def test_a_picture_that_is_turned_left_says_so() -> None:
    """A bar in the picture, turned by the augmentation, lies where the target says."""
    picture = np.zeros((1, 41, 41, 1), dtype=np.uint8)
    picture[0, 2:21, 19:22] = 255  # from the middle upwards
    frame = spec(41, 41)
    made = Regression.made_for(
        ("angle", "size"), np.array([[0.0, 1.0], [40.0, 2.0]], dtype=np.float32), TaskSettings(angles=("angle",))
    )
    task = made.bound_to(np.array([[0.0, 1.0]], dtype=np.float32))

    class One:
        uniform = True
        shapes = np.array([[41, 41, 1]])

        def __len__(self) -> int:
            return 1

        def pixels(self, index: int) -> np.ndarray:
            return picture[index]

        def block(self, indices: np.ndarray) -> np.ndarray:
            return picture[indices]

    varied = Augmentation(rotation=60.0, flip_horizontal=True)
    batches = Batches(One(), task=task, frame=frame, batch_size=1, seed=0, augmentation=varied, ahead=False)
    seen = []
    for epoch in range(12):
        batch = next(batches.epoch(epoch))
        weight = batch.pictures[0, 0].double()
        grid = torch.arange(41, dtype=torch.float64) - 20
        across, down = float((weight * grid).sum()), float((weight * grid[:, None]).sum())
        shown = np.degrees(np.arctan2(-across, -down))
        told = task.decode(batch.targets)[0]
        assert float(told[0]) == pytest.approx(shown, abs=1.5)
        assert float(told[1]) == pytest.approx(1.0)  # a size does not turn
        seen.append(shown)
    assert min(seen) < -15 < 15 < max(seen)
