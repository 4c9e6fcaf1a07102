"""A calibrated classification: the same answers, better probabilities, and its sharpness in the file."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from striate.errors import InputError
from striate.tasks import task_from_json
from striate.tasks.checks import MOST_SHARPNESS
from striate.tasks.classification import Classification

NAMES = ("a", "b", "c", "d")


def held_back(temperature: float, rows: int = 400) -> tuple[torch.Tensor, np.ndarray]:
    """Scores (rows, 4) that are `temperature` times too bold, and classes drawn by the true ones."""
    generator = torch.Generator().manual_seed(5)
    true = 2 * torch.randn(rows, 4, generator=generator)
    targets = torch.multinomial(true.softmax(dim=1), 1, generator=generator)[:, 0]
    return temperature * true, targets.numpy()


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("before", [1.0, 1.5])
def test_answers_stay_and_their_log_loss_falls(temperature, before):
    scores, targets = held_back(temperature)
    task = Classification(NAMES, sharpness=before)
    answers = task.decode(scores)
    calibrated = task.calibrated(answers.numpy(), targets)
    after = calibrated.decode(scores)
    assert torch.equal(after.argmax(dim=1), answers.argmax(dim=1))
    wanted = torch.from_numpy(targets)
    was, now = (float(functional.nll_loss(one.log(), wanted)) for one in (answers, after))
    assert now <= was + 1e-5
    if temperature * before not in (1.0, 1.5):
        assert now < was - 0.02
    assert calibrated.sharpness == pytest.approx(1 / temperature, rel=0.15)
    # Nothing is left to be gained.
    assert calibrated.calibrated(after.numpy(), targets).sharpness == pytest.approx(calibrated.sharpness, rel=0.02)


def test_training_does_not_know_of_it():
    scores, targets = held_back(3.0, rows=20)
    plain, sharp = Classification(NAMES, label_smoothing=0.1), Classification(NAMES, label_smoothing=0.1, sharpness=3.0)
    assert torch.equal(plain.loss(scores, torch.from_numpy(targets)), sharp.loss(scores, torch.from_numpy(targets)))


def test_the_monitored_loss_does_not_depend_on_how_bold_the_scores_are():
    scores, targets = held_back(1.0)
    task = Classification(NAMES)
    losses = [task.metrics(task.decode(factor * scores).numpy(), targets)["log_loss"] for factor in (0.3, 1.0, 3.0)]
    assert losses == pytest.approx([losses[0]] * 3, abs=2e-3)


def test_calibration_keeps_everything_else():
    scores, targets = held_back(2.0, rows=50)
    task = Classification(NAMES, label_smoothing=0.1, class_weights=(1, 2, 3, 4)).bound_to(targets)
    calibrated = task.calibrated(task.decode(scores).numpy(), targets)
    assert calibrated.sharpness != 1.0
    assert replace(calibrated, sharpness=1.0) == task
    assert torch.equal(calibrated.targets(np.arange(5), None), torch.from_numpy(targets[:5]))


def test_sharpness_goes_through_json_bit_for_bit():
    scores, targets = held_back(2.0, rows=50)
    task = Classification(NAMES)
    task = task.calibrated(task.decode(scores).numpy(), targets)
    again = task_from_json(json.loads(json.dumps(task.to_json())))
    assert again == task
    assert torch.equal(again.decode(scores), task.decode(scores))
    older = {name: value for name, value in task.to_json().items() if name != "sharpness"}
    assert Classification.from_json(older).sharpness == 1.0


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, 2 * MOST_SHARPNESS, "2", None, True, [1.0], 10**400])
def test_a_sharpness_that_cannot_be_is_refused(value):
    with pytest.raises(InputError, match=r"sharpness must be above 0|cannot be read"):
        Classification.from_json({**Classification(NAMES).to_json(), "sharpness": value})
