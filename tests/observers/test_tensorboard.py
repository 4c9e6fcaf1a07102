"""What TensorBoard reads of a training is what happened in it."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import striate
from striate.errors import InputError
from striate.observers.tensorboard import TensorBoard
from striate.training.history import read_history


def read(folder: Path) -> list[Any]:
    """The events of the one file in a folder, by TensorBoard's own reader, which checks their checksums."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    (path,) = folder.iterdir()
    assert "tfevents" in path.name
    return list(LegacyEventFileLoader(str(path)).Load())


def scalars(folder: Path) -> list[tuple[int, str, float]]:
    return [(event.step, one.tag, one.simple_value) for event in read(folder) for one in event.summary.value]


class Kept(striate.Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_step(self, record: Any) -> None:
        self.steps.append(dict(record))


def test_tensorboard_reads_every_step_and_every_epoch_of_a_training(tmp_path: Path) -> None:
    from striate.observer import Observers

    pictures = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    kept, began = Kept(), time.time()
    with TensorBoard(tmp_path / "deep" / "logs") as board:
        run = striate.train(
            (pictures, np.arange(40) % 2),
            out=tmp_path / "run",
            network="linear",
            epochs=3,
            batch_size=8,
            threads=1,
            observer=Observers(kept, board),
        )
    found = scalars(tmp_path / "deep" / "logs")
    for name in ("loss", "learning_rate", "pictures_per_second"):
        shown = [(step, value) for step, tag, value in found if tag == name]
        assert shown == [(record["step"], np.float32(record[name])) for record in kept.steps]
    rows = read_history((run.folder / "history.csv").read_text(encoding="utf-8"))
    assert len(rows) == 3
    for name in rows[0]:
        shown = [(step, value) for step, tag, value in found if tag == f"epoch/{name}"]
        expected = [(int(row["step"]), np.float32(row[name])) for row in rows]
        assert shown == ([] if name in ("epoch", "step") else expected)
    first, *others = read(tmp_path / "deep" / "logs")
    assert first.file_version == "brain.Event:2"
    assert all(began <= event.wall_time <= time.time() for event in (first, *others))


def test_values_of_every_size_and_none(tmp_path: Path) -> None:
    values = {"a": 0.0, "b": -1e-30, "c": 1e300, "d": -math.inf, "e" * 300: math.nan, "schön 🦊": 2.5}
    with TensorBoard(tmp_path / "logs") as board:
        board.on_epoch({"epoch": 1, "step": 2**40, **values})
    found = scalars(tmp_path / "logs")
    assert [tag for _, tag, _ in found] == [f"epoch/{name}" for name in values]
    assert {step for step, _, _ in found} == {2**40}
    expected = [0.0, float(np.float32(-1e-30)), math.inf, -math.inf, math.nan, 2.5]
    assert [value for *_, value in found] == pytest.approx(expected, nan_ok=True, rel=0)


def test_what_was_written_before_an_interruption_can_be_read(tmp_path: Path) -> None:
    with TensorBoard(tmp_path / "logs") as board:
        board.on_epoch({"epoch": 1, "step": 4, "loss": 0.5})
        assert scalars(tmp_path / "logs") == [(4, "epoch/loss", 0.5)]


def test_two_trainings_do_not_share_a_file(tmp_path: Path) -> None:
    with TensorBoard(tmp_path) as one, TensorBoard(tmp_path) as other:
        assert list(tmp_path.iterdir()) == []  # what fails before its first step leaves nothing
        for board in (one, other):
            board.on_epoch({"epoch": 1, "step": 4, "loss": 0.5})
        assert len(list(tmp_path.iterdir())) == 2


def test_a_file_in_its_place_is_a_mistake_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("mine")
    with pytest.raises(InputError, match="logs: is a file; name a folder"):
        TensorBoard(tmp_path / "logs")
    assert (tmp_path / "logs").read_text() == "mine"
