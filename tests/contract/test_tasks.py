"""What every task of the table keeps: its file, its targets, its loss against a slow oracle, and that it is learned."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from striate.data import samples
from striate.data.batches import Batches
from striate.errors import InputError
from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.tasks import TASKS, task_from_json, task_named
from striate.tasks.task import TableTask, TaskSettings
from striate.training.loop import Loop, Validation
from striate.training.part_settings import OptimizerSettings
from striate.training.resolved import Resolved

NAMES = ("a", "b", "c")
ROWS, K = 40, len(NAMES)
OUTPUTS = 3 * torch.randn(ROWS, K, generator=torch.Generator().manual_seed(1))
PLAIN = TaskSettings()


def _draw() -> np.random.Generator:
    return np.random.default_rng(2)


def _shares() -> np.ndarray:
    drawn = _draw().random((ROWS, K)) ** 3
    return (drawn / drawn.sum(axis=1, keepdims=True)).astype(np.float32)


# What a table of each kind may hold; "soft labels" are a classification, too.
TABLES: dict[str, Callable[[], np.ndarray]] = {
    "classification": lambda: _draw().integers(0, K, ROWS),
    "soft labels": _shares,
    "multilabel": lambda: _draw().integers(0, 2, (ROWS, K)).astype(np.float32),
    "regression": lambda: (_draw().normal(size=(ROWS, K)) * [0.01, 3, 500] + [7, 0, -2000]).astype(np.float32),
}
KINDS = pytest.mark.parametrize("kind", TABLES)


def made(kind: str, settings: TaskSettings = PLAIN) -> tuple[TableTask, np.ndarray]:
    table = TABLES[kind]()
    return task_named(name_of(kind)).load().made_for(NAMES, table, settings), table


def name_of(kind: str) -> str:
    return "classification" if kind == "soft labels" else kind


def test_each_row_of_the_table_is_asked_here() -> None:
    assert {name_of(kind) for kind in TABLES} == set(TASKS)
    assert set(TASKS) == {samples.CLASSIFICATION, samples.MULTILABEL, samples.REGRESSION}
    with pytest.raises(InputError, match="did you mean 'multilabel'"):
        task_named("multi-label")


@KINDS
def test_a_task_is_that_of_its_row(kind: str) -> None:
    task, _ = made(kind)
    assert TASKS[name_of(kind)].load() is type(task)
    assert task.name == name_of(kind)
    assert task.names == NAMES
    assert task.num_outputs == K


@KINDS
@pytest.mark.parametrize("names", [NAMES, ("<script>", "a\udcffb", " "), ("ä", "", "A")])
def test_its_file_gives_it_back_bit_for_bit(kind: str, names: tuple[str, ...]) -> None:
    table = TABLES[kind]()
    task = task_named(name_of(kind)).load().made_for(names, table, PLAIN)
    answers = task.decode(OUTPUTS)
    task = task.calibrated(answers.numpy(), table)
    text = json.dumps(task.to_json(), allow_nan=False)
    text.encode("ascii")
    again = task_from_json(json.loads(text))
    assert again == task
    assert torch.equal(again.decode(OUTPUTS), task.decode(OUTPUTS))
    assert "table" not in task.to_json()


DAMAGES: dict[str, list[dict[str, Any]]] = {
    "multilabel": [
        {"class_names": []},
        {"class_names": ["a", "a", "b"]},
        {"class_names": "abc"},
        {"class_names": None},
        {"class_names": [1, 2, 3]},
        {"label_smoothing": 1.0},
        {"label_smoothing": "0"},
        {"label_weights": [[1, 1]]},
        {"label_weights": [[1, 1], [1, 1], [0, 0]]},
        {"label_weights": [[1, 1], [1, 1], [-1, 1]]},
        {"label_weights": [[1, 1], [1, 1], 3]},
        {"label_weights": 5},
        {"label_weights": [[1, 1], [1, 1], [math.inf, 1]]},
        {"sharpness": 0},
        {"sharpness": 10**400},
        {"name": "multi"},
    ],
    "regression": [
        {"target_names": []},
        {"target_names": ["a", "a", "b"]},
        {"target_names": "abc"},
        {"target_names": None},
        {"target_names": [1, 2, 3]},
        {"means": [0, 0]},
        {"means": [0, 0, math.nan]},
        {"means": [0, 0, "0"]},
        {"means": [0, 0, 10**400]},
        {"means": None},
        {"deviations": [1, 1, 0]},
        {"deviations": [1, 1, -1]},
        {"deviations": [1, 1, True]},
        {"deviations": {"a": 1}},
        {"angles": ["z"]},
        {"angles": "a"},
        {"shares": [1]},
        {"shares": None},
        {"angles": ["a"], "shares": ["a"]},
    ],
}


@pytest.mark.parametrize(("kind", "damage"), [(kind, one) for kind, all_ in DAMAGES.items() for one in all_], ids=str)
def test_a_damaged_file_is_refused_in_one_sentence(kind: str, damage: dict[str, Any]) -> None:
    task, _ = made(kind)
    with pytest.raises(InputError) as caught:
        task_from_json({**task.to_json(), **damage})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_keys_that_came_later_have_defaults(kind: str) -> None:
    task, _ = made(kind)
    needed = {"name", "class_names", "target_names", "means", "deviations"}
    assert task_from_json({name: value for name, value in task.to_json().items() if name in needed}) == task


@KINDS
def test_targets_are_those_of_the_rows(kind: str) -> None:
    task, table = made(kind)
    before = table.copy()
    table[:] = 0
    rows = np.array([5, 0, 5, 39])
    found = task.targets(rows, None).numpy()
    if kind == "regression":
        wide = before.astype(np.float64)
        assert found == pytest.approx(((wide - wide.mean(0)) / wide.std(0))[rows], abs=1e-4)
        assert task.targets(np.arange(ROWS), None).std(dim=0, correction=0).tolist() == pytest.approx([1] * K, abs=1e-4)
    else:
        assert found == pytest.approx(before[rows], abs=1e-6)
    with pytest.raises(ValueError, match="bind the task"):
        task_from_json(task.to_json()).targets(rows, None)
    with pytest.raises(ValueError, match="must be"):
        task.bound_to(np.full((4, K + 1), 0.5, dtype=np.float32))


def soft(kind: str, targets: np.ndarray) -> np.ndarray:
    """Targets as (B, K) float64."""
    return np.eye(K)[targets] if kind == "classification" else targets.astype(np.float64)


def slow_loss(kind: str, outputs: list[float], target: list[float], smoothing: float, weights: Any) -> float:
    """The loss of one row, number by number."""
    if kind == "regression":
        return sum((o - t) ** 2 for o, t in zip(outputs, target, strict=True)) / K
    total = 0.0
    if kind == "multilabel":
        for k, (score, t) in enumerate(zip(outputs, target, strict=True)):
            t = t * (1 - smoothing) + smoothing / 2
            p = 1 / (1 + math.exp(-score))
            without, there = (1.0, 1.0) if weights is None else weights[k]
            total -= (there * t * math.log(p) + without * (1 - t) * math.log(1 - p)) / K
        return total
    among = math.log(sum(math.exp(score) for score in outputs))
    for k, (score, t) in enumerate(zip(outputs, target, strict=True)):
        t = t * (1 - smoothing) + smoothing / K
        total -= (1.0 if weights is None else weights[k]) * t * (score - among)
    return total


@KINDS
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    "settings",
    [PLAIN, TaskSettings(label_smoothing=0.2), TaskSettings(class_weights="balanced")],
    ids=["plain", "smoothed", "balanced"],
)
def test_the_loss_is_that_of_a_slow_loop(kind: str, mixed: bool, settings: TaskSettings) -> None:
    if kind == "regression" and settings != PLAIN:
        with pytest.raises(InputError, match="means nothing for numbers"):
            made(kind, settings)
        return
    task, _ = made(kind, settings)
    targets = task.targets(np.arange(ROWS), None)
    wanted = soft(kind, targets.numpy())
    if mixed:
        share = torch.linspace(0, 1, ROWS)
        partners = torch.roll(torch.arange(ROWS), 7)
        targets = task.mix(targets, partners, share)
        own = share.double().numpy()[:, None]
        wanted = own * wanted + (1 - own) * wanted[partners.numpy()]
        assert targets.numpy() == pytest.approx(wanted, abs=1e-6)
    weights = getattr(task, "class_weights", None) or getattr(task, "label_weights", None)
    expected = [
        slow_loss(kind, row, target, settings.label_smoothing, weights)
        for row, target in zip(OUTPUTS.double().tolist(), wanted.tolist(), strict=True)
    ]
    found = task.loss(OUTPUTS, targets)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(expected, rel=2e-5, abs=1e-6)
    half = OUTPUTS.bfloat16()
    assert torch.equal(task.loss(half, targets), task.loss(half.float(), targets))


def test_balanced_weights_make_every_class_and_label_count_alike() -> None:
    balanced = TaskSettings(class_weights="balanced")
    task, table = made("classification", balanced)
    for weight, count in zip(task.to_json()["class_weights"], np.bincount(table), strict=True):
        assert weight * count == pytest.approx(ROWS / K)
    task, table = made("multilabel", balanced)
    for (without, there), count in zip(task.to_json()["label_weights"], table.sum(axis=0), strict=True):
        assert there * count == pytest.approx(without * (ROWS - count))


@KINDS
def test_answers_are_in_their_range(kind: str) -> None:
    task, table = made(kind)
    answers = task.decode(OUTPUTS).numpy()
    assert answers.dtype == np.float32
    assert answers.shape == (ROWS, K)
    if kind == "regression":
        wide = table.astype(np.float64)
        assert answers == pytest.approx(OUTPUTS.numpy() * wide.std(0) + wide.mean(0), rel=1e-5, abs=1e-3)
        # What is learned, decoded, is what the table says.
        again = task.decode(task.targets(np.arange(ROWS), None)).numpy()
        assert again == pytest.approx(table, rel=1e-5, abs=1e-3)
        return
    assert answers.min() >= 0
    assert answers.max() <= 1
    extreme = task.decode(torch.tensor([[1e4, -1e4, 0.0]])).numpy()
    assert np.isfinite(extreme).all()
    if name_of(kind) == "classification":
        assert answers.sum(axis=1) == pytest.approx(np.ones(ROWS), abs=1e-5)


@KINDS
def test_metrics_hold_the_one_that_chooses(kind: str) -> None:
    task, table = made(kind)
    answers = task.decode(OUTPUTS).numpy()
    figures = task.metrics(answers, table)
    assert all(math.isfinite(value) for value in figures.values())
    calibrated = task.calibrated(answers, table)
    losses = task.losses(calibrated.decode(OUTPUTS).numpy(), table)
    assert losses.shape == (ROWS,)
    assert figures[task.monitor] == pytest.approx(losses.mean(), rel=1e-4)
    assert losses.mean() <= task.losses(answers, table).mean() + 1e-6
    empty = task.metrics(answers[:0], table[:0])
    assert empty.keys() == figures.keys()
    assert all(math.isnan(value) for value in empty.values())
    # Answers that say what the table says are better than those of a network that knows nothing.
    best = soft(kind, table).astype(np.float32)
    better = task.metrics(best, table)[task.monitor] < figures[task.monitor]
    assert better is not task.larger_is_better


@KINDS
def test_calibration_keeps_which_answer_is_the_likeliest(kind: str) -> None:
    task, table = made(kind)
    before = task.decode(OUTPUTS).numpy()
    after = task.calibrated(before, table).decode(OUTPUTS).numpy()
    if kind == "regression":
        assert np.array_equal(before, after)
    elif kind == "multilabel":
        assert np.array_equal(before > 0.5, after > 0.5)
        assert np.array_equal(np.argsort(before[:, 0]), np.argsort(after[:, 0]))
    else:
        assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))


def test_a_number_that_is_always_the_same_is_refused() -> None:
    table = TABLES["regression"]()
    table[:, 1] = 0.1
    with pytest.raises(InputError, match=r"'b' is 0.1 in all of the 40 training pictures.*--targets"):
        task_named("regression").load().made_for(NAMES, table, PLAIN)


def test_shares_that_crowd_near_nothing_are_learned_by_their_arcsine() -> None:
    """By hand: what is learned, what comes back, and that answers stay shares; an even share is learned as it is."""
    rng = _draw()
    crowded = (rng.random(200) ** 4).astype(np.float32)
    table = np.column_stack([crowded, rng.random(200), 40 * crowded]).astype(np.float32)
    task = task_named("regression").load().made_for(NAMES, table, PLAIN)
    assert task.to_json()["shares"] == ["a"]
    learned = task.targets(np.arange(200), None).numpy()
    by_hand = np.array([math.asin(math.sqrt(one)) for one in table[:, 0].astype(float)])
    assert learned[:, 0] == pytest.approx((by_hand - by_hand.mean()) / by_hand.std(), abs=1e-4)
    assert learned[:, 1] == pytest.approx((table[:, 1] - table[:, 1].mean()) / table[:, 1].std(), abs=1e-4)
    assert task.decode(torch.from_numpy(learned)).numpy() == pytest.approx(table, rel=1e-3, abs=1e-5)
    extreme = task.decode(torch.tensor([[-100.0, 0, 0], [100.0, 0, 0]])).numpy()
    assert extreme[:, 0].tolist() == pytest.approx([0, 1], abs=1e-6)
    again = task_from_json(json.loads(json.dumps(task.to_json())))
    assert again == task
    # The error that chooses the best epoch is that of what is learned.
    wrong = table.copy()
    wrong[:, 0] = 0
    least = (by_hand - 0) ** 2 / by_hand.std() ** 2 / 3
    assert task.losses(wrong, table) == pytest.approx(least, rel=1e-3, abs=1e-4)


# -- learned ------------------------------------------------------------------------------------

SIDE = 8
SPEC = InputSpec(channels=1, height=SIDE, width=SIDE, mean=(0.3,), deviation=(0.3,))


@dataclass(frozen=True, eq=False)
class Block:
    values: np.ndarray
    uniform = True

    @property
    def shapes(self) -> np.ndarray:
        return np.array([self.values.shape[1:]] * len(self.values))

    def __len__(self) -> int:
        return len(self.values)

    def pixels(self, index: int) -> np.ndarray:
        return self.values[index]

    def block(self, indices: np.ndarray) -> np.ndarray:
        return self.values[indices]


def scenes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures (count, 8, 8, 1) of three bars, and how bright each bar is, (count, 3) in 0-1."""
    rng = np.random.default_rng(seed)
    bright = rng.random((count, K))
    picture = rng.random((count, SIDE, SIDE)) * 60
    for k in range(K):
        picture[:, 1 + 2 * k] += 190 * bright[:, k, None]
    return picture[..., None].astype(np.uint8), bright


def told(kind: str, bright: np.ndarray) -> np.ndarray:
    if kind == "classification":
        return bright.argmax(axis=1)
    if kind == "soft labels":
        powers = np.exp(6 * bright)
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    if kind == "multilabel":
        return (bright > [0.3, 0.5, 0.7]).astype(np.float32)
    return (bright * [1, 20, 400] - [0, 0, 1000]).astype(np.float32)


# The metric, and what it is at best for one who has not seen the picture: the most frequent class, the commoner answer
# to each label (0.7, 0.5 and 0.7), the mean of each number; and what must be reached.
CHANCE = {
    "classification": ("accuracy", 1 / 3, 0.85),
    "soft labels": ("accuracy", 1 / 3, 0.85),
    "multilabel": ("accuracy", 0.63, 0.88),
    "regression": ("squared_error", 1.0, 0.15),
}


@KINDS
def test_it_is_learned(kind: str) -> None:
    pictures, bright = scenes(256, seed=0)
    held, held_bright = scenes(100, seed=1)
    plan = Resolved(
        network="own",
        channels=1,
        height=SIDE,
        width=SIDE,
        epochs=12,
        steps=192,
        batch_size=16,
        learning_rate=0.01,
        optimizer=OptimizerSettings(name="adamw", weight_decay=0.0),
    )
    task = task_named(name_of(kind)).load().made_for(NAMES, told(kind, bright), PLAIN)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 24), nn.ReLU(), nn.Linear(24, K))
    batches = Batches(Block(pictures), task=task, frame=SPEC, batch_size=16, seed=0, ahead=False)
    validation = Validation(torch.stack([SPEC.prepare(one) for one in held]), told(kind, held_bright))
    progress = Loop(Model(network, SPEC, task), batches, validation, plan).run()
    metric, chance, wanted = CHANCE[kind]
    reached = [row[f"validation_{metric}"] for row in progress.history]
    if wanted > chance:
        assert max(reached) > wanted
    else:
        assert min(reached) < wanted
    assert progress.best_value == min(row[f"validation_{task.monitor}"] for row in progress.history)
