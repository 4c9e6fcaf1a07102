"""One training shared by 1, 2 and 3 processes: the same draws, the same gradients, the same loss curve."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from striate.data.augmentation import Augmentation
from striate.data.batches import Batches
from striate.errors import InputError
from striate.machine.ranks import ALONE, Ranks, told
from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.observer import Observer
from striate.tasks import task_named
from striate.tasks.task import TaskSettings
from striate.training.loop import Loop, Validation
from striate.training.parallel import average_gradients, seed_of_step
from striate.training.part_settings import OptimizerSettings
from striate.training.resolved import Resolved

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "machine"))
from group import in_group

SPEC = InputSpec(channels=1, height=8, width=8, mean=(0.5,), deviation=(0.25,))
PICTURES, BATCH, STEPS = 53, 10, 200  # five batches and a rest of three


class Block:
    uniform = True

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shapes = values, np.array([values.shape[1:]] * len(values))

    def __len__(self) -> int:
        return len(self.values)

    def pixels(self, index: int) -> np.ndarray:
        return self.values[index]

    def block(self, indices: np.ndarray) -> np.ndarray:
        return self.values[indices]


class Losses(Observer):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_step(self, record):
        self.losses.append(record["loss"])


def network(dropout: float = 0.0, norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6) if norm else nn.Identity(),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(24, 3),
    )


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng, targets = np.random.default_rng(seed), np.arange(count) % 3
    values = rng.uniform(40, 140, (count, 8, 8, 1))
    values[targets == 0, :4] += 90
    values[targets == 1, :, :4] += 90
    return values.astype(np.uint8), targets


def told_of(kind: str, classes: np.ndarray) -> np.ndarray:
    """What a table says of pictures of these classes (N,): the class, labels (N, 3), or numbers (N, 3)."""
    if kind == "classification":
        return classes
    has = np.eye(3, dtype=np.float32)[classes]
    has[:, 2] = classes != 2
    return has if kind == "multilabel" else has * [5, 20, 400] + np.arange(len(has))[:, None] % 4


def made(
    ranks,
    *,
    kind="classification",
    weighted=False,
    count=PICTURES,
    steps=STEPS,
    observer=None,
    module=None,
    folder=None,
    **plan,
) -> Loop:
    values, classes = pictures(count, 0)
    task = task_named(kind).load().made_for(("top", "left", "dark"), told_of(kind, classes), TaskSettings())
    batches = Batches(
        Block(values),
        task=task,
        frame=SPEC,
        batch_size=BATCH,
        seed=3,
        augmentation=Augmentation(pad_crop=1, rotation=10.0, mixup=0.2),
        weights=np.linspace(0.0, 3.0, count) if weighted else None,
        drop_last=False,
        rank=ranks.rank,
        ranks=ranks.count,
    )
    settings = {
        "optimizer": OptimizerSettings(name="sgd", weight_decay=5e-4),
        "learning_rate": 0.1,
        "epochs": -(-steps // batches.steps_per_epoch),
        **plan,
    }
    resolved = Resolved(
        network="own",
        channels=1,
        height=8,
        width=8,
        steps=steps,
        batch_size=BATCH,
        seed=3,
        processes=ranks.count,
        **settings,
    )
    held, held_classes = pictures(17, 9)
    validation = Validation(torch.stack([SPEC.prepare(one) for one in held]), told_of(kind, held_classes))
    model = Model(network() if module is None else module, SPEC, task)
    return Loop(
        model,
        batches,
        validation,
        resolved,
        observer=observer or Losses(),
        checkpoints=folder,
        checkpoint_seconds=0,
        ranks=ranks,
    )


def train(ranks, settings):
    watch = Losses()
    loop = made(ranks, observer=watch, **settings)
    drawn = [np.sort(batch.rows).tolist() for batch in loop.batches.epoch(1)]
    progress = loop.run()
    weights = torch.cat([value.reshape(-1) for value in loop.network.state_dict().values()])
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in progress.history]
    return {"losses": watch.losses, "drawn": drawn, "weights": weights.tolist(), "history": history}


WEIGHTED = {"weighted": True, "clip": 0.5, "averaging": 0.9}


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        pytest.param(WEIGHTED, 3, id="weighted-3"),
        pytest.param(WEIGHTED, 2, id="weighted-2", marks=pytest.mark.long),
        pytest.param({}, 2, id="plain-2", marks=pytest.mark.long),
        pytest.param({}, 3, id="plain-3", marks=pytest.mark.long),
    ],
)
def test_the_loss_curve_is_that_of_one_process(settings, count):
    alone = train(ALONE, settings)
    several = in_group(count, train, settings)
    assert len(alone["losses"]) == STEPS
    assert alone["losses"][-1] < 0.7 * alone["losses"][0]
    for one in several:
        np.testing.assert_allclose(one["losses"], alone["losses"], atol=1e-4)
        assert one["weights"] == several[0]["weights"]
        assert one["history"] == several[0]["history"]
    np.testing.assert_allclose(several[0]["weights"], alone["weights"], atol=1e-3)
    shares = [
        sorted(row for part in parts for row in part) for parts in zip(*(one["drawn"] for one in several), strict=True)
    ]
    assert shares == alone["drawn"]
    for one, other in zip(several[0]["history"], alone["history"], strict=True):
        assert one["validation_accuracy"] == other["validation_accuracy"]
        assert one["validation_log_loss"] == pytest.approx(other["validation_log_loss"], abs=1e-3)


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_labels_and_numbers_are_learned_as_by_one_process(kind):
    settings = {"kind": kind, "steps": 90, "learning_rate": 0.4 if kind == "multilabel" else 0.1, **WEIGHTED}
    alone, several = train(ALONE, settings), in_group(2, train, settings)
    assert np.mean(alone["losses"][-6:]) < 0.8 * np.mean(alone["losses"][:6])
    for one in several:
        np.testing.assert_allclose(one["losses"], alone["losses"], atol=1e-4)
        assert one["weights"] == several[0]["weights"]
    figures = [name for name in alone["history"][0] if name.startswith("validation_")]
    assert len(figures) == 2
    for one, other in zip(several[0]["history"], alone["history"], strict=True):
        assert [one[name] for name in figures] == pytest.approx([other[name] for name in figures], abs=1e-4)


def gradients(ranks):
    """Rows 0..4 and a weight each: rank 0 has rows 0 to 2, rank 1 rows 3 and 4."""
    rows = torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, -1.0], [2.0, 2.0], [-1.0, 5.0]])
    weights = torch.tensor([1.0, 0.0, 2.0, 0.5, 4.0])
    own = slice(0, 5) if not ranks.several else slice(0, 3) if ranks.first else slice(3, 5)
    weight, unused, half = (nn.Parameter(torch.tensor([0.3, -0.2])) for _ in range(3))
    losses = (rows[own] @ weight) ** 2
    if ranks.first:
        losses = losses + half.sum()  # a weight that has a gradient on one rank alone
    loss = (losses * weights[own]).sum() / weights[own].sum()
    loss.backward()
    mean = average_gradients(ranks, [weight, unused, half], loss.detach(), weights[own].sum())
    return {
        "loss": float(mean),
        "weight": weight.grad.tolist(),
        "unused": unused.grad,
        "half": None if half.grad is None else half.grad.tolist(),
    }


def test_the_gradient_is_that_of_the_weighted_mean_of_the_whole_batch():
    first, second = in_group(2, gradients)
    rows = np.array([[1.0, 2.0], [0.0, 1.0], [3.0, -1.0], [2.0, 2.0], [-1.0, 5.0]])
    weights, at = np.array([1.0, 0.0, 2.0, 0.5, 4.0]), np.array([0.3, -0.2])
    expected = (weights[:, None] * 2 * (rows @ at)[:, None] * rows).sum(0) / weights.sum()
    np.testing.assert_allclose(first["weight"], expected, rtol=1e-6)
    np.testing.assert_allclose(first["half"], [3 / 7.5] * 2, rtol=1e-6)
    assert first["unused"] is None
    loss = (weights * ((rows @ at) ** 2 + at.sum() * (np.arange(5) < 3))).sum() / weights.sum()
    assert first["loss"] == pytest.approx(loss, rel=1e-6)
    assert first == second


class Stopped(Exception):
    pass


class StopAt(Losses):
    def on_step(self, record):
        if record["step"] == 31:
            raise Stopped


def stopped_and_resumed(ranks, folder):
    """The weights of a run that was never stopped, and of one that was, with dropout, batch norm and averaging."""
    place = Path(folder)
    options = {"steps": 60, "averaging": 0.9}

    def weights(loop):
        return [value.double().reshape(-1).tolist() for value in loop.network.state_dict().values()]

    def fresh(**more):
        return made(ranks, module=network(0.3, norm=True), **options, **more)

    whole = fresh()
    whole.run()
    with pytest.raises(Stopped):
        fresh(folder=place, observer=StopAt()).run()
    told(ranks, None)  # the first has written its last checkpoint
    again = fresh(folder=place)
    again.restore()
    step = again.progress.step
    told(ranks, None)
    again.run()
    return step, weights(whole), weights(again)


def test_a_run_of_two_that_was_stopped_goes_on_bit_for_bit(tmp_path):
    for step, whole, again in in_group(2, stopped_and_resumed, str(tmp_path)):
        assert step == 30
        assert whole == again


def test_dropout_is_drawn_by_rank():
    assert seed_of_step(3, 10, 0) == 3 * 1_000_003 + 10
    seeds = {seed_of_step(3, step, rank) for step in range(100) for rank in range(8)}
    assert len(seeds) == 800
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(InputError, match="11 processes cannot share batches of 10 out of 53 pictures"):
        made(Ranks(rank=0, count=11))
