"""A batch that does not fit into memory is done in parts: the same step, remembered, nothing left of the attempt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import InputError
from striate.observer import Observer
from striate.tasks.classification import Classification
from striate.training.memory import in_parts, parts_at, split_further
from striate.training.part_settings import OptimizerSettings


class Small(nn.Module):
    """Runs out of memory above `most` pictures, after its layers have computed."""

    def __init__(self, layers: nn.Module, most: int, error: Exception | None = None) -> None:
        super().__init__()
        self.layers, self.most, self.failures = layers, most, 0
        self.error = error or torch.OutOfMemoryError("out of memory")

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(pictures)
        if self.training and len(pictures) > self.most:
            self.failures += 1
            raise self.error
        return scores


class Said(Observer):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def plain(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 3))


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("rows", [False, True], ids=["all rows alike", "rows with weights"])
@pytest.mark.parametrize(("most", "parts"), [(4, 2), (3, 4), (1, 8)])
def test_a_batch_in_parts_is_the_same_training(make_loop, error, rows, most, parts):
    weights = np.linspace(0, 2, 48).astype(np.float32) if rows else None
    case = {"weights": weights, "clip": 0.5, "task": {"label_smoothing": 0.1, "class_weights": (0.5, 2.0, 1.0)}}
    whole = make_loop(network=plain(), **case)
    history = whole.run().history
    split = make_loop(network=Small(plain(), most, error), **case)
    found = split.run().history
    assert split.splits == [[1, parts]]
    assert [row["loss"] for row in found] == pytest.approx([row["loss"] for row in history], rel=1e-4)
    for mine, theirs in zip(split.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_nothing_is_left_of_the_attempt_that_failed(make_loop, optimizer):
    class Fuller(Observer):
        def on_step(self, record):
            if record["step"] == 7:  # in the middle of the second epoch
                network.most = 4

    network = Small(nn.Sequential(nn.BatchNorm2d(1), plain()), most=8)
    settings = {"optimizer": OptimizerSettings(name=optimizer, weight_decay=0.01), "learning_rate": 0.01, "epochs": 2}
    loop = make_loop(network=network, loop={"observer": Fuller()}, averaging=0.0, **settings)
    loop.validation = None
    loop.run()
    assert network.failures == 1
    assert loop.splits == [[8, 2]]
    # Seven batches whole, five in two parts; what was counted by the attempt is taken back.
    assert int(network.layers[0].num_batches_tracked) == 7 + 5 * 2
    assert loop.progress.step == 12


def test_a_run_that_goes_on_splits_from_the_same_step(make_loop, tmp_path, small_network):
    decided = []
    whole = make_loop(network=Small(small_network(), 3), loop={"on_split": lambda loop: decided.append(loop.decided())})
    whole.run()
    assert [plan.splits for plan in decided] == [((1, 2),), ((1, 4),)]
    # Where memory is plenty the parts stay as they were decided, dropout and batch norm with them.
    ample = Small(small_network(), 8)
    again = make_loop(network=ample, splits=decided[-1].splits)
    again.run()
    assert ample.failures == 0
    for mine, theirs in zip(again.network.state_dict().values(), whole.network.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_what_differs_is_said(make_loop, small_network):
    said = Said()
    make_loop(network=Small(small_network(), 4), epochs=1, loop={"observer": said}).run()
    assert said.warnings == [
        "the 8 pictures of step 1 do not fit into memory at once: from here on each batch is done in 2 parts, whose "
        "gradients add up to one step; batch norm sees 4 pictures at a time; dropout draws anew for each part"
    ]
    said = Said()
    make_loop(network=Small(plain(), 4), epochs=1, loop={"observer": said}).run()
    assert said.warnings[0].endswith("add up to one step")


def test_one_picture_that_does_not_fit_is_a_sentence(make_loop):
    with pytest.raises(InputError, match=r"not even one picture of step 1 fits into memory; .*smaller"):
        make_loop(network=Small(plain(), 0)).run()


def test_another_error_is_not_taken_for_it(make_loop):
    network = Small(plain(), 2, RuntimeError("expected scalar type Float"))
    with pytest.raises(RuntimeError, match="scalar type"):
        make_loop(network=network).run()
    assert network.failures == 1


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_batch_that_cannot_be_put_together_is_a_sentence(make_loop, error):
    class Crowded(Classification):
        """Runs out of memory when it is asked for the second time."""

        def targets(self, rows, placement):
            made.append(len(rows))
            if len(made) == 2:
                raise error
            return super().targets(rows, placement)

    made: list[int] = []
    loop = make_loop()
    task = loop.batches.task
    loop.batches.task = Crowded(task.class_names, table=task.table)
    with pytest.raises(InputError, match=r"no memory to put a batch of 8 pictures together; take fewer .*--batch-size"):
        loop.run()
    assert 0 < loop.progress.step < loop.total_steps


def test_parts_differ_by_one_picture_at_most_and_keep_the_order(make_loop):
    batch = next(iter(make_loop(weights=np.arange(48, dtype=np.float32)).batches.epoch(0)))
    for parts in (1, 2, 3, 5, 8):
        made = list(in_parts(batch, parts))
        assert len(made) == parts
        assert max(map(len, made)) - min(map(len, made)) <= 1
        assert np.array_equal(np.concatenate([part.rows for part in made]), batch.rows)
        for name in ("pictures", "targets", "weights"):
            joined = torch.cat([getattr(part, name) for part in made])
            assert torch.equal(joined, getattr(batch, name))


def test_the_list_of_splits():
    splits = split_further([], 5, 8)
    assert splits == [[5, 2]]
    splits = split_further(splits, 5, 8)
    assert splits == [[5, 4]]
    splits = split_further(splits, 9, 6)
    assert splits == [[5, 4], [9, 6]]
    assert [parts_at(splits, step) for step in (1, 4, 5, 8, 9, 100)] == [1, 1, 4, 4, 6, 6]
    with pytest.raises(InputError, match="not even one picture of step 10"):
        split_further(splits, 10, 6)
