"""The classification task against torch's own cross-entropy, and its JSON against hostile values."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from striate.errors import InputError
from striate.evaluation.calibration import best_sharpness, sharpened
from striate.tasks import task_from_json
from striate.tasks.classification import Classification

OUTPUTS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)) * 4
TARGETS = torch.tensor([0, 1, 2, 2, 1, 0])


def test_the_loss_of_each_row_is_smoothed_cross_entropy() -> None:
    task = Classification(("a", "b", "c"), label_smoothing=0.1)
    logs = OUTPUTS.double().log_softmax(dim=1)
    smooth = 0.9 * functional.one_hot(TARGETS, 3) + 0.1 / 3
    assert torch.allclose(task.loss(OUTPUTS, TARGETS).double(), -(smooth * logs).sum(dim=1), atol=1e-5)


def test_soft_and_hard_targets_have_the_same_loss() -> None:
    for weights in (None, (1.0, 0.0, 3.5)):
        task = Classification(("a", "b", "c"), label_smoothing=0.2, class_weights=weights)
        soft = functional.one_hot(TARGETS, 3).float()
        assert torch.allclose(task.loss(OUTPUTS, TARGETS), task.loss(OUTPUTS, soft), atol=1e-5)


def test_class_weights_weigh_the_rows_of_their_class() -> None:
    plain = Classification(("a", "b", "c")).loss(OUTPUTS, TARGETS)
    weighted = Classification(("a", "b", "c"), class_weights=(1, 0, 3.5)).loss(OUTPUTS, TARGETS)
    assert torch.allclose(weighted, plain * torch.tensor([1, 0, 3.5])[TARGETS])


def test_the_loss_is_float32_whatever_the_outputs_are() -> None:
    task = Classification(("a", "b", "c"))
    half = OUTPUTS.bfloat16()
    assert task.loss(half, TARGETS).dtype == task.decode(half).dtype == torch.float32
    assert torch.equal(task.loss(half, TARGETS), task.loss(half.float(), TARGETS))


def test_mixing_is_linear_in_the_targets_and_in_the_loss() -> None:
    task = Classification(("a", "b", "c"))
    partners, share = torch.tensor([1, 2, 0, 5, 3, 4]), torch.tensor([1.0, 0.5, 0.25, 0.75, 0.0, 1.0])
    mixed = task.mix(TARGETS, partners, share)
    assert mixed.shape == (6, 3)
    assert torch.allclose(mixed.sum(dim=1), torch.ones(6))
    expected = share * task.loss(OUTPUTS, TARGETS) + (1 - share) * task.loss(OUTPUTS, TARGETS[partners])
    assert torch.allclose(task.loss(OUTPUTS, mixed), expected, atol=1e-5)
    again = task.mix(mixed, partners, torch.full((6,), 0.5))
    assert torch.allclose(again, 0.5 * (mixed + mixed[partners]))


def test_targets_come_from_the_bound_table() -> None:
    table = np.array([2, 0, 1, 1])
    task = Classification(("a", "b", "c")).bound_to(table)
    table[0] = 0
    found = task.targets(np.array([3, 0]), None)
    assert (found.tolist(), found.dtype) == ([1, 2], torch.int64)
    with pytest.raises(ValueError, match="bind"):
        Classification(("a", "b")).targets(np.array([0]), None)
    for wrong in ([3], [-1], [[0]]):
        with pytest.raises(ValueError, match="targets"):
            task.bound_to(np.array(wrong))
    assert "table" not in task.to_json()


def test_metrics_are_plain_counts() -> None:
    task = Classification(tuple("abcdefg"))
    answers = np.full((2, 7), 0.05, dtype=np.float32)
    answers[:, 3] = 0.7
    # six classes tie for the second place: 0, 1, 2, 4 are among the first five, 5 and 6 are not
    found = task.metrics(answers, np.array([3, 6]))
    plain = -(np.log(0.7) + np.log(0.05)) / 2
    calibrated = sharpened(answers, best_sharpness(answers, np.array([3, 6])))
    expected = -(np.log(calibrated[0, 3]) + np.log(calibrated[1, 6])) / 2
    assert found == pytest.approx({"accuracy": 0.5, "top5_accuracy": 0.5, "log_loss": expected}, abs=1e-6)
    assert found["log_loss"] < plain  # too sure of class 3, which calibration mends
    assert task.monitor in found
    assert set(task.metrics(answers[:0], np.zeros(0, dtype=int))) == set(found)
    assert set(Classification(tuple("abcde")).metrics(answers[:, :5], np.array([3, 1]))) == {"accuracy", "log_loss"}


@pytest.mark.parametrize("names", [("<script>alert(1)</script>", "a\udcffb"), ("", " "), tuple("äöü"), ("a", "A")])
def test_json_gives_the_same_task_back_whatever_the_classes_are_called(names: tuple[str, ...]) -> None:
    for task in (Classification(names), Classification(names, label_smoothing=0.1, class_weights=(2,) * len(names))):
        text = json.dumps(task.to_json())
        text.encode("ascii")  # survives any file, surrogates and all
        assert task_from_json(json.loads(text)) == task


@pytest.mark.parametrize(
    "damage",
    [
        {"class_names": ["a"]},
        {"class_names": ["a", "a"]},
        {"class_names": ["a", 3]},
        {"class_names": "ab"},
        {"class_names": {"a": 1, "b": 2}},
        {"class_names": None},
        {"class_names": [str(number) for number in range(100_001)]},
        {"label_smoothing": 1.0},
        {"label_smoothing": -0.1},
        {"label_smoothing": float("nan")},
        {"label_smoothing": "0.1"},
        {"label_smoothing": True},
        {"class_weights": [1]},
        {"class_weights": [0, 0]},
        {"class_weights": [1, float("inf")]},
        {"class_weights": "12"},
        {"class_weights": 5},
        {"class_weights": [10**400, 1]},
        {"name": "clasification"},
        {"name": 3},
        {"name": ["classification"]},
    ],
)
def test_damaged_json_is_refused_in_one_sentence(damage: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        task_from_json(Classification(("a", "b")).to_json() | damage)
    assert "\n" not in str(caught.value)


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'classification'"):
        task_from_json({"name": "clasification"})
