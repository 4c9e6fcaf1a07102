"""Runs that were planned for minutes: every plan is written down, so that the run can be repeated and resumed."""

from __future__ import annotations

import csv
import itertools

import pytest
import torch
from safetensors.torch import load_file

import striate
from striate.actions import timing
from striate.training import planning
from striate.training.planning import FEWEST_EPOCHS
from striate.training.recipe import Recipe
from striate.training.recipe_file import read_recipe

SETTINGS = {
    "device": "cpu",
    "threads": 1,
    "seed": 2,
    "batch_size": 16,
    "precision": "float32",
    # Runs for many minutes are measured, and what comes out may be another layout each time.
    "layout": "channels-last",
}


class Watch(striate.Observer):
    def __init__(self, stop: int | None = None) -> None:
        self.stop, self.said, self.steps = stop, [], []

    def say(self, text):
        self.said.append(text)

    def on_step(self, record):
        self.steps.append((record["step"], record["learning_rate"]))
        if record["step"] == self.stop:
            raise KeyboardInterrupt


def results(run) -> tuple[dict[str, torch.Tensor], list[dict[str, str]], bytes]:
    with (run.folder / "history.csv").open(newline="") as file:
        history = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    return load_file(run.folder / "model.safetensors"), history, (run.folder / "predictions.csv").read_bytes()


def assert_same(run, other) -> None:
    (weights, history, predictions), (others, other_history, other_predictions) = results(run), results(other)
    assert history == other_history
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert predictions == other_predictions


@pytest.fixture(scope="module")
def planned(pictures, tmp_path_factory):
    """A run of three seconds that is planned anew after every epoch, and what was seen of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "SECONDS_FOR_RESULTS", 1.0)
        patch.setattr(planning, "LEAST_CHANGE", 0.0)
        patch.setitem(planning.MOST_EPOCHS, "small-conv", 1e6)  # the time alone says how long
        watch = Watch()
        run = striate.train(
            pictures, out=tmp_path_factory.mktemp("planned") / "run", minutes=0.05, observer=watch, **SETTINGS
        )
    return run, watch


def test_a_run_for_minutes_comes_to_its_end_and_writes_every_plan(planned):
    run, watch = planned
    assert run.finished
    recipe, resolved = read_recipe(run.folder / "recipe.toml")
    assert recipe == Recipe(minutes=0.05, **SETTINGS)
    assert resolved["network"] == "small-conv"
    assert resolved["arguments"]["width"] in FEWEST_EPOCHS["small-conv"]
    (said,) = (one for one in watch.said if one.startswith("0.05 minutes: "))
    assert f"width {resolved['arguments']['width']}, " in said
    # Where the machine kept its pace, or was so slow that one epoch was all, the first plan stood.
    plans = resolved["plans"] or [[0, 0, resolved["steps"]]]
    assert plans[0][:2] == [0, 0]
    assert plans[-1][2] == resolved["steps"]
    assert resolved["clip"] == 1.0  # few pictures: few steps
    # Each begins where the one before stood, and the last says how many steps were made.
    for (first, share, total), (later, further, _) in itertools.pairwise(plans):
        assert first < later < total
        assert further == pytest.approx(share + (1 - share) * (later - first) / (total - first))
    assert watch.steps[-1][0] == plans[-1][2]


def test_its_recipe_repeats_it_bit_for_bit(planned, pictures, tmp_path):
    run, watch = planned
    again = Watch()
    repeated = striate.train(pictures, out=tmp_path / "again", recipe=run.folder / "recipe.toml", observer=again)
    assert again.steps == watch.steps
    assert_same(repeated, run)
    assert read_recipe(repeated.folder / "recipe.toml") == read_recipe(run.folder / "recipe.toml")


def test_it_is_stopped_and_resumed_bit_for_bit(planned, pictures, tmp_path, monkeypatch):
    run, watch = planned
    monkeypatch.setattr("striate.training.loop.CHECKPOINT_SECONDS", 0.0)
    halfway = -(-watch.steps[-1][0] // 2)
    with pytest.raises(KeyboardInterrupt):
        striate.train(pictures, out=tmp_path / "run", recipe=run.folder / "recipe.toml", observer=Watch(halfway))
    again = Watch()
    resumed = striate.resume(tmp_path / "run", observer=again)
    assert again.steps == [one for one in watch.steps if one[0] >= again.steps[0][0]]
    assert_same(resumed, run)


def test_a_run_that_was_stopped_after_a_new_plan_follows_it(pictures, tmp_path, monkeypatch):
    """Plans by steps instead of by the clock: 20 steps at first, and 7 more from the end of the first epoch on."""

    def anew(*, step: int, total: int, **_: float) -> int | None:
        return total + 7 if total == planned_steps else None

    planned_steps = 20
    plan = planning.TimePlan(steps=planned_steps, validate_every=2, reserve=1.0)
    monkeypatch.setattr(timing, "plan_steps", lambda *_, **__: plan)
    monkeypatch.setattr(timing, "steps_anew", anew)
    monkeypatch.setattr("striate.training.loop.CHECKPOINT_SECONDS", 0.0)
    watch = Watch()
    settings = {**SETTINGS, "minutes": 30.0, "width": 16}
    whole = striate.train(pictures, out=tmp_path / "whole", observer=watch, **settings)
    _, resolved = read_recipe(whole.folder / "recipe.toml")
    assert [plan[2] for plan in resolved["plans"]] == [20, 27]
    assert watch.steps[-1][0] == 27
    # The rate goes on from where it was and comes down to its end, without a leap where it was planned anew.
    rates = [rate for _, rate in watch.steps]
    assert rates[-1] < 0.1 * max(rates)
    assert max(abs(later - rate) for rate, later in itertools.pairwise(rates)) < 0.3 * max(rates)
    assert resolved["arguments"] == {"width": 16}
    with (whole.folder / "history.csv").open(newline="") as file:
        validated = [row["epoch"] for row in csv.DictReader(file) if row["validation_log_loss"]]
    epochs = -(-27 // (int(resolved["plans"][1][0])))
    assert validated == [str(epoch) for epoch in range(1, epochs + 1) if epoch % 2 == 0 or epoch == epochs]
    with pytest.raises(KeyboardInterrupt):
        striate.train(pictures, out=tmp_path / "run", observer=Watch(16), **settings)
    assert_same(striate.resume(tmp_path / "run"), whole)


def test_a_network_without_widths_is_planned_for_too(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "SECONDS_FOR_RESULTS", 0.5)
    run = striate.train(pictures, out=tmp_path / "run", network="linear", minutes=0.02, **SETTINGS)
    _, resolved = read_recipe(run.folder / "recipe.toml")
    assert run.finished
    assert resolved["arguments"] == {}
    assert resolved["steps"] >= 1


def test_a_time_that_is_too_short_for_anything_still_ends_with_a_run(pictures, tmp_path):
    run = striate.train(pictures, out=tmp_path / "run", minutes=0.001, **SETTINGS)
    assert run.finished
    _, resolved = read_recipe(run.folder / "recipe.toml")
    assert resolved["steps"] == 1
    assert resolved["arguments"]["width"] == min(FEWEST_EPOCHS["small-conv"])
