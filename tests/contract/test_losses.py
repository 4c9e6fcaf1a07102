"""What holds for every loss: a new row of the table is tested on arrival, against a loop in float64."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import torch

from striate.errors import InputError
from striate.tasks import TASKS
from striate.tasks.losses import LOSSES, losses_for, own_loss, require_loss
from striate.tasks.task import TaskSettings
from striate.training.recipe import Recipe
from striate.training.settings import describe

ROWS, OUTPUTS = 9, 4


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softmax(scores: list[float]) -> list[float]:
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


# Of one row: outputs s and targets t, both of K numbers.
ORACLES = {
    "cross-entropy": lambda s, t: -sum(t[k] * math.log(softmax(s)[k]) for k in range(len(s))),
    "focal": lambda s, t: -sum(t[k] * (1 - softmax(s)[k]) ** 2 * math.log(softmax(s)[k]) for k in range(len(s))),
    "hinge": lambda s, t: sum(
        t[k] * max(0.0, 1 + max(s[j] for j in range(len(s)) if j != k) - s[k]) for k in range(len(s))
    ),
    "hinge-one-versus-rest": lambda s, t: sum(
        t[k] * max(0.0, 1 - s[k]) + (1 - t[k]) * max(0.0, 1 + s[k]) for k in range(len(s))
    ),
    "binary-cross-entropy": lambda s, t: (
        -sum(t[k] * math.log(sigmoid(s[k])) + (1 - t[k]) * math.log(1 - sigmoid(s[k])) for k in range(len(s)))
    ),
    "focal-sigmoid": lambda s, t: (
        -sum(
            t[k] * (1 - sigmoid(s[k])) ** 2 * math.log(sigmoid(s[k]))
            + (1 - t[k]) * sigmoid(s[k]) ** 2 * math.log(1 - sigmoid(s[k]))
            for k in range(len(s))
        )
    ),
    "squared": lambda s, t: sum((s[k] - t[k]) ** 2 for k in range(len(s))),
    "absolute": lambda s, t: sum(abs(s[k] - t[k]) for k in range(len(s))),
    "huber": lambda s, t: sum(0.5 * d * d if d < 1 else d - 0.5 for d in (abs(s[k] - t[k]) for k in range(len(s)))),
}
# Tasks with the forms that their targets have.
FORMS = {"classification": ("classes", "shares"), "multilabel": ("labels",), "regression": ("numbers",)}
CASES = [(name, form) for name, row in LOSSES.items() for task in row.fits for form in FORMS[task]]


def drawn(form: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs (ROWS, OUTPUTS) float64 and targets of this form."""
    rng = np.random.default_rng(seed)
    targets = {
        "classes": lambda: rng.integers(0, OUTPUTS, ROWS),
        "shares": lambda: rng.dirichlet(np.ones(OUTPUTS), ROWS),
        "labels": lambda: rng.integers(0, 2, (ROWS, OUTPUTS)).astype(np.float64),
        "numbers": lambda: rng.normal(0, 2, (ROWS, OUTPUTS)),
    }[form]()
    return torch.from_numpy(rng.normal(0, 2, (ROWS, OUTPUTS))), torch.from_numpy(targets)


def test_every_loss_has_its_oracle_its_name_in_the_recipe_and_a_task():
    assert list(ORACLES) == list(LOSSES)
    choice = next(describe(field) for field in fields(Recipe) if field.name == "loss")
    assert choice.choices == tuple(LOSSES)
    assert {task for row in LOSSES.values() for task in row.fits} == set(TASKS)
    assert [own_loss(task) for task in TASKS] == ["cross-entropy", "binary-cross-entropy", "squared"]


@pytest.mark.parametrize(("name", "form"), CASES)
class TestLosses:
    def test_is_what_its_formula_says(self, name, form):
        outputs, targets = drawn(form)
        found = LOSSES[name].function(outputs, targets)
        assert found.shape == (ROWS,)
        assert found.dtype == torch.float64
        soft = np.eye(OUTPUTS)[targets.numpy()] if form == "classes" else targets.numpy()
        expected = [ORACLES[name](s, t) for s, t in zip(outputs.tolist(), soft.tolist(), strict=True)]
        assert found.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)

    def test_its_gradient_is_that_of_finite_differences(self, name, form):
        outputs, targets = drawn(form, seed=1)
        assert torch.autograd.gradcheck(lambda s: LOSSES[name].function(s, targets), outputs.requires_grad_(True))

    def test_a_row_does_not_know_of_the_others(self, name, form):
        outputs, targets = drawn(form, seed=2)
        whole = LOSSES[name].function(outputs, targets)
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))
        assert torch.equal(LOSSES[name].function(outputs[order], targets[order]), whole[order])
        alone = [LOSSES[name].function(outputs[row : row + 1], targets[row : row + 1]) for row in range(ROWS)]
        assert torch.allclose(torch.cat(alone), whole, rtol=1e-12, atol=1e-12)

    def test_stays_finite_far_out(self, name, form):
        outputs, targets = drawn(form, seed=3)
        far = (1e4 * outputs).float().requires_grad_(True)
        given = targets if form == "classes" else targets.float()
        found = LOSSES[name].function(far, given)
        found.sum().backward()
        assert bool(found.isfinite().all())
        assert bool(far.grad.isfinite().all())
        assert float(found.detach().min()) >= 0

    def test_is_least_where_the_answer_is_right(self, name, form):
        """Moved along the slope, every loss falls."""
        outputs, targets = drawn(form, seed=4)
        outputs.requires_grad_(True)
        before = LOSSES[name].function(outputs, targets)
        (slope,) = torch.autograd.grad(before.sum(), outputs)
        after = LOSSES[name].function(outputs - 1e-3 * slope, targets)
        moved = slope.abs().sum(dim=1) > 0
        assert bool((after < before)[moved].all())


TABLES = {
    "classification": np.array([0, 1, 2, 1, 0, 2]),
    "multilabel": np.array([[1, 0], [0, 1], [1, 1], [0, 0]], dtype=np.float32),
    "regression": np.array([[1, 5], [2, 8], [3, 1], [0, 2]], dtype=np.float32),
}
NAMES = {"classification": ("a", "b", "c"), "multilabel": ("a", "b"), "regression": ("x", "y")}


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in TASKS for name in losses_for(task)])
def test_a_task_takes_each_loss_that_fits_it_and_keeps_its_name(task, name):
    made = TASKS[task].load().made_for(NAMES[task], TABLES[task], TaskSettings(loss=name))
    rows = np.arange(len(TABLES[task]))
    targets = made.targets(rows, None)
    outputs = torch.randn(len(rows), made.num_outputs, generator=torch.Generator().manual_seed(0))
    mean = 1 if task == "classification" else made.num_outputs
    expected = LOSSES[name].function(outputs, targets) / mean
    assert torch.allclose(made.loss(outputs, targets), expected, rtol=1e-6)
    again = type(made).from_json(made.to_json())
    assert torch.equal(again.loss(outputs, targets), made.loss(outputs, targets))
    # Half of one picture and half of another: for classes the mean of both losses, by what losses of classes are.
    if task == "classification" and name != "squared":
        halves = made.mix(targets, torch.from_numpy(rows[::-1].copy()), torch.full((len(rows),), 0.5))
        both = [LOSSES[name].function(outputs, one) for one in (targets, targets.flip(0))]
        assert torch.allclose(made.loss(outputs, halves), (both[0] + both[1]) / 2, rtol=1e-5)


@pytest.mark.parametrize("name", losses_for("classification"))
def test_class_weights_weigh_a_picture_by_its_class(name):
    settings = TaskSettings(loss=name, class_weights="balanced")
    table = np.array([0, 0, 0, 1, 2, 2])
    made = TASKS["classification"].load().made_for(NAMES["classification"], table, settings)
    targets = made.targets(np.arange(6), None)
    outputs = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    expected = LOSSES[name].function(outputs, targets) * torch.tensor([2 / 3, 2 / 3, 2 / 3, 2.0, 1.0, 1.0])
    assert torch.allclose(made.loss(outputs, targets), expected, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in losses_for("classification") if LOSSES[name].smooths])
def test_a_smoothed_label_is_a_share_of_all_classes(name):
    settings = TaskSettings(loss=name, label_smoothing=0.3)
    made = TASKS["classification"].load().made_for(NAMES["classification"], np.array([0, 2]), settings)
    outputs = torch.tensor([[1.0, 0.5, -2.0], [0.1, 0.2, 0.3]])
    soft = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    assert torch.allclose(made.loss(outputs, torch.tensor([0, 2])), LOSSES[name].function(outputs, soft), rtol=1e-5)


def test_what_does_not_fit_is_refused_with_what_does():
    with pytest.raises(InputError, match="loss absolute does not fit classification; what does: cross-entropy, focal"):
        require_loss("classification", "absolute")
    with pytest.raises(InputError, match="hinge does not fit regression; what does: squared, absolute, huber"):
        require_loss("regression", "hinge")
    with pytest.raises(InputError, match="does not fit multilabel; what does: binary-cross-entropy"):
        require_loss("multilabel", "cross-entropy")
    with pytest.raises(InputError, match="no loss 'hing'; did you mean 'hinge'"):
        require_loss("classification", "hing")
    with pytest.raises(InputError, match=r"label_smoothing 0.1 means nothing to the loss hinge; .* cross-entropy or"):
        require_loss("classification", "hinge", label_smoothing=0.1)
    with pytest.raises(InputError, match="class_weights of multilabel are those of the loss binary-cross-entropy"):
        require_loss("multilabel", "focal-sigmoid", weighted=True)


def test_the_table_is_read_without_torch():
    code = "import sys, striate.tasks.losses; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
