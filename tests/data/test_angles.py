"""Angles turn with their pictures: two points of each picture, moved, say the same; and what is no angle stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from kept_pictures import Kept
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

    varied = Augmentation(rotation=60.0, flip_horizontal=True)
    batches = Batches(Kept(picture), task=task, frame=frame, batch_size=1, seed=0, augmentation=varied, ahead=False)
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


def angles_known(low: float, high: float) -> Regression:
    """A task of one angle, bound to 600 pictures whose angles lie between these, both ends among them."""
    table = np.linspace(low, high, 600, dtype=np.float32)[:, None]
    return Regression.made_for(("angle",), table, TaskSettings(angles=("angle",)))


@pytest.mark.parametrize(("low", "high"), [(-45.0, 45.0), (10.0, 35.0)])
def test_pictures_are_turned_to_any_angle_that_is_known_and_to_no_other(low: float, high: float) -> None:
    task, rows = angles_known(low, high), np.arange(600)
    augmentation = Augmentation(rotation=180.0, scale=1.2, translation=0.1)
    known = np.linspace(low, high, 600)[:, None]
    for epoch in range(3):
        drawn = draw(augmentation, 0, epoch, rows, np.array([[28, 28, 1]] * 600), spec(28, 28), turns=task.turns)
        moved = drawn.placement.move_angles(known)[:, 0]
        assert moved.min() >= low - 1e-4
        assert moved.max() <= high + 1e-4
        # Wherever it came from, a picture goes everywhere: what it was does not tell what it is.
        assert abs(np.corrcoef(moved, known[:, 0])[0, 1]) < 0.15
        assert kstest(moved, "uniform", args=(low, high - low)).pvalue > 0.001


def test_a_smaller_rotation_stays_the_limit() -> None:
    task, known = angles_known(-45.0, 45.0), np.linspace(-45.0, 45.0, 600)[:, None]
    frame, shapes = spec(28, 28), np.array([[28, 28, 1]] * 600)
    placement = draw(Augmentation(rotation=10.0), 0, 0, np.arange(600), shapes, frame, turns=task.turns).placement
    moved = placement.move_angles(known)
    assert 9 < np.abs(moved - known).max() <= 10 + 1e-4
    assert np.abs(moved).max() <= 45 + 1e-4


def test_of_several_angles_all_stay_known() -> None:
    table = np.array([[0.0, 100.0], [50.0, 80.0], [20.0, 90.0]], dtype=np.float32)
    task = Regression.made_for(("one", "two"), table, TaskSettings(angles=("one", "two")))
    assert task.turns is not None
    # From 0 to 50 and from 80 to 100: the narrower of the two ways, on either side.
    assert task.turns.tolist() == [[0.0, 0.0], [0.0, 0.0], [-10.0, 10.0]]
    assert Regression.made_for(("one", "two"), table, TaskSettings()).turns is None


def test_batches_turn_no_further_than_they_are_told() -> None:
    task = angles_known(-45.0, 45.0)
    pictures = np.zeros((600, 9, 9, 1), dtype=np.uint8)

    given = {"task": task, "frame": spec(9, 9), "batch_size": 100, "seed": 0, "ahead": False}
    varied = Augmentation(rotation=90.0)
    farthest = []
    for turns in (task.turns, None):
        batches = Batches(Kept(pictures), augmentation=varied, turns=turns, **given)
        farthest.append(max(float(task.decode(batch.targets).abs().max()) for batch in batches.epoch(0)))
    assert 40 < farthest[0] <= 45 + 1e-3
    assert farthest[1] > 90
