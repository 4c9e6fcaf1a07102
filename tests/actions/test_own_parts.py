"""A user's own loss is what is learned by, and a user's own metric stands in the history and the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import striate
from striate.errors import InputError
from striate.training.history import read_history

QUICK: dict[str, Any] = {
    "network": "linear",
    "batch_size": 8,
    "threads": 1,
    "precision": "float32",
    "layout": "contiguous",
    "augment": {"name": "none"},
}


def pictures() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    values = generator.integers(0, 255, (60, 8, 8), dtype=np.uint8)
    return values, np.array(["dark", "light", "mixed"])[np.arange(60) % 3]


def weights(run: striate.Run) -> dict[str, torch.Tensor]:
    return dict(striate.load(run, device="cpu").network.state_dict())


def history(run: striate.Run) -> list[dict[str, float]]:
    return read_history((run.folder / "history.csv").read_text(encoding="utf-8"))


def each(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none")


def test_cross_entropy_of_ones_own_learns_what_that_of_the_task_learns(tmp_path: Path) -> None:
    ours = striate.train(pictures(), out=tmp_path / "ours", epochs=3, label_smoothing=0.0, **QUICK)
    a_picture = striate.train(pictures(), out=tmp_path / "each", epochs=3, loss=each, **QUICK)
    whole = striate.train(pictures(), out=tmp_path / "mean", epochs=3, loss=functional.cross_entropy, **QUICK)
    for name, tensor in weights(ours).items():
        assert torch.equal(weights(a_picture)[name], tensor)
        assert torch.allclose(weights(whole)[name], tensor, rtol=1e-4, atol=1e-6)
    assert [row["loss"] for row in history(a_picture)] == [row["loss"] for row in history(ours)]


def test_another_loss_learns_something_else(tmp_path: Path) -> None:
    def away(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, (targets + 1) % 3)

    values = np.full((60, 8, 8), 10, dtype=np.uint8)
    names = np.array(["0", "1", "2"])[np.arange(60) % 3]
    for number in range(3):
        values[np.arange(60) % 3 == number, number] = 250  # a bright row for each class
    settings = QUICK | {"epochs": 12, "learning_rate": 0.05}
    run = striate.train((values, names), out=tmp_path / "run", loss=away, **settings)
    answers = [one.label for one in striate.load(run, device="cpu").predict(list(values[:3]))]
    assert answers == ["1", "2", "0"]


def test_a_metric_is_noted_for_each_validation(tmp_path: Path) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def worst(answers: np.ndarray, targets: np.ndarray) -> np.floating[Any]:
        seen.append((answers, targets))
        return answers[np.arange(len(targets)), targets].min()

    run = striate.train(
        pictures(), out=tmp_path / "run", epochs=3, metrics={"worst": worst, "n": lambda a, t: len(t)}, **QUICK
    )
    rows = history(run)
    validated = run.metrics["validation"]["n"]
    assert len(seen) == len(rows) == 3
    for row, (answers, targets) in zip(rows, seen, strict=True):
        assert answers.shape == (validated, 3)
        assert targets.shape == (validated,)
        assert row["validation_worst"] == min(answers[place, target] for place, target in enumerate(targets))
        assert row["validation_n"] == validated
        assert np.isclose(answers.sum(axis=1), 1).all()
    assert f"worst {rows[-1]['validation_worst']:.4f}" in (run.folder / "log.txt").read_text(encoding="utf-8")
    plain = striate.train(pictures(), out=tmp_path / "plain", epochs=3, **QUICK)
    assert all(torch.equal(weights(plain)[name], tensor) for name, tensor in weights(run).items())


def test_a_run_goes_on_and_repeats_with_the_same_loss_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from striate.cli.main import status

    source, metrics = pictures(), {"one": lambda answers, targets: 1}
    straight = striate.train(source, out=tmp_path / "straight", epochs=4, loss=each, **QUICK)
    run = striate.train(source, out=tmp_path / "run", epochs=2, loss=each, **QUICK)
    for act in (striate.resume, striate.verify):
        more = {"epochs": 4} if act is striate.resume else {}
        with pytest.raises(InputError, match="run: learns by a loss of your own; give it in Python, as loss=function"):
            act(run, source=source, **more)
    assert status(["resume", str(run), "--epochs", "4"]) == 2
    assert "loss of your own" in capsys.readouterr().err
    assert striate.verify(run, source=source, loss=each).repeats
    striate.resume(run, source=source, epochs=4, loss=each, metrics=metrics)
    assert [row.get("validation_one") for row in history(run)] == [None, None, 1, 1]
    assert len(history(run)) == len(history(straight))
    with pytest.raises(InputError, match="learns by a loss of your own"):
        striate.train(source, out=tmp_path / "again", recipe=run.folder / "recipe.toml")
    again = striate.train(source, out=tmp_path / "again", recipe=straight.folder / "recipe.toml", loss=each)
    assert all(torch.equal(weights(straight)[name], tensor) for name, tensor in weights(again).items())
    plain = striate.train(source, out=tmp_path / "plain", epochs=1, **QUICK)
    with pytest.raises(InputError, match="plain: does not learn by a loss of your own, so leave loss away"):
        striate.resume(plain, source=source, epochs=2, loss=each)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"loss": 3}, "loss must be a function, got int"),
        ({"loss": torch.nn.CrossEntropyLoss}, r"loss is the class CrossEntropyLoss; make one of it"),
        ({"loss": torch.nn.Bilinear(4, 4, 1)}, "loss Bilinear has weights of its own, which would not be trained"),
        ({"loss": lambda o, t: torch.zeros(len(o))}, "your loss has no gradient; compute it from the outputs"),
        ({"metrics": [len]}, r"metrics must be \{name: function\}, got list"),
        ({"metrics": {"worst": 3}}, r"metrics must be \{name: function\}, got 'worst': int"),
        ({"loss": lambda o, t: o}, r"your loss must give one number, or 8 for 8 pictures, .*\(8, 3\) of torch.float32"),
        ({"loss": lambda o, t: 0.5}, "it gives float"),
        ({"loss": lambda o, t: t}, "of torch.int64"),
        ({"metrics": {"worst": lambda a, t: "bad"}}, "the metric 'worst' must give a number, it gives str"),
        ({"metrics": {"worst": lambda a, t: a}}, "the metric 'worst' must give a number, it gives ndarray"),
        ({"metrics": {"accuracy": lambda a, t: 1}}, "'accuracy' is a metric of the task already"),
        ({"loss": each, "class_weights": "balanced"}, "class_weights balanced is for the losses of striate"),
        ({"loss": each, "label_smoothing": 0.1}, "label_smoothing 0.1 is for the losses of striate"),
        ({"loss": each, "processes": 2}, "cannot be handed to other processes"),
        ({"metrics": {"one": len}, "processes": 2}, "cannot be handed to other processes"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(given: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        striate.train(pictures(), out=tmp_path / "run", epochs=1, **QUICK, **given)
