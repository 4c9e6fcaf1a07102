"""Weights of epochs that are kept: those that would have answered then, and nothing else is changed by it."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from striate.models.run_files import epoch_file, kept_epochs
from striate.observer import Observer


class Seen(Observer):
    """The weights that answer after each epoch."""

    def __init__(self) -> None:
        self.loop = None
        self.weights: dict[int, dict[str, torch.Tensor]] = {}

    def on_epoch(self, record):
        weights = self.loop.answering().network.state_dict()
        self.weights[int(record["epoch"])] = {name: value.clone() for name, value in weights.items()}


def test_the_weights_that_answer_are_kept_after_every_so_many_epochs(make_loop, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for averaging in (0.9, 0.0):
        watch = Seen()
        settings = {"checkpoints": tmp_path / "checkpoints", "keep_epochs": 2, "observer": watch}
        watch.loop = make_loop(epochs=5, averaging=averaging, loop=settings)
        watch.loop.run()
        assert kept_epochs(tmp_path) == (2, 4)
        for epoch in (2, 4):
            kept = load_file(tmp_path / "checkpoints" / epoch_file(epoch))
            assert kept.keys() == watch.weights[epoch].keys()
            assert all(torch.equal(kept[name], value) for name, value in watch.weights[epoch].items())


def test_nothing_is_kept_unless_it_is_asked_for_and_the_run_is_the_same(make_loop, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    plain = make_loop(loop={"checkpoints": tmp_path / "checkpoints"})
    plain.run()
    assert kept_epochs(tmp_path) == ()
    keeping = make_loop(loop={"checkpoints": tmp_path / "checkpoints", "keep_epochs": 1})
    keeping.run()
    assert kept_epochs(tmp_path) == (1, 2, 3, 4)
    first, second = plain.network.state_dict(), keeping.network.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_without_a_folder_nothing_is_written(make_loop):
    make_loop(epochs=1, loop={"keep_epochs": 1}).run()
